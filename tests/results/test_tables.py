"""The paper's tables from generated records: every format, averages, refusals, missing results."""

import csv
import io
import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results import paper
from alchemist_exp.results.aggregate import aggregate
from alchemist_exp.results.comparison import compare_runs, compare_table
from alchemist_exp.results.filled_table import FilledTable, fill, places
from alchemist_exp.results.paper_tables import TABLES, Quantity
from alchemist_exp.results.render import FORMATS, as_text
from alchemist_exp.results.report import Grid, Report
from alchemist_exp.results.run_filters import narrow
from alchemist_exp.results.runs import RunState, index_runs
from tests.support.records import record, write

HOSTILE = "\x1b[2J\x07<script>alert(1)</script> [bold]x[/bold] | `$_%&#{}~^\\\r\n=cmd() \u202eevil\ud800"
SWEPT = {name: [i for i in table.items if i not in table.optional] for name, table in TABLES.items()}


def made(runs: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a record of a run that gives a place's result."""
    members = {key: value for key, value in runs.items() if "." not in key}
    if members.get("selection") == "all":
        del members["selection"]
    values = {key: value for key, value in runs.items() if "." in key}
    return record(members, config=values | changes.pop("config", {}), **changes)


def write_all(outputs: Path, name: str, **changes: Any) -> None:
    """Write a record for every place of a table's sweep."""
    wanted = {repr(p.runs): p.runs for p in places(TABLES[name], {}) if p.item in SWEPT[name]}
    for number, runs in enumerate(wanted.values()):
        write(outputs, f"{name}-{number:03}", made(runs, **changes))


def filled(outputs: Path, name: str, **filters: str) -> FilledTable:
    return fill(name, index_runs(outputs).runs, {key: value.split(",") for key, value in filters.items()})


def report_of(outputs: Path, name: str, **filters: str) -> Report:
    return compare_table(filled(outputs, name, **filters), outputs, n_finished=len(index_runs(outputs).runs))


@pytest.mark.parametrize("name", TABLES)
def test_a_complete_table_has_every_result_and_nothing_is_missing(tmp_path: Path, name: str) -> None:
    write_all(tmp_path, name)
    found = report_of(tmp_path, name)
    assert [gap.place for gap in found.missing if gap.of_sweep] == []
    for kind, (_, write_as) in FORMATS.items():
        text = write_as(found)
        assert ("0.936" if "label_model" in TABLES[name].measures else "0.92" if kind != "csv" else "0.91999") in text
        for number in list(paper.numbers(name).values())[:20]:
            assert f"{number:g}".rstrip("0") in text, (kind, number)


@pytest.mark.parametrize("name", TABLES)
def test_without_runs_a_table_has_the_papers_numbers_and_lists_every_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "runs").mkdir()
    found = report_of(tmp_path, name)
    wanted = {repr(p.runs) for p in places(TABLES[name], {}) if p.item in SWEPT[name]}
    assert len(found.missing) == len(wanted) + len(TABLES[name].optional)
    for _, write_as in FORMATS.values():
        assert write_as(found)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_the_paper_has_a_place_in_its_table(name: str) -> None:
    table = TABLES[name]
    for item, source, measure, dataset in paper.numbers(name):
        assert item in table.items
        assert source in paper.SOURCES
        assert measure in table.measures
        assert dataset in table.datasets
    assert name == "figure5" or paper.numbers(name)


@pytest.mark.parametrize("name", TABLES)
def test_the_experiment_of_a_table_sweeps_over_exactly_its_places(name: str) -> None:
    file = Path(config.config_dir(), "experiment", f"{name}.yaml")
    sweep = yaml.safe_load(file.read_text(encoding="utf-8"))
    chosen = dict(next(iter(d.items())) for d in sweep["defaults"])
    fixed = {"method": "alchemist", "supplement": "none", "selection": "all"}
    fixed |= {key.removeprefix("override /"): value for key, value in chosen.items()}
    params = {key: str(values).split(",") for key, values in sweep["hydra"]["sweeper"]["params"].items()}
    jobs = [fixed | dict(zip(params, job, strict=True)) for job in itertools.product(*params.values())]
    of_table = {repr(p.runs): p.runs for p in places(TABLES[name], {}) if p.item in SWEPT[name]}.values()
    for runs in of_table:
        assert any(all(job[key] == str(value) for key, value in runs.items()) for job in jobs), runs
    draws = len(params.get("selection.seed") or params.get("dataset.seed", [""]))
    assert len(jobs) == len(of_table) * draws
    assert f"{len(jobs)} runs" in file.read_text(encoding="utf-8")
    assert f"alchemist compare outputs --table {name}" in file.read_text(encoding="utf-8")


