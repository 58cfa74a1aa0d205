"""The tables that are printed after a run, from records of every kind."""

import copy
import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from alchemist_exp.results.console import headline, render
from alchemist_exp.results.record import RunRecord, RunStatus

SCORES = {"accuracy": 0.936, "f1": 0.9277, "macro_f1": 0.935, "rows": 250}
SPREAD = {"mean": 0.934, "std": 0.006, "per_seed": [0.93, 0.94]}
PROGRAM = {"id": "bb5055", "origin": "sample 0", "coverage": 0.5, "accuracy": 0.9, "errors": {"timeout": 2}}


def record() -> RunRecord:
    return RunRecord(
        run_key="k",
        status=RunStatus.FINISHED,
        started_at="t",
        finished_at="2026-11-22T10:00:00+00:00",
        config={group: {"name": f"{group}-name"} for group in ("dataset", "method", "label_model", "end_model")},
        data={
            "rows": {"train": 10, "test": 5},
            "positive_class": "spam",
            "most_frequent_class": {"test": 0.528},
            "gold_used": ["test: scoring"],
        },
        programs={
            "source": "alchemist",
            "sandbox": "seccomp",
            "requested": 3,
            "candidates": 3,
            "accepted": 2,
            "selected": 2,
            "rejected_by_stage": {"no code": 1},
            "row_outcomes": {},
            "rejected": [{"id": None, "origin": "sample 2", "reason": "the reply holds no code"}],
            "list": [PROGRAM, PROGRAM | {"accuracy": None, "errors": {}, "nondeterministic": True}],
        },
        label_model={
            "name": "snorkel",
            "coverage": {"train": 1.0, "test": 0.5},
            "metrics": {"test": SCORES, "train": None},
            "warnings": [],
            "labels": {"ham": 4, "spam": 6},
        },
        end_model={"name": "mlp", "seeds": [0, 1], "metrics": {"test": dict.fromkeys(SCORES, SPREAD)}},
        cost={
            "calls": 9,
            "cached_calls": 1,
            "spent_usd": 0.0,
            "list_price_usd": None,
            "replayed": True,
            "incomplete": {"truncated": 2},
            "input_tokens": 1200,
            "estimated_input_tokens": 1180,
            "cached_tokens": 300,
            "output_tokens": 500,
            "reasoning_tokens": 0,
            "break_even": {
                "programs_calls": 10,
                "programs_usd": 0.0046,
                "zero_shot_calls": 1586,
                "zero_shot_usd": 0.0875,
                "zero_shot_batch_usd": 0.0437,
                "rows_from": 84,
                "rows_from_batch": 167,
                "basis": "tokens counted by cl100k_base",
                "price_as_of": "2026-11",
            },
        },
        notes=["No valid scores: the split is not there."],
        seconds={"load": 0.5, "label_model": 4.0, "total": 4.5},
    )


def text_of(shown: RunRecord, **options: bool) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(render(shown, "/folder", **{"reused": False} | options))
    return out.getvalue()


def test_scores_programs_costs_and_notes_are_printed() -> None:
    text = text_of(record())
    for part in (
        "3 candidates, 2 accepted, 1 rejected (1 no code); sandbox: seccomp",
        "rejected sample 2: the reply holds no code",
        "0.936",
        "0.934 ± 0.006", "F1 of spam", "2 timeout", "nondeterministic", "1,586", "$0.0875", "$0.0000",
        "$0.0437", "from 84 rows on (167 by the batch API)", "2 truncated",
        "1,200 tokens in (estimated 1,180, 300 from",
        "programs (replayed)", "4 ham, 6 spam", "0.528", "4.5: load 0.5, label model 4.0", "/folder",
        "! No valid scores", "gold used  test: scoring",
    ):  # fmt: skip
        assert part in text
    assert "record, labels, programs, model  /folder" in text
    assert "loaded from the existing record" not in text


