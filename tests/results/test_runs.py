"""Records as comparisons read them: how runs stand, what is broken, what a filter leaves."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.locks import locked
from alchemist_exp.results.runs import UNUSED, State, find, narrowed
from tests.support.records import record, write

BROKEN = {
    "nonsense": "{",
    "a_list": "[]",
    "no_config": '{"schema_version": 2, "run_key": "k", "started_at": "t", "status": "started"}',
}


def test_no_folder_of_outputs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no runs/; name the folder given to the runs as paths\.outputs"):
        find(tmp_path)


def test_a_finished_run_has_its_figures(tmp_path: Path) -> None:
    write(tmp_path, "a", record(seeds=(0, 1), distilled=(0.9, 0.8)))
    (run,) = find(tmp_path).runs
    assert (run.state, run.key, run.member("label_model"), run.member("selection")) == (
        State.DONE, "a", "snorkel", "all",
    )  # fmt: skip
    assert run.figures is not None
    assert run.figures.distilled["accuracy"] == {0: 0.9, 1: 0.8}
    assert run.figures.label_model == {"accuracy": 0.936, "f1": 0.926, "macro_f1": 0.916}


def test_without_test_gold_there_are_no_scores(tmp_path: Path) -> None:
    bare = record()
    bare["label_model"]["metrics"] = bare["end_model"]["metrics"] = {}
    write(tmp_path, "a", bare)
    figures = find(tmp_path).runs[0].figures
    assert figures is not None
    assert (figures.label_model, figures.distilled) == (None, {})


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_named_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, "sound", record())
    write(tmp_path, name, BROKEN[name])
    found = find(tmp_path)
    assert [run.key for run in found.runs] == ["sound"]
    (sentence,) = found.broken
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
        ("programs", "accepted", None),
        ("programs", "accepted", float("inf")),
        ("cost", "spent_usd", float("nan")),
    ],
)
def test_a_record_that_lacks_what_a_table_needs_is_named(tmp_path: Path, section: str, key: str, value: object) -> None:
    odd = record()
    odd[section][key] = value
    write(tmp_path, "odd", odd)
    found = find(tmp_path)
    assert found.runs == ()
    assert "odd is broken" in found.broken[0]


def test_a_folder_without_a_record_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "runs" / ".locks").mkdir(parents=True)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "file").write_text("x")
    assert find(tmp_path).runs == find(tmp_path).broken == ()


def unfinished(**changes: object) -> dict[str, object]:
    sections = ("programs", "label_model", "end_model", "cost", "seconds")
    return record() | {name: {} for name in sections} | {"finished_at": None} | changes


def test_a_run_that_has_begun_is_running_while_its_lock_is_held_and_killed_when_it_is_not(tmp_path: Path) -> None:
    write(tmp_path, "begun", unfinished(status="started"))
    lock = tmp_path / "runs" / ".locks" / "begun.lock"
    assert find(tmp_path).runs[0].state is State.KILLED
    with locked(lock):
        assert find(tmp_path).runs[0].state is State.RUNNING
    assert find(tmp_path).runs[0].state is State.KILLED
    with locked(lock):  # looking has not kept it
        pass


def test_a_failed_run_has_its_error(tmp_path: Path) -> None:
    write(tmp_path, "failed", unfinished(status="failed", error="terminated"))
    (run,) = find(tmp_path).runs
    assert (run.state, run.error, run.figures) == (State.FAILED, "terminated", None)


@pytest.mark.parametrize("method", config.members("method"))
def test_what_a_method_does_not_use_is_what_the_method_itself_says(
    composed: Callable[..., DictConfig], tmp_path: Path, method: str
) -> None:
    needed = {"program_files": [f"method.path={tmp_path}"]}
    experiment = config.build(composed(f"method={method}", *needed.get(method, [])))
    used = experiment.method.used(experiment.parts)
    groups = {field.name for field in fields(experiment.parts) if getattr(experiment.parts, field.name) not in used}
    assert groups == {*UNUSED.get(method, ())}


def kept(tmp_path: Path, **filters: str) -> list[str]:
    runs = find(tmp_path).runs
    return [
        run.key for run in narrowed(runs, {key.replace("__", "."): value.split(",") for key, value in filters.items()})
    ]


def test_filters_choose_by_member_value_or_version(tmp_path: Path) -> None:
    write(tmp_path, "majority", record({"label_model": "majority"}))
    write(tmp_path, "snorkel", record(seeds=(0,), code="ab" * 12))
    write(tmp_path, "slow", record(config={"label_model.epochs": 500}))
    assert kept(tmp_path, label_model="majority") == ["majority"]
    assert kept(tmp_path, label_model="majority,snorkel") == ["majority", "slow", "snorkel"]
    assert kept(tmp_path, seed="s0") == ["snorkel"]
    assert kept(tmp_path, code="abab") == ["snorkel"]
    assert kept(tmp_path, selection="all") == ["majority", "slow", "snorkel"]
    assert kept(tmp_path, label_model="dawid_skene") == []
    assert kept(tmp_path, dataset__limit="null") == ["majority", "slow", "snorkel"]


def test_a_value_speaks_only_of_its_own_kind(tmp_path: Path) -> None:
    write(tmp_path, "majority", record({"label_model": "majority"}))
    write(tmp_path, "quick", record())
    write(tmp_path, "slow", record(config={"label_model.epochs": 500}))
    write(tmp_path, "human", record({"method": "human"}, config={"llm.model": "other"}))
    assert kept(tmp_path, label_model__epochs="500") == ["majority", "slow"]
    assert kept(tmp_path, llm__model="claude") == ["human", "majority", "quick", "slow"]


def test_an_unknown_filter_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "a", record())
    with pytest.raises(ConfigError, match="the filter 'lable_model' is unknown; did you mean 'label_model'"):
        kept(tmp_path, lable_model="snorkel")
