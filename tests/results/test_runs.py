"""The frame of records: states of runs, broken records, filters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.locks import locked
from alchemist_exp.results.aggregate import measurements
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.run_filters import narrow
from alchemist_exp.results.runs import RunState, index_runs, load_runs
from tests.support.records import UNUSED, record, write

BROKEN = {
    "nonsense": "{",
    "a_list": "[]",
    "no_config": '{"schema_version": 2, "run_key": "k", "started_at": "t", "status": "started"}',
}


def test_a_missing_outputs_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"has no directory runs/; give the directory that the runs had as paths\.outputs"
    ):
        index_runs(tmp_path)


def test_a_finished_run_is_a_row_with_its_members_and_the_values_of_its_record(tmp_path: Path) -> None:
    write(tmp_path, "a", record(seeds=(0, 1), distilled=(0.9, 0.8)))
    write(tmp_path, "b", record({"method": "human"}))
    run, human = (load_runs(tmp_path).loc[name] for name in ("a", "b"))
    assert (run["state"], run["label_model"], run["selection"]) == (RunState.DONE, "snorkel", "all")
    assert run["config.label_model.max_iterations"] == 100
    assert run["config.dataset.limit"] is None
    assert run["end_model.metrics.test.accuracy.per_seed"] == [0.9, 0.8]
    assert run["label_model.metrics.test.f1"] == 0.926
    assert np.isnan(human["selection"])


def test_what_runs_measured_is_one_value_a_row(tmp_path: Path) -> None:
    write(tmp_path, "a", record(seeds=(0, 1), distilled=(0.9, 0.8)))
    values = measurements(index_runs(tmp_path).runs).set_index(["quantity", "score", "seed"])["value"].sort_index()
    assert values[Quantity.DISTILLED, "accuracy"].to_dict() == {0: 0.9, 1: 0.8}
    assert values[Quantity.LABEL_MODEL].to_dict() == {
        ("accuracy", ""): 0.936,
        ("f1", ""): 0.926,
        ("macro_f1", ""): 0.916,
    }
    assert values[Quantity.PROGRAMS, "", ""] == 10


def test_without_test_gold_there_are_no_scores(tmp_path: Path) -> None:
    bare = record()
    bare["label_model"]["metrics"] = bare["end_model"]["metrics"] = {}
    write(tmp_path, "a", bare)
    assert {*measurements(index_runs(tmp_path).runs)["score"]} == {""}


def test_f1_is_absent_when_no_test_row_is_positive(tmp_path: Path) -> None:
    without = record()
    without["label_model"]["metrics"]["test"]["f1"] = without["end_model"]["metrics"]["test"]["f1"] = None
    write(tmp_path, "a", without)
    found = index_runs(tmp_path)
    assert found.errors == ()
    assert {*measurements(found.runs)["score"]} == {"", "accuracy", "macro_f1"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_named_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, "sound", record())
    write(tmp_path, name, BROKEN[name])
    found = index_runs(tmp_path)
    assert [*found.runs.index] == ["sound"]
    (sentence,) = found.errors
    assert name in sentence
    assert "broken" in sentence


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("end_model", "seeds", [0]),
        ("end_model", "seeds", None),
        ("label_model", "coverage", {"train": "high"}),
        ("label_model", "coverage", {"train": True}),
        ("label_model", "coverage", {"train": -5}),
        ("label_model", "metrics", {"test": []}),
        ("label_model", "warnings", "abc"),
        ("config", "llm", "x"),
        ("data", "rows", {"train": True}),
        ("cost", "break_even", None),
        ("config", "dataset", {"name": 3}),
        ("config", "method", []),
        ("data", "rows", {}),
        ("programs", "selected", None),
        ("programs", "selected", float("inf")),
        ("cost", "spent_usd", float("nan")),
    ],
)
def test_a_record_without_what_a_table_needs_is_named(tmp_path: Path, section: str, key: str, value: object) -> None:
    odd = record()
    odd[section][key] = value
    write(tmp_path, "odd", odd)
    found = index_runs(tmp_path)
    assert found.runs.empty
    assert "odd is broken" in found.errors[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("label_model", []),
        ("label_model.test", []),
        ("label_model.test.gap", "wide"),
        ("label_model.test.worst_accuracy", None),
        ("label_model.test.adjusted_average", True),
        ("label_model.valid", {"average": 0.5}),
        ("end_model.test.average", 0.9),
        ("end_model.test.gap.per_seed", [0.1]),
        ("end_model.test.gap.per_seed", [0.1, float("nan")]),
    ],
)
def test_broken_scores_by_group_are_named(tmp_path: Path, path: str, value: object) -> None:
    odd = record({"dataset": "toy_birds"}, seeds=(0, 1))
    *sections, key = path.split(".")
    part = odd["groups"]
    for section in sections:
        part = part[section]
    part[key] = value
    write(tmp_path, "odd", odd)
    found = index_runs(tmp_path)
    assert found.runs.empty
    assert "odd is broken" in found.errors[0]


def test_scores_by_group_may_have_no_adjusted_average_or_no_rows(tmp_path: Path) -> None:
    bare = record({"dataset": "toy_birds"}, seeds=(0, 1))
    bare["groups"]["label_model"]["test"]["adjusted_average"] = None
    bare["groups"]["end_model"]["test"]["adjusted_average"] = None
    bare["groups"]["label_model"]["valid"] = None
    write(tmp_path, "bare", bare)
    found = index_runs(tmp_path)
    assert found.errors == ()
    assert {*measurements(found.runs)["score"]} >= {"average", "worst_accuracy", "gap"}
    assert "adjusted_average" not in {*measurements(found.runs)["score"]}
    write(tmp_path, "no mapping", record() | {"groups": 3})
    assert "groups is not a mapping" in index_runs(tmp_path).errors[0]


@pytest.mark.parametrize(
    ("path", "value"), [("packages", [1]), ("cost.spent_usd", 10**400), ("data", []), ("cost.spent_usd", 1e400)]
)
def test_a_value_that_no_run_writes_is_named(tmp_path: Path, path: str, value: object) -> None:
    broken = record()
    *sections, key = path.split(".")
    (broken[sections[0]] if sections else broken)[key] = value
    write(tmp_path, "broken", broken)
    write(tmp_path, "whole", record())
    index = index_runs(tmp_path)
    assert [*index.runs.index] == ["whole"]
    assert "broken" in index.errors[0]


def test_directories_without_a_record_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "runs" / ".locks").mkdir(parents=True)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "file").write_text("x")
    found = index_runs(tmp_path)
    assert (len(found.runs), found.errors) == (0, ())


def unfinished(**changes: object) -> dict[str, object]:
    sections = ("programs", "label_model", "end_model", "cost", "seconds")
    return record() | {name: {} for name in sections} | {"finished_at": None} | changes


def test_a_run_that_has_begun_is_running_while_its_lock_is_held_and_killed_when_it_is_not(tmp_path: Path) -> None:
    write(tmp_path, "begun", unfinished(status="started"))
    lock = tmp_path / "runs" / ".locks" / "begun.lock"
    assert index_runs(tmp_path).runs["state"]["begun"] is RunState.KILLED
    with locked(lock):
        assert index_runs(tmp_path).runs["state"]["begun"] is RunState.RUNNING
    assert index_runs(tmp_path).runs["state"]["begun"] is RunState.KILLED
    with locked(lock):  # reading the state has released it
        pass


def test_a_failed_run_has_its_error(tmp_path: Path) -> None:
    write(tmp_path, "failed", unfinished(status="failed", error="no programs"))
    run = index_runs(tmp_path).runs.loc["failed"]
    assert (run["state"], run["error"]) == (RunState.FAILED, "no programs")
    assert measurements(index_runs(tmp_path).runs).empty


@pytest.mark.parametrize("method", config.members("method"))
def test_what_a_method_does_not_use_is_what_the_method_itself_says(
    composed: Callable[..., DictConfig], tmp_path: Path, method: str
) -> None:
    (tmp_path / "one.py").write_text("def label_function(text): return 0")
    needed = {"program_files": [f"method.path={tmp_path}"]}
    experiment = config.build(composed(f"method={method}", *needed.get(method, [])))
    assert {group for group, key in experiment.component_keys().items() if key is None} == {*UNUSED.get(method, ())}


def test_the_server_of_a_model_is_compared_whatever_its_final_slash(composed: Callable[..., DictConfig]) -> None:
    def keys(base_url: str) -> dict[str, object]:
        overrides = ("llm=openai_compatible", "llm.model=m", f"llm.base_url={base_url}")
        return config.build(composed(*overrides)).component_keys()

    one = keys("http://127.0.0.1:18081/v1")
    assert keys("http://127.0.0.1:18081/v1/") == one
    assert keys("http://127.0.0.1:18082/v1") != one


def kept(tmp_path: Path, **filters: str) -> list[str]:
    texts = {key.replace("__", "."): value.split(",") for key, value in filters.items()}
    return [*narrow(index_runs(tmp_path).runs, texts).index]


def test_filters_choose_by_member_value_or_version(tmp_path: Path) -> None:
    write(tmp_path, "majority", record({"label_model": "majority"}))
    write(tmp_path, "snorkel", record(seeds=(0,), code="ab" * 12))
    write(tmp_path, "slow", record(config={"label_model.max_iterations": 500}))
    assert kept(tmp_path, label_model="majority") == ["majority"]
    assert kept(tmp_path, label_model="majority,snorkel") == ["majority", "slow", "snorkel"]
    assert kept(tmp_path, seed="s0") == ["snorkel"]
    assert kept(tmp_path, code="abab") == ["snorkel"]
    assert kept(tmp_path, selection="all") == ["majority", "slow", "snorkel"]
    assert kept(tmp_path, label_model="dawid_skene") == []
    assert kept(tmp_path, dataset__limit="null") == ["majority", "slow", "snorkel"]


def test_a_filter_on_a_value_leaves_runs_of_another_kind(tmp_path: Path) -> None:
    write(tmp_path, "majority", record({"label_model": "majority"}))
    write(tmp_path, "quick", record())
    write(tmp_path, "slow", record(config={"label_model.max_iterations": 500}))
    write(tmp_path, "human", record({"method": "human"}, config={"llm.model": "other"}))
    assert kept(tmp_path, label_model__max_iterations="500") == ["majority", "slow"]
    assert kept(tmp_path, llm__model="claude") == ["human", "majority", "quick", "slow"]


def test_an_unknown_filter_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "a", record())
    with pytest.raises(ConfigError, match="the filter 'lable_model' is unknown; did you mean 'label_model'"):
        kept(tmp_path, lable_model="snorkel")