@pytest.mark.parametrize(("name", "title"), [("files", "tickets.csv"), ("mine", "mine")])
def test_the_title_has_the_name_of_the_file_where_none_was_set(name: str, title: str) -> None:
    made = record()
    config = {**made.config, "dataset": {**made.config["dataset"], "name": name, "path": "data/tickets.csv"}}
    assert text_of(replace(made, config=config)).strip().startswith(f"{title}  ·  ")


def test_the_choice_of_a_label_model_is_shown_with_its_scores() -> None:
    chosen = copy.deepcopy(record())
    assert "chosen by" not in text_of(chosen)
    scores = {"majority": 0.9, "dawid_skene": 0.9312}
    chosen.label_model["choice"] = {"by": "accuracy on valid", "scores": scores, "left_out": {"snorkel": "needs 3"}}
    said = "label model chosen by accuracy on valid: majority 0.900, dawid_skene 0.931; snorkel left out: needs 3"
    assert said in text_of(chosen)


def test_a_reused_record_says_so() -> None:
    text = text_of(record(), reused=True)
    assert "loaded from the existing record, finished 2026-11-22T10:00:00+00:00; use force=true to run again" in text


def test_without_gold_and_without_programs() -> None:
    bare = copy.deepcopy(record())
    bare.data["gold_used"], bare.data["positive_class"] = [], None
    bare.label_model["metrics"] = bare.end_model["metrics"] = {}
    bare.programs |= {"sandbox": None, "list": [], "rejected": []}
    text = text_of(bare)
    assert "weighted F1" in text
    assert "2 human-crafted functions" in text
    assert "record, labels, model  /folder" in text
    assert "gold used  none" in text
    assert "±" not in text.replace("mean ± sd", "")


def test_a_long_list_of_programs_is_cut() -> None:
    many = record()
    many.programs["list"] = [PROGRAM] * 73
    assert "and 61 more; alchemist show -v lists all" in text_of(many)
    assert "more;" not in text_of(many, verbose=True)


def test_a_wrong_program_is_marked_and_named_by_its_file() -> None:
    shown = record()
    numbers = {"overlap": 0.123, "conflict": 0.234, "influence": 0.345, "polarity": ["ham"]}
    wrong = PROGRAM | numbers | {"file": "general_03.py", "wrong": "accuracy 0.1, chance 0.5"}
    shown.programs["list"] = [PROGRAM, wrong]
    (line,) = [line for line in text_of(shown).splitlines() if "general_03.py" in line]
    assert line.startswith("! general_03.py")
    assert all(number in line for number in ("0.123", "0.234", "0.345", " ham "))
    assert not any(other.startswith("! ") and other != line for other in text_of(shown).splitlines() if "0.9" in other)


def test_verbose_shows_scores_and_confusion_of_each_class() -> None:
    shown = record()
    scores = {"precision": 0.75, "recall": None, "f1": 0.125, "rows": 1234}
    shown.label_model["by_class"] = {
        "test": {"confusion": [[4321, 34], [5, 6]], "classes": {"ham": scores, "x": scores}}
    }
    assert "4,321" not in text_of(shown)
    text = text_of(shown, verbose=True)
    assert "Classes, snorkel on test" in text
    (line,) = [line for line in text.splitlines() if line.startswith("ham ")]
    assert line.split() == ["ham", "0.750", "-", "0.125", "1,234", "4,321", "34"]


def test_markup_in_reasons_is_printed_as_text() -> None:
    odd = record()
    odd.programs["rejected"][0]["reason"] = "[bold]x[/bold] [red]"
    assert "[bold]x[/bold] [red]" in text_of(odd)


def test_f1_is_not_shown_where_it_is_not_defined() -> None:
    without = record()
    without.label_model["metrics"]["test"] = SCORES | {"f1": None}
    without.end_model["metrics"]["test"] = dict.fromkeys(SCORES, SPREAD) | {"f1": None}
    (line,) = [line for line in text_of(without).splitlines() if line.startswith("distilled")]
    assert line.split() == ["distilled", "mlp,", "test", *["0.934", "±", "0.006", "-", "0.934", "±", "0.006"]]