def test_some_numbers_of_the_paper_as_printed() -> None:
    assert paper.numbers("table1")["zero_shot", "gpt-3.5", "cost_usd", "cancer"] == 15.925
    assert paper.numbers("table2")["clip_vit_l14.alchemist", "gpt-4o", "worst_group", "waterbirds"] == 0.467
    assert paper.numbers("table2")["vanilla_image", "claude-3", "gap", "waterbirds"] == 0.759
    assert paper.numbers("table3")["rules", "claude-3", "label_model", "french"] == 0.33
    assert paper.numbers("table4")["human", "wrench", "programs", "sms"] == 73
    assert paper.numbers("table8")["flyingsquid", "gpt-3.5", "distilled", "sms"] == 0.915
    assert paper.numbers("table9")["human", "wrench", "flyingsquid", "sms"] == 0.0


def test_the_abstracts_claims_from_the_papers_own_table(tmp_path: Path) -> None:
    write_all(tmp_path, "table1")
    rows = {labels[0]: cells for labels, cells in report_of(tmp_path, "table1").grids[1].rows}
    assert rows["the abstract"] == ["12.9%", "-", "500x"]
    assert rows["the paper's table"] == ["12.9% (5 of 8 improve)", "2.7%", "675x (over 8)"]
    assert rows["ours"] == ["needs zero-shot runs", "-", "15x (over 8)"]


def test_our_gain_is_computed_once_zero_shot_labeling_has_been_run(tmp_path: Path) -> None:
    write_all(tmp_path, "table1")
    for dataset, score in {"youtube": 0.8, "imdb": 0.95}.items():
        write(tmp_path, dataset, record({"dataset": dataset, "method": "zero_shot"}, distilled=(score,) * 5))
    found = report_of(tmp_path, "table1")
    assert found.grids[1].rows[2][1][:2] == ["15.0% (1 of 2 improve)", "5.9%"]
    assert [gap.place for gap in found.missing] == ["sms, yelp, medabs, cancer, finance, french, Zero-shot prompting"]
    assert found.missing[0].command.startswith("alchemist run -m method=zero_shot llm=openai dataset=sms,yelp,")


def cell(
    found: FilledTable, item: str, dataset: str, measure: str = "distilled", gold: str = "valid"
) -> tuple[float, Any, int]:
    at = ["item", "source", "measure", "dataset"]
    one = found.cells.set_index(at).sort_index().loc[(item, f"ours:{gold}", measure, dataset)]
    return round(float(one["mean"]), 6), round(float(one["sd"]), 6), int(one["n"])


def test_seeds_in_separate_runs_are_averaged(tmp_path: Path) -> None:
    scores = (0.90, 0.91, 0.92, 0.93, 0.94)
    for seed, score in enumerate(scores):
        write(tmp_path, f"s{seed}", record(seeds=(seed,), distilled=(score,)))
    together = round(float(np.mean(scores)), 6), round(float(np.std(scores, ddof=1)), 6), 5
    assert cell(filled(tmp_path, "table8"), "snorkel", "youtube") == together
    write(tmp_path, "five", record(distilled=scores))
    assert cell(filled(tmp_path, "table8"), "snorkel", "youtube") == together
    assert "0.920 ± 0.016" in as_text(report_of(tmp_path, "table8"))


def test_a_seed_with_two_scores_is_refused_with_the_filter_that_chooses(tmp_path: Path) -> None:
    write(tmp_path, "alone", record(seeds=(0,), distilled=(0.5,)))
    write(tmp_path, "five", record())
    with pytest.raises(
        ConfigError, match=r"the runs alone and five have the same settings and differ .* of seed 0; .* seed=s0"
    ):
        filled(tmp_path, "table8")


DIFFERENCES: dict[str, dict[str, Any]] = {
    "code": {"code": "fade" * 6},
    "packages.torch": {"packages": {"torch": "2.14.0", "numpy": "2.4"}},
    "data.fingerprint": {"data": record()["data"] | {"fingerprint": "0ther"}},
    "end_model.max_epochs": {"config": {"end_model.max_epochs": 3}},
    "feature_extractor.name": {"config": {"feature_extractor.name": "minilm"}},
    "label_model.max_iterations": {"config": {"label_model.max_iterations": 5}},
    "llm.model": {"config": {"llm.model": "other"}},
    "llm.base_url": {"config": {"llm.base_url": "http://127.0.0.1:18082/v1"}},
    "llm.structured_output": {"config": {"llm.structured_output": False}},
}


@pytest.mark.parametrize("key", DIFFERENCES)
def test_runs_with_other_settings_are_refused_with_the_filter_that_chooses(tmp_path: Path, key: str) -> None:
    write(tmp_path, "one", record(seeds=(0,)))
    write(tmp_path, "other", record(seeds=(1,), started_at="2026-11-23T10:00:00+00:00", **DIFFERENCES[key]))
    with pytest.raises(ConfigError) as caught:
        filled(tmp_path, "table8")
    sentence = str(caught.value)
    assert sentence.startswith("table8 would mix runs")
    assert f"that differ in {key}: " in sentence
    choice = re.search(rf"or choose with {re.escape(key)}=(\S+)\.", sentence)
    assert choice is not None
    filters = {key: [choice[1]]}
    chosen = fill("table8", narrow(index_runs(tmp_path).runs, filters), filters)
    assert [*chosen.finished.index] == ["other"]


