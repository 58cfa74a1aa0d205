"""The tables on groups and concepts, from sections as a run stores them."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.evaluation.groups import GroupScores, score_groups, summarize_groups
from alchemist_exp.results.group_tables import concept_table, group_tables

NAMES = ("landbird, land", "landbird, water", "waterbird, land", "waterbird, water")
SHARES = (0.73, 0.04, 0.01, 0.22)
ROWS = (40, 40, 20, 20)


def group_scores(hits: tuple[int, ...], abstained: tuple[int, ...] = (0, 0, 0, 0)) -> GroupScores:
    """Scores with the given correct predictions and abstentions in each group of `ROWS` rows."""
    groups = np.repeat(np.arange(4), ROWS)
    gold = groups // 2
    within = np.concatenate([np.arange(rows) for rows in ROWS])
    predicted = np.where(within < np.array(hits)[groups], gold, 1 - gold)
    predicted[within >= (np.array(ROWS) - abstained)[groups]] = -1
    scores = score_groups(gold, predicted, groups, names=NAMES, train_shares=SHARES)
    assert scores is not None
    return scores


LABEL_MODEL = group_scores((30, 16, 10, 18), abstained=(4, 0, 0, 0))
SEEDS = [group_scores((40, 20, 11, 18)), group_scores((40, 24, 9, 18)), group_scores((40, 20, 12, 18))]


def groups_section(**changes: Any) -> dict[str, Any]:
    section: dict[str, Any] = {
        "attribute": "background",
        "names": NAMES,
        "train_shares": SHARES,
        "used_by": [],
        "label_model": {"valid": None, "test": LABEL_MODEL},
        "end_model": {"test": summarize_groups(SEEDS)},
    }
    stored: dict[str, Any] = to_jsonable(section | changes)
    return stored


def concept(name: str, description: str, **changes: Any) -> dict[str, Any]:
    return {
        "concept": name,
        "description": description,
        "class": "landbird",
        "kept": True,
        "reason": "",
        "fidelity": None,
    } | changes


CONCEPTS = {
    "source": "LLM",
    "scale": "rank",
    "list": [
        concept(
            "foot type",
            "A bird's foot type is toed",
            fidelity={"own": "feet", "follows": "feet", "aucs": {"class": 0.9, "background": 0.55, "feet": 0.93}},
        ),
        concept("foot type", "A bird's foot type is webbed"),
        concept(
            "neck",
            "A bird's neck is long",
            fidelity={"own": "neck", "follows": "background", "aucs": {"class": 0.6, "background": 0.8, "neck": 0.7}},
        ),
        concept("song", "A bird's song is loud", kept=False, reason="not visible"),
    ],
}


def lines_of(parts: list[RenderableType]) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=180).print(*parts, sep="\n")
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_accuracy_by_group_with_averages_and_gaps() -> None:
    lines = lines_of(group_tables(groups_section()))
    assert lines[:6] == [
        "Groups class and background, test; distilled: mean ± sd over 3 seeds",
        "train share n coverage label model distilled",
        "landbird, land 0.730 40 0.900 0.833 1.000",
        "landbird, water 0.040 40 1.000 0.400 0.533",
        "waterbird, land 0.010 20 1.000 0.500 0.533",
        "waterbird, water 0.220 20 1.000 0.900 0.900",
    ]
    assert [line.rpartition(" ± ")[0] or line for line in lines[6:11]] == [
        "average 0.638 0.750",
        "adjusted average (by train share) 0.827 0.955",
        "worst group 0.400 0.483",
        "gap (average - worst) 0.238 0.267",
        "adjusted gap 0.427 0.471",
    ]
    assert lines[11:] == [
        "worst group, label model: landbird, water (n = 40); 95% interval: 0.263 to 0.554",
        "worst group, distilled: landbird, water (n = 40, 2 of 3 seeds); waterbird, land (n = 20, 1 of 3 seeds); "
        "95% intervals of all seeds, together: 0.258 to 0.658",
        "Group labels were known to no stage.",
    ]


def test_one_seed_no_abstention_and_no_shares() -> None:
    section = groups_section(
        train_shares=None,
        used_by=["selection", "early stopping"],
        label_model={"test": None},
        end_model={"test": summarize_groups(SEEDS[:1])},
    )
    text = "\n".join(lines_of(group_tables(section)))
    assert text.startswith("Groups class and background, test\nn distilled\nlandbird, land 40 1.000\n")
    assert "±" not in text
    assert "worst group, distilled: landbird, water (n = 40); 95% interval" in text
    assert "label model" not in text
    assert text.endswith("Group labels were known to these stages: selection, early stopping.")


def test_valid_is_shown_where_test_has_no_scores() -> None:
    lines = lines_of(group_tables(groups_section(label_model={"valid": LABEL_MODEL}, end_model={})))
    assert lines[:3] == [
        "Groups class and background, valid",
        "train share n coverage label model",
        "landbird, land 0.730 36 0.900 0.833",
    ]


def test_a_method_without_a_label_model_is_named() -> None:
    lines = lines_of(group_tables(groups_section(), labeled_by="clip_zero_shot"))
    assert lines[1] == "train share n coverage clip_zero_shot distilled"
    assert "label model" not in "".join(lines)


def test_a_group_without_an_accuracy_is_named() -> None:
    scores = group_scores((30, 16, 10, 18), abstained=(0, 0, 20, 0))
    lines = lines_of(group_tables(groups_section(label_model={"test": scores}, end_model={})))
    assert "waterbird, land 0.010 0 0.000 -" in lines
    assert "adjusted average (by train share) -" in lines
    assert "! label model: no scored rows, so not compared as worst group: waterbird, land" in lines


@pytest.mark.parametrize("section", [{}, groups_section(label_model={"test": None}, end_model={})])
def test_without_scores_there_is_no_table_of_groups(section: dict[str, Any]) -> None:
    assert group_tables(section) == []


def test_concepts_with_what_they_follow() -> None:
    assert lines_of(concept_table(CONCEPTS)) == [
        "Concepts source: LLM; scale of the scores: rank",
        "concept description AUC own AUC class AUC background follows",
        "foot type A bird's foot type is toed feet 0.930 0.900 0.550 feet",
        "A bird's foot type is webbed - - - -",
        "neck A bird's neck is long neck 0.700 0.600 0.800 background",
        "song A bird's song is loud - - - -",
        "! A bird's neck is long: its score follows the background more than its own attribute, neck",
        "left out song: A bird's song is loud: not visible",
    ]


def test_another_spurious_attribute_and_an_own_one_without_an_auc() -> None:
    fidelity = {"own": "neck", "follows": "place", "aucs": {"class": 0.6, "place": 0.8}}
    section = CONCEPTS | {"list": [concept("neck", "A bird's neck", fidelity=fidelity)]}
    assert lines_of(concept_table(section, spurious="place"))[1:] == [
        "concept description AUC own AUC class AUC place follows",
        "neck A bird's neck neck - 0.600 0.800 place",
    ]


def test_concepts_that_were_not_measured_have_no_aucs() -> None:
    assert lines_of(concept_table(CONCEPTS | {"list": [concept("neck", "A bird's neck")]}))[1:] == [
        "concept description",
        "neck A bird's neck",
    ]
    assert concept_table({}) == []


def test_long_texts_of_others_are_shortened() -> None:
    long = concept("song", "y" * 90_000, kept=False, reason="max_characters: 90000, above 100")
    shown = f"{'y' * 97}..."
    assert lines_of(concept_table(CONCEPTS | {"list": [long]}))[2:] == [
        f"song {shown}",
        f"left out song: {shown}: max_characters: 90000, above 100",
    ]


def test_texts_of_others_are_printed_as_text() -> None:
    names = ["[bold]x[/bold]", "a\x1b[31mb", *NAMES[2:]]
    text = "\n".join(lines_of(group_tables(groups_section(names=names))))
    assert "[bold]x[/bold] 0.730" in text
    assert "ab 0.040" in text
    odd = concept("[red]n", "[i]d\nd", kept=False, reason="[b]r")
    lines = lines_of(concept_table(CONCEPTS | {"list": [odd]}))
    assert lines[2:] == ["[red]n [i]d d", "left out [red]n: [i]d d: [b]r"]
