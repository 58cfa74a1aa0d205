"""A search chooses values by their score on valid, and by nothing else."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from alchemist_exp import config
from alchemist_exp.cli import plan, run
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.pipeline import run as pipeline
from alchemist_exp.results.record import RunRecord, RunStatus
from alchemist_exp.sweeps.search import SearchSettings, run_search
from alchemist_exp.sweeps.search_space import read_search_space
from alchemist_exp.sweeps.study import valid_score
from tests.support.commands import run_command

pytestmark = pytest.mark.usefixtures("shared_stages")

pytest.importorskip("optuna", reason="the extra optuna is not installed")

SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3")
TINY = (
    *("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1"),
    *("method.n_programs=1", "sandbox.determinism_rows=0"),
)
SPACE = ("end_model.learning_rate=tag(log, interval(0.001, 0.03))", "end_model.hidden=[4],[8]")


def test_a_search_chooses_by_valid_and_answers_finished_trials_from_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores on test are replaced by others, whose best run is another one."""
    stages = pipeline.run_stages
    made: list[float] = []

    def with_other_test_scores(experiment: Any, data: Any, record: RunRecord, *arguments: Any) -> None:
        stages(experiment, data, record, *arguments)
        made.append([0.25, 0.75, 0.5][len(made)])
        record.end_model["metrics"]["valid"]["accuracy"]["mean"] = made[-1]
        record.end_model["metrics"]["test"]["accuracy"]["mean"] = 1 - made[-1]

    monkeypatch.setattr(pipeline, "run_stages", with_other_test_scores)
    monkeypatch.chdir(tmp_path)
    assert run_command(run.main, monkeypatch, *SEARCH, *TINY, *SPACE) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line.split()[:3] for line in lines if re.match(r"\d of 3  end_model", line)]
    assert titles == [["1", "of", "3"], ["2", "of", "3"], ["3", "of", "3"]]
    assert not any("test accuracy" in line for line in lines)
    table = lines[lines.index("3 of 3 jobs are done") + 2 :][:3]
    assert [re.search(r"valid accuracy +([\d.]+)", line)[1] for line in table] == ["0.750", "0.500", "0.250"]
    (best,) = (line for line in lines if line.startswith("best "))
    assert best.endswith(": valid accuracy 0.750, the highest of 3; gold labels of valid were used for this choice")
    (repeat,) = (shlex.split(line.removeprefix("repeat")) for line in lines if line.startswith("repeat "))
    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/record.json")]
    assert len(records) == 3
    (chosen,) = (one for one in records if one["end_model"]["metrics"]["valid"]["accuracy"]["mean"] == 0.75)
    assert repeat == ["alchemist", "run", *chosen["overrides"]]
    assert all(record["data"]["gold_used"][-1].startswith("valid: search for values (") for record in records)

    assert run_command(run.main, monkeypatch, *SEARCH, *TINY, *SPACE) == 0
    again = capsys.readouterr().out.splitlines()
    assert len(made) == 3
    assert [line for line in again if line.startswith("repeat")] == [
        line for line in lines if line.startswith("repeat")
    ]
    assert run_command(run.main, monkeypatch, *repeat[2:]) == 0
    assert "loaded from the existing record" in capsys.readouterr().out