def test_a_value_that_only_some_runs_have_is_a_difference(tmp_path: Path) -> None:
    write(tmp_path, "default", record(seeds=(0,)))
    write(tmp_path, "cold", record(seeds=(1,), config={"llm.temperature": 0.0}))
    with pytest.raises(ConfigError, match=r"differ in llm\.temperature: 0\.0 \(1 run, .*\) and null \(1 run"):
        filled(tmp_path, "table8")
    for value, run in (("0.0", "cold"), ("null", "default")):
        filters = {"llm.temperature": [value]}
        assert [*fill("table8", narrow(index_runs(tmp_path).runs, filters), filters).finished.index] == [run]


def test_the_list_of_runs_averages_seeds_and_estimates_the_cost_of_replays(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path, f"run{seed}", record(seeds=(seed,), distilled=(0.9 + seed / 50,)))
    runs = index_runs(tmp_path).runs
    (line,) = compare_runs(runs, tmp_path).flat.to_dict("records")
    assert (line["n"], line["runs"]) == (2, "run1 run0")
    assert line["distilled"] == pytest.approx(0.91)
    assert line["sd"] == pytest.approx(np.std([0.9, 0.92], ddof=1))
    assert runs["cost.list_price_usd"].isna().all()
    assert line["list price"] == runs["cost.break_even.programs_usd"].iloc[0]


def test_the_list_of_runs_is_sorted_by_score_within_a_dataset_and_fits_a_screen(tmp_path: Path) -> None:
    for dataset, scores in {"youtube": (0.8, 0.95, 0.9), "sms": (0.6, 0.7, 0.65)}.items():
        for number, score in enumerate(scores):
            changes = {"end_model.max_epochs": number + 1}
            made = record({"dataset": dataset}, config=changes, seeds=(0,), distilled=(score,))
            write(tmp_path, f"{dataset}{number}", made)
    runs = index_runs(tmp_path).runs
    assert [*compare_runs(runs, tmp_path).flat["runs"]] == ["sms1", "sms2", "sms0", "youtube1", "youtube2", "youtube0"]
    cut = compare_runs(runs, tmp_path, shown=4)
    assert [cells[-1] for _, cells in cut.grids[0].rows] == ["sms1", "sms2", "youtube1", "youtube2"]
    assert cut.notes == ["2 more settings with lower scores are not shown; --all shows them."]
    assert len(cut.flat) == 6


def test_runs_without_scores_are_listed_last(tmp_path: Path) -> None:
    write(tmp_path, "scored", record())
    unscored = record({"label_model": "majority"})
    unscored["end_model"]["metrics"], unscored["label_model"]["metrics"] = {}, {}
    write(tmp_path, "unscored", unscored)
    (grid,) = compare_runs(index_runs(tmp_path).runs, tmp_path).grids
    assert [cells[-1] for _, cells in grid.rows] == ["scored", "unscored"]
    assert grid.rows[1][1][:2] == ["-", "-"]
    alone = compare_runs(index_runs(tmp_path).runs.loc[["unscored"]], tmp_path)
    assert "unscored" in as_text(alone)


def test_a_seed_that_scores_differently_alone_is_a_row_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "alone", record(seeds=(0,), distilled=(0.5,)))
    write(tmp_path, "five", record())
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert [*report.flat["runs"]] == ["five", "alone"]
    assert [*report.flat["seed"]] == ["five", "s0"]


def test_columns_are_the_keys_that_matter(tmp_path: Path) -> None:
    """A key that another column implies, or that alters no score, has no column."""
    write(tmp_path, "a", record())
    write(tmp_path, "b", record({"dataset": "sms"}, config={"llm.price": {"as_of": "later"}}))
    write(tmp_path, "c", record({"feature_extractor": "minilm"}, config={"feature_extractor.batch_size": 32}))
    write(tmp_path, "d", record({"selection": "random"}, config={"selection.n": 4, "selection.seed": 1}))
    write(tmp_path, "e", record({"selection": "random"}, config={"selection.n": 5, "selection.seed": 2}))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert report.captions[0].startswith("Scores on test (F1 on sms, accuracy on youtube), mean ± sd over n seeds")
    (grid,) = report.grids
    assert grid.stubs == ["dataset", "selection", "feature_extractor"]
    columns = ["selection.n", "label model", "distilled", "n", "run"]
    assert [name for _, name in grid.columns] == columns