def test_scores_on_unseen_rows_are_in_the_table_only_if_there_are_repeats() -> None:
    assert "no earlier split" not in text_of(record())
    repeated = record()
    repeated.label_model["metrics_unseen"] = {"valid": None, "test": SCORES | {"accuracy": 0.912}}
    repeated.end_model["metrics_unseen"] = {"test": dict.fromkeys(SCORES, SPREAD)}
    lines = [" ".join(line.split()) for line in text_of(repeated).splitlines()]
    (of_votes,) = [line for line in lines if line.startswith("snorkel, test, unseen 0.912")]
    (distilled,) = [line for line in lines if line.startswith("distilled mlp, test, unseen 0.934 ± 0.006")]
    assert (len(of_votes.split()), len(distilled.split())) == (6, 13)
    assert "unseen: rows whose text is in no earlier split" in lines


@pytest.mark.parametrize(
    ("end_model", "label_model", "expected"),
    [
        ({"test": {"f1": {"mean": 0.9, "std": 0.01}}}, {"test": {"f1": 0.8}}, ["test F1", "0.900 ± 0.010", "0.800"]),
        ({"valid": {"f1": {"mean": 0.9, "std": 0.01}}}, {}, ["valid F1", "0.900 ± 0.010", "-"]),
        ({"test": {"f1": None}}, {"test": {"f1": None}}, ["test F1", "-", "-"]),
        ({"test": {"f1": None}}, {"test": None}, ["test F1", "-", "-"]),
        ({}, {}, ["-", "-", "-"]),
    ],
)
def test_the_headline_of_a_run(end_model: dict[str, Any], label_model: dict[str, Any], expected: list[str]) -> None:
    run = RunRecord(run_key="k", status=RunStatus.FINISHED, started_at="")
    run.config = {"dataset": {"metric": "f1"}}
    run.end_model = {"metrics": end_model, "seeds": [0, 1]}
    run.label_model = {"metrics": label_model, "coverage": {"train": 0.5}}
    assert [*headline(run).values()] == [*expected, "0.500"]


def test_groups_and_concepts_are_printed_where_the_record_has_them() -> None:
    plain = text_of(record())
    assert "Groups" not in plain
    assert "Concepts" not in plain
    images = record()
    summary = dict.fromkeys(("average", "adjusted_average", "worst_accuracy", "gap", "adjusted_gap"), SPREAD)
    worst = {"worst_group": ["a, x"] * 2, "worst_n": [20] * 2, "worst_interval": [[0.5, 0.9]] * 2}
    images.groups = {
        "attribute": "place",
        "names": ["a, x", "b, y"],
        "train_shares": [0.5, 0.5],
        "used_by": [],
        "label_model": {},
        "end_model": {"test": summary | worst | {"names": ["a, x", "b, y"], "n": [20, 30], "accuracy": [0.8, 0.9]}},
    }
    fidelity = {"own": "neck", "follows": "place", "aucs": {"neck": 0.6, "place": 0.7, "class": 0.5}}
    entry = {"concept": "neck", "description": "A long neck", "kept": True, "reason": "", "fidelity": fidelity}
    images.concepts = {"list": [entry], "scale": "rank", "source": "LLM"}
    text = text_of(images)
    assert "worst group, distilled: a, x (n = 20)" in text
    assert "Group labels were known to no stage." in text
    assert "AUC place" in text
    assert text.index("Scores") < text.index("Groups") < text.index("Concepts") < text.index("Programs")


def test_texts_of_others_cannot_control_the_terminal_or_imitate_a_line() -> None:
    shown = record()
    shown.label_model["labels"] = {"ham\x1b[2J": 4, "spam\u202e\ngold used  none": 6}
    shown.notes.append("a note\rwith a return")
    shown.programs["list"] = [PROGRAM | {"origin": "evil\x07", "polarity": ["\x9b31m"]}]
    text = text_of(shown)
    assert "4 ham\\x1b[2J, 6 spam\\u202e\\ngold used  none" in text
    assert "evil\\x07" in text
    assert all(character.isprintable() or character == "\n" for character in text)