def test_a_search_over_few_combinations_tries_each_once_and_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optuna proposes values again; such a trial is not counted."""
    monkeypatch.chdir(tmp_path)
    search = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1000000")
    small = ("dataset=youtube", "dataset.limit=60", "end_model=none", "sandbox.determinism_rows=0", "logger=none")
    values = "label_model=majority,weighted_majority,one_coin"
    assert run_command(run.main, monkeypatch, *search, *small, values) == 0
    assert "3 of 3 jobs are done" in capsys.readouterr().out
    assert len([*tmp_path.glob("outputs/runs/*/record.json")]) == 3


class _WithoutTest(dict):
    def get(self, key: str, default: Any = None) -> Any:
        assert key == "valid"
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        assert key == "valid"
        return super().__getitem__(key)


def _record(**sections: Any) -> RunRecord:
    return RunRecord(run_key="k", status=RunStatus.FINISHED, started_at="", **sections)


@pytest.mark.parametrize(
    ("metric", "seeds", "score"), [("accuracy", [0, 1], 0.8), ("f1", [0, 1], None), ("accuracy", [], 0.7)]
)
def test_the_score_is_that_of_the_last_model_on_valid(metric: str, seeds: list[int], score: float | None) -> None:
    record = _record(
        config={"dataset": {"metric": metric}},
        label_model={"metrics": _WithoutTest(valid={"accuracy": 0.7, "f1": 0.6}, test={})},
        end_model={"seeds": seeds, "metrics": _WithoutTest(valid={"accuracy": {"mean": 0.8}, "f1": None}, test={})},
    )
    assert valid_score(record) == score


def test_values_are_intervals_or_lists() -> None:
    space = read_search_space(
        [
            "a=int(interval(1,8))",
            "seed=s0",
            "b=tag(log,interval(0.0012345,1))",
            "c=x,y",
            "d=range(0,0.3,0.1)",
            "e=1,2",
            "e=3",
        ]
    )
    assert space.fixed == ("seed=s0", "e=3")
    assert [str(of_key) for of_key in space.distributions.values()] == [
        "IntDistribution(high=8, log=False, low=1, step=1)",
        "FloatDistribution(high=1.0, log=True, low=0.0012345, step=None)",
        "CategoricalDistribution(choices=('x', 'y'))",
        "CategoricalDistribution(choices=('0.0', '0.1', '0.2'))",
    ]
    chosen = {"a": 3, "b": 0.012345678, "c": "x", "d": "0.1"}
    assert space.overrides(chosen) == ("seed=s0", "e=3", "a=3", "b=0.01235", "c=x", "d=0.1")
    assert "b=0.0012345" in space.overrides(chosen | {"b": 0.0012345})  # not below the interval


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Begins a search in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def begin(*overrides: str, **settings: int) -> object:
        with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            composed = loader.load_configuration("config", [*overrides], RunMode.MULTIRUN)
            context: Any = SimpleNamespace(callbacks=SimpleNamespace(callbacks=[]), config_loader=loader)
            launcher: Any = None
            chosen = SearchSettings(**({"n_trials": 1, "batch_size": 1, "seed": 0} | settings))
            return run_search(overrides, config=composed, context=context, launcher=launcher, settings=chosen)

    return begin


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("gold=none",), "chooses values by the labels of valid, and gold=none forbids their use; use gold=valid"),
        (("dataset.label_column=null",), "chooses values by the labels of valid, and files has none; label a valid"),
        (("sweep.skip=['seed=s0']",), "sweep.skip chooses jobs, and so does hydra/sweeper=optuna"),
        (("gold=none,valid",), "gold=none,valid: a search cannot choose gold, because scores must be those of the"),
        (("dataset.limit=10,20",), "dataset.limit=10,20: a search cannot choose dataset.limit"),
        (
            ("label_model.tolerance=interval(1,1)",),
            "expected an interval from a number to a larger one, not from 1.0 to 1.0",
        ),
        (("label_model.tolerance=tag(x,interval(0,1))",), "the tag 'x' is unknown; the only tag of a search is log"),
        (
            ("label_model.tolerance=tag(log,interval(0,1))",),
            "an interval with the tag log has to begin above 0, not at 0.0",
        ),
        (
            ("label_model.max_iterations=1",),
            "a search needs a key with several values, as in 'end_model.learning_rate=",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    search: Callable[..., object], tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    rows = "text,label\na,x\nb,y\n"
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.csv").write_text(rows)
    files = ("dataset=files", "dataset.path=.", "dataset.prompt=p", "dataset.classes=[x,y]")
    searched = () if "epochs" in overrides[0] else ("label_model.max_iterations=1,2",)
    with pytest.raises(ConfigError) as caught:
        search(*files, *searched, *overrides)
    assert message in str(caught.value)


def test_wrong_settings_and_a_missing_package_are_one_sentence(
    search: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="n_trials is 0; expected a whole number from 1 on"):
        search("label_model.max_iterations=1,2", n_trials=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match="hydra/sweeper=optuna needs the extra optuna: pip install"):
        search("label_model.max_iterations=1,2")


def test_the_trials_of_a_search_are_not_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(plan.main, monkeypatch, *SEARCH, *TINY, *SPACE) == 1
    assert "the jobs of hydra/sweeper=optuna depend on the scores of earlier ones" in capsys.readouterr().err