def test_runs_over_a_part_of_a_dataset_count_only_without_others(tmp_path: Path) -> None:
    trials = {
        "trial": {"config": {"dataset.limit": 100}, "data": record()["data"] | {"fingerprint": "0ther"}},
        "smaller": {"config": {"dataset.limit": 50}, "data": record()["data"] | {"fingerprint": "third"}},
    }
    for name, changes in trials.items():
        write(tmp_path, name, record(distilled=(0.1,) * 5, **changes))
    with pytest.raises(ConfigError, match="that differ in"):
        filled(tmp_path, "table8")
    write(tmp_path, "whole", record())
    assert [*filled(tmp_path, "table8").finished.index] == ["whole"]
    assert "2 runs over a part of their dataset are left out" in as_text(report_of(tmp_path, "table8"))
    filters = {"dataset.limit": ["100"]}
    chosen = fill("table8", narrow(index_runs(tmp_path).runs, filters), filters)
    assert ([*chosen.finished.index], chosen.n_limited) == (["trial"], 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"llm.max_in_flight": 9}},
        {"config": {"paths.outputs": "/elsewhere", "sandbox.workers": 2, "dataset.path": "/else"}},
        {"config": {"logger.name": "wandb"}},
    ],
)
def test_what_alters_no_result_may_differ(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, "one", record(seeds=(0,)))
    write(tmp_path, "other", record(seeds=(1,), **changes))
    assert cell(filled(tmp_path, "table8"), "snorkel", "youtube")[2] == 2


def test_what_a_method_does_not_use_may_differ(tmp_path: Path) -> None:
    write(tmp_path, "programs", record())
    write(tmp_path, "human", record({"method": "human", "supplement": "rules"}, config={"llm.model": "other"}))
    assert len(filled(tmp_path, "table4").finished) == 2


def test_runs_with_and_without_gold_are_separate_sources(tmp_path: Path) -> None:
    write(tmp_path, "valid", record())
    write(tmp_path, "none", record({"gold": "none"}, distilled=(0.7,) * 5))
    found = filled(tmp_path, "table8")
    assert cell(found, "snorkel", "youtube")[0] == 0.92
    assert cell(found, "snorkel", "youtube", gold="none")[0] == 0.7
    text = as_text(compare_table(found, tmp_path, n_finished=2))
    assert "ours, gold=valid" in text
    assert "ours, gold=none" in text
    only = as_text(report_of(tmp_path, "table8", gold="none"))
    assert "gold=valid and gold=none" in only or "gold=none" in only


def test_the_score_is_f1_on_sms_and_accuracy_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "sms", record({"dataset": "sms"}, distilled=(0.9,) * 5))
    write(tmp_path, "yelp", record({"dataset": "yelp"}, distilled=(0.9,) * 5))
    found = filled(tmp_path, "table8")
    assert cell(found, "snorkel", "sms")[0] == 0.89
    assert cell(found, "snorkel", "yelp")[0] == 0.9
    assert "0.880" in as_text(compare_table(found, tmp_path, n_finished=2))  # macro F1, in the table of all scores


def test_a_missing_result_has_its_reason_and_command(tmp_path: Path) -> None:
    write(
        tmp_path, "done", record(overrides=["+experiment=table3", "llm.recording=mine", "seed=s0", "dataset=youtube"])
    )
    sections: dict[str, Any] = {"label_model": {}, "end_model": {}, "programs": {}, "cost": {}}
    failed = record({"dataset": "sms"}) | sections | {"status": "failed", "error": "only 2 programs"}
    write(tmp_path, "failed", failed)
    write(tmp_path, "killed", record({"dataset": "yelp"}) | sections | {"status": "started"})
    gaps = {gap.place: gap for gap in report_of(tmp_path, "table8", label_model="snorkel").missing}
    assert gaps["sms, Snorkel"].reason == "failed: only 2 programs"
    assert gaps["yelp, Snorkel"].reason == "killed"
    notes = report_of(tmp_path, "table8", label_model="snorkel").notes
    assert notes[-1] == f"2 of the table's runs have not finished; see alchemist status {tmp_path}"
    assert gaps["imdb, Snorkel"].reason == "no run, or its job could not start"
    assert shlex.split(gaps["imdb, Snorkel"].command) == [
        "alchemist", "run", "+experiment=table8", "llm.recording=mine", "seed=five", "dataset=imdb", "method=alchemist",
        "supplement=none", "label_model=snorkel", f"paths.outputs={tmp_path}",
    ]  # fmt: skip
    assert "youtube, Snorkel" not in gaps


def test_a_filter_that_leaves_nothing_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "done", record())
    with pytest.raises(ConfigError, match="in table8, dataset 'yotube' is unknown; did you mean 'youtube'"):
        filled(tmp_path, "table8", dataset="yotube")


def test_figure5_is_over_draws_each_of_which_counts_once(tmp_path: Path) -> None:
    of = {"supplement": "mixed", "selection": "random", "dataset": "yelp"}
    for draw, score in enumerate((0.8, 0.9)):
        for seed in (0, 1):
            values = {"selection.n": 4, "selection.seed": draw}
            write(tmp_path, f"{draw}{seed}", record(of, seeds=(seed,), label_model=score, config=values))
    found = filled(tmp_path, "figure5")
    assert cell(found, "4", "yelp", "label_model") == (0.85, 0.070711, 2)
    assert "mean ± sd over 2 draws of programs" in compare_table(found, tmp_path, n_finished=4).captions[0]


# -- Table 2: accuracy by group


def birds(method: str = "alchemist", seed: int | None = 0, **changes: Any) -> dict[str, Any]:
    """Return a record of toy_birds drawn from a seed; of waterbirds without a seed."""
    dataset, extractor = ("waterbirds", "clip_vit_b32") if seed is None else ("toy_birds", "clip_toy")
    config = ({} if seed is None else {"dataset.seed": seed, "dataset.n_train": 800}) | changes.pop("config", {})
    data = record()["data"] | {"fingerprint": changes.pop("fingerprint", f"birds{seed}")}
    members = {"dataset": dataset, "feature_extractor": extractor, "method": method}
    return record(members, config=config, data=data, **{"seeds": (0,), "distilled": (0.9,)} | changes)


def test_the_means_of_drawn_data_are_over_their_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate((0.7, 0.8, 0.9)):
        write(tmp_path, f"{seed}", birds(seed=seed, label_model=score, distilled=(score - 0.1,)))
    write(tmp_path, "photos", birds(seed=None, label_model=0.6))
    found = filled(tmp_path, "table2")
    assert cell(found, "clip_toy.alchemist", "toy_birds", "average") == (0.8, 0.1, 3)
    assert cell(found, "clip_toy.alchemist", "toy_birds", "adjusted_average") == (0.81, 0.1, 3)
    assert cell(found, "clip_toy.alchemist", "toy_birds", "worst_group") == (0.5, 0.1, 3)
    assert cell(found, "clip_toy.alchemist", "toy_birds", "distilled_worst_group") == (0.4, 0.1, 3)
    mean, sd, n = cell(found, "clip_vit_b32.alchemist", "waterbirds", "average")
    assert (mean, np.isnan(sd), n) == (0.6, True, 1)
    report = compare_table(found, tmp_path, n_finished=4)
    assert report.captions[0].startswith("Ours: mean ± sd over 1 to 3 seeds of the data")
    rows = {tuple(labels): cells for labels, cells in report.grids[0].rows}
    ours = rows["toy_birds (synthetic)", "toy CLIP: Alchemist", "ours"]
    assert ours == ["0.800 ± 0.100", "0.810 ± 0.100", "0.500 ± 0.100", "0.300 ± 0.000"]
    assert rows["waterbirds", "CLIP B/32: Alchemist", "Claude 3"] == ["0.774", "-", "0.463", "0.410"]
    assert rows["waterbirds", "CLIP L/14: zero-shot", "paper"] == ["0.904", "-", "0.335", "0.569"]
    # The paper prints nothing about distilled models.
    assert {labels[2] for labels, _ in report.grids[1].rows} == {"ours"}


def test_each_seed_of_the_data_and_of_the_end_model_counts_once(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path, f"{seed}", birds(seed=seed, seeds=(0, 1), distilled=(0.8, 0.9)))
    write(tmp_path, "again", birds(seed=1, seeds=(1,), distilled=(0.9,)))
    found = filled(tmp_path, "table2")
    assert cell(found, "clip_toy.alchemist", "toy_birds", "average")[2] == 2
    assert cell(found, "clip_toy.alchemist", "toy_birds", "distilled_average")[::2] == (0.85, 4)


@pytest.mark.parametrize("kind", FORMATS)
def test_drawn_data_are_named_synthetic_wherever_they_appear(tmp_path: Path, kind: str) -> None:
    write(tmp_path, "a", birds())
    for report in (report_of(tmp_path, "table2"), compare_runs(index_runs(tmp_path).runs, tmp_path)):
        text = FORMATS[kind][1](report)
        # Commands name the member of the group; a note says that it is synthetic.
        found = re.findall(r"(?<!dataset=)toy\\?_birds(?! is drawn \(synthetic\))(.{12})", text)
        assert found
        assert {*found} == {" (synthetic)"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"config": {"dataset.n_train": 120}}, r"of dataset=toy_birds that differ in dataset\.n_train: "),
        ({"fingerprint": "other"}, r"of dataset=toy_birds, dataset\.seed=0 that differ in data\.fingerprint: "),
        ({"config": {"label_model.max_iterations": 5}}, r"differ in label_model\.max_iterations: "),
    ],
)
def test_drawn_data_of_another_kind_are_not_averaged(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    write(tmp_path, "one", birds())
    write(tmp_path, "other", birds(**changes))
    write(tmp_path, "seed1", birds(seed=1))
    with pytest.raises(ConfigError, match=sentence):
        filled(tmp_path, "table2")


def test_two_results_of_one_seed_of_the_data_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", birds(seed=1, label_model=0.7))
    write(tmp_path, "other", birds(seed=1, label_model=0.8, seeds=(1,)))
    with pytest.raises(ConfigError, match="the runs one and other have the same settings and differ in label model"):
        filled(tmp_path, "table2")


def test_missing_results_of_table2_have_commands_that_make_them(tmp_path: Path) -> None:
    overrides = ["+experiment=table2", "dataset.seed=1", "method=alchemist", "dataset.n_train=120", "logger=none"]
    write(tmp_path, "done", birds(overrides=overrides))
    sections: dict[str, Any] = {"label_model": {}, "end_model": {}, "programs": {}, "cost": {}}
    failed = {"status": "failed", "error": "no images"}
    write(tmp_path, "failed", birds("clip_group", seed=None) | sections | failed)
    gaps = {gap.place: gap for gap in report_of(tmp_path, "table2").missing}
    assert sum(gap.of_sweep for gap in gaps.values()) == 4
    # The seeds of the data are those of the sweep.
    assert shlex.split(gaps["toy_birds (synthetic), toy CLIP: RoboShot"].command) == [
        "alchemist", "run", "+experiment=table2", "dataset.n_train=120", "logger=none", "seed=s0", "dataset=toy_birds",
        "feature_extractor=clip_toy", "method=roboshot", f"paths.outputs={tmp_path}",
    ]  # fmt: skip
    photos = gaps["waterbirds, CLIP L/14: Alchemist"]
    assert photos.reason == "not part of the sweep, since it needs the images of Waterbirds and the weights of CLIP"
    assert shlex.split(photos.command) == [
        "alchemist", "run", "dataset=waterbirds", "feature_extractor=clip_vit_l14", "method=alchemist",
        f"paths.outputs={tmp_path}",
    ]  # fmt: skip
    assert gaps["waterbirds, CLIP B/32: group prompts"].reason == "failed: no images"


def test_the_list_of_runs_has_worst_groups_if_runs_have_groups(tmp_path: Path) -> None:
    write(tmp_path, "text", record())
    columns = ["worst group, label model", "gap, label model", "worst group, distilled", "gap, distilled"]
    assert {*columns}.isdisjoint(compare_runs(index_runs(tmp_path).runs, tmp_path).flat)
    for seed, score in enumerate((0.7, 0.8)):
        write(tmp_path, f"birds{seed}", birds(seed=seed, label_model=score, distilled=(score,)))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    text, of_birds = report.flat.set_index("dataset").loc[["youtube", "toy_birds (synthetic)"], columns].to_numpy()
    assert np.isnan(text).all()
    assert of_birds == pytest.approx([0.45, 0.3, 0.45, 0.3])
    assert [*report.flat.set_index("dataset").loc["toy_birds (synthetic)", ["n", "runs"]]] == [2, "birds1 birds0"]
    (grid,) = report.grids
    assert "0.450" in str(grid.rows)


def test_drawn_data_of_two_sizes_are_two_lines(tmp_path: Path) -> None:
    write(tmp_path, "a", birds())
    write(tmp_path, "b", birds(seed=1))
    write(tmp_path, "c", birds(config={"dataset.n_train": 120}, fingerprint="small"))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert {*report.flat["dataset"]} == {"toy_birds (synthetic)"}
    assert sorted(report.flat["dataset.n_train"]) == ["120", "800"]


# -- formats


class Page(HTMLParser):
    """The tags and attributes that a browser reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.fixture
def hostile(tmp_path: Path) -> Report:
    """A report with a hostile text in every place that a record can fill."""
    write(tmp_path, "a", record(config={"llm.model": HOSTILE}, code=HOSTILE, overrides=[f"dataset.limit={HOSTILE}"]))
    odd = record({"dataset": "sms"}, config={"llm.model": HOSTILE}, code=HOSTILE)
    odd["label_model"]["warnings"] = [HOSTILE]
    odd["cost"]["break_even"]["basis"] = HOSTILE
    write(tmp_path, "b", odd)
    write(tmp_path, "c", record({"dataset": "yelp"}) | {"status": "failed", "error": HOSTILE})
    return report_of(tmp_path, "table8")


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_in_a_record_acts_in_any_format(hostile: Report, tmp_path: Path, kind: str) -> None:
    hostile_axis = pd.Index([HOSTILE], name=HOSTILE, dtype=object)
    own = Grid(title=HOSTILE, frame=pd.DataFrame([[HOSTILE]], index=hostile_axis, columns=hostile_axis, dtype=object))
    flat = pd.concat([hostile.flat, pd.DataFrame({"x": pd.Series([HOSTILE, "=1+1"], dtype=object)})])
    everywhere = Report(
        name="t", title=HOSTILE, captions=[HOSTILE], grids=[*hostile.grids, own], notes=[*hostile.notes, HOSTILE],
        missing=hostile.missing, sweep_command=HOSTILE, flat=flat,
    )  # fmt: skip
    text = FORMATS[kind][1](everywhere)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800]", text)
    match kind:
        case "html":
            plain = Page(FORMATS["html"][1](hostile))
            assert {"script", "bold"}.isdisjoint(Page(text).tags)
            assert not {name for name in Page(text).attributes if name.startswith("on")}
            assert plain.tags.count("table") == len(hostile.grids)
        case "md":
            assert "<script>" not in re.sub(r"(`+).*?\1", "", text)
            table_rows = [line for line in text.splitlines() if line.startswith("| \\\\x1b")]
            assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in table_rows)
            assert table_rows
        case "csv":
            cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
            assert not [cell for cell in cells if cell[:1] in "=+@" and cell]
        case "latex":
            body = [line for line in text.splitlines() if not line.startswith("%")]
            assert not re.search(r"(?<!\\)[#%_^~]", "\n".join(body))
            braces = re.sub(r"\\[{}]", "", "\n".join(body))
            assert braces.count("{") == braces.count("}")
            assert "\n".join(body).count(r"\begin{table}") == "\n".join(body).count(r"\end{table}")


def test_html_is_one_page_that_loads_nothing(tmp_path: Path) -> None:
    write_all(tmp_path, "table1")
    page = FORMATS["html"][1](report_of(tmp_path, "table1"))
    assert page.startswith("<!doctype html>")
    assert not {"script", "link", "img", "iframe"} & {*Page(page).tags}
    assert not {"src", "href"} & {*Page(page).attributes}
    assert 'class="ours' in page


def test_csv_has_every_result_once_in_full_precision(tmp_path: Path) -> None:
    write_all(tmp_path, "table8")
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"][1](report_of(tmp_path, "table8")))))
    ours = [line for line in lines if line["source"] == "ours" and line["measure"] == "distilled" and line["mean"]]
    assert len(ours) == 4 * 8
    assert {(line["n"], line["gold"]) for line in ours} == {("5", "valid")}
    assert float(ours[0]["sd"]) == pytest.approx(np.std([0.90, 0.91, 0.92, 0.93, 0.94], ddof=1))
    theirs = [line for line in lines if line["source"] == "paper gpt-3.5"]
    assert len(theirs) == 5 * 8 * 2


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(1, 30)), min_size=1, max_size=12),
    st.integers(20, 90),
)
def test_a_cut_table_keeps_every_column_once_and_in_order(columns: list[tuple[str, int]], room: int) -> None:
    names = [(group, f"{i}" + "x" * width) for i, (group, width) in enumerate(columns)]
    cells = [[name for _, name in names]]
    frame = pd.DataFrame(cells, index=pd.Index(["row"], name="stub"), columns=pd.MultiIndex.from_tuples(names))
    parts = Grid(title="", frame=frame).parts(room)
    assert [column for part in parts for column in part.columns] == names
    assert [cell for part in parts for cell in part.rows[0][1]] == [name for _, name in names]


@pytest.mark.parametrize("name", TABLES)
def test_no_line_of_a_text_table_is_wider_than_the_terminal(tmp_path: Path, name: str) -> None:
    write_all(tmp_path, name)
    text = as_text(report_of(tmp_path, name), width=120)
    commands = "Missing results"
    assert max(map(len, text.partition(commands)[0].splitlines())) <= 120


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.data())
def test_a_mean_is_the_same_however_its_seeds_are_spread_over_runs(scores: list[float], data: st.DataObject) -> None:
    cuts = sorted({0, len(scores), *data.draw(st.lists(st.integers(0, len(scores))))})
    runs = pd.DataFrame(
        [
            {
                "state": RunState.DONE, "method": "alchemist", "end_model.seeds": [*range(start, stop)],
                "end_model.metrics.test.accuracy.per_seed": scores[start:stop], "programs.selected": 10,
                "label_model.coverage.train": 1.0, "cost.break_even.programs_usd": None,
            }
            for start, stop in itertools.pairwise(cuts)
        ]
    )  # fmt: skip
    found = aggregate(pd.DataFrame({"cell": 0, "run": runs.index}), runs, [Quantity.DISTILLED]).iloc[0]
    assert found["n"] == len(scores)
    assert found["mean"] == pytest.approx(np.mean(scores))
    assert np.isnan(found["sd"]) == (len(scores) == 1)
    assert np.isnan(found["sd"]) or found["sd"] == pytest.approx(np.std(scores, ddof=1))


# -- any sweep


def test_the_table_of_any_sweep_names_common_settings_once(tmp_path: Path) -> None:
    write(tmp_path, "a", record())
    write(tmp_path, "b", record({"label_model": "majority"}, seeds=(0,), label_model=0.5))
    write(tmp_path, "c", record({"method": "human"}, config={"end_model.max_epochs": 3}))
    found = compare_runs(index_runs(tmp_path).runs, tmp_path)
    text = as_text(found)
    assert found.title.endswith(": 3")
    assert "feature_extractor tfidf" in found.captions[1]
    assert "0.920 ± 0.016" in text
    assert "end_model.max_epochs" in text
    assert found.notes == []
    assert len(found.flat) == 3
    write(tmp_path, "d", record({"feature_extractor": "minilm"}, config={"feature_extractor.batch_size": 32}))
    assert "batch_size" not in as_text(compare_runs(index_runs(tmp_path).runs, tmp_path))  # of one member only
    assert {*found.flat["spent"]} == {0.0}


def test_a_sweep_of_several_versions_has_a_note(tmp_path: Path) -> None:
    write(tmp_path, "a", record())
    write(tmp_path, "b", record(code="fade" * 6))
    found = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert "differ in code" in found.notes[0]
    assert "fadefad" in as_text(found)


def own_text(path: str, **changes: Any) -> dict[str, Any]:
    """Return a record of dataset=files, as `alchemist label` makes it: each file has other values and data."""
    config = {
        "dataset.path": f"/data/{path}",
        "dataset.classes": [f"class {number} of {path}" for number in range(9)],
        "dataset.label_column": f"label of {path}",
        "dataset.prompt": f"Label {path}.",
    } | changes.pop("config", {})
    data = record()["data"] | {"fingerprint": changes.pop("fingerprint", f"{path}7ac0ffee")}
    return record({"dataset": "files"} | changes.pop("members", {}), config=config, data=data, **changes)


def on_valid(made: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a run without a labeled test split."""
    for section in (made["label_model"], made["end_model"]):
        section["metrics"] = {"valid": section["metrics"]["test"]}
    return made


def test_without_labels_on_test_the_scores_are_those_on_valid(tmp_path: Path) -> None:
    write(tmp_path, "a", on_valid(own_text("mine.csv")))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert report.captions[0].startswith("Scores on valid (accuracy), mean ± sd")
    assert "0.936  0.920 ± 0.016" in as_text(report)
    assert report.notes[0].startswith("files: test has no labels, so the scores are on valid")
    assert [*report.flat["split"]] == ["valid"]
    write(tmp_path, "b", record())
    both = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert dict(zip(both.flat["dataset"], both.flat["split"], strict=True)) == {"files": "valid", "youtube": "test"}
    assert "split" in [name for _, name in both.grids[0].columns]
    # The tables of the paper have scores on test only.
    assert filled(tmp_path, "table8").finished.index.tolist() == ["b"]


def test_keys_that_differ_between_datasets_only_have_no_column(tmp_path: Path) -> None:
    write(tmp_path, "a", own_text("one.csv"))
    write(tmp_path, "b", own_text("two.csv"))
    write(tmp_path, "c", own_text("two.csv", config={"end_model.max_epochs": 3}, distilled=(0.8,) * 5))
    write(tmp_path, "d", record(code="fade" * 6))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    (grid,) = report.grids
    assert grid.stubs == ["dataset"]
    assert [labels for labels, _ in grid.rows] == [["files one.csv"], ["files two.csv"], ["files two.csv"], ["youtube"]]
    assert [name for _, name in grid.columns] == ["end_model.max_epochs", "label model", "distilled", "n", "run"]
    assert "(accuracy)" in report.captions[0]
    assert report.notes == []


@pytest.mark.parametrize(
    ("first", "second", "names", "notes"),
    [
        ({}, {"config": {"dataset.limit": 50}, "fingerprint": "0f50"}, ["files limit=50", "files"], 0),
        ({"fingerprint": "aaaaaaaa"}, {"fingerprint": "bbbbbbbb"}, ["files (aaaaaa)", "files (bbbbbb)"], 1),
        ({}, {"members": {"label_model": "majority"}}, ["files", "files"], 0),
    ],
)
def test_data_of_one_member_have_names_that_tell_them_apart(
    tmp_path: Path, first: Any, second: Any, names: list[str], notes: int
) -> None:
    write(tmp_path, "a", own_text("one.csv", **dict(first)))
    write(tmp_path, "b", own_text("one.csv", **dict(second)))
    report = compare_runs(index_runs(tmp_path).runs, tmp_path)
    assert sorted(report.flat["dataset"]) == sorted(names)
    assert len(report.notes) == notes
    if notes:
        chosen = narrow(index_runs(tmp_path).runs, {"data.fingerprint": ["bbbbbb"]})
        assert [*chosen.index] == ["b"]


def test_the_command_of_the_whole_sweep_keeps_the_overrides(tmp_path: Path) -> None:
    write(tmp_path, "a", record({"dataset": "sms"}))
    overrides = ["dataset=sms", "llm.model=a b"]
    report = compare_table(filled(tmp_path, "table8"), tmp_path, n_finished=1, overrides=overrides)
    assert "+experiment=table8 dataset=sms 'llm.model=a b' paths.outputs=" in report.sweep_command


def test_the_heading_of_a_cut_table_is_printed_once(tmp_path: Path) -> None:
    write(tmp_path, "a", record())
    text = as_text(report_of(tmp_path, "table8", dataset="youtube"), 60)
    heading = "All scores of our runs"
    headings = [line for line in text.splitlines() if line.startswith(heading)]
    assert len(headings) > 1
    assert not headings[0].endswith("(continued)")
    assert all(line.endswith("(continued)") for line in headings[1:])


def test_a_long_list_is_a_key_and_a_short_one_is_shown(tmp_path: Path) -> None:
    for name, hidden, layers in (("a", [64, 64], [*range(30)]), ("b", [8], [*range(31)])):
        write(tmp_path, name, record(config={"end_model.hidden": hidden, "end_model.layers": layers}))
    text = as_text(compare_runs(index_runs(tmp_path).runs, tmp_path))
    assert "[64, 64]" in text
    assert len({*re.findall(r"\([0-9a-f]{6}\)", text)}) == 2
    assert "[0, 1" not in text
