"""One contract for every logger of the configuration, then what is particular to W&B."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.tracking import wandb_run
from alchemist_exp.tracking.base import Logger, RunInfo, Tracker
from alchemist_exp.tracking.wandb_run import WandbLogger
from tests.support.wandb_files import read_offline_run

pytestmark = pytest.mark.usefixtures("shared_stages")


@pytest.fixture(params=config.members("logger"))
def logger(request: pytest.FixtureRequest, composed) -> Logger:
    return config.build(composed(f"logger={request.param}")).logger


def info(directory: Path) -> RunInfo:
    directory.mkdir(exist_ok=True)
    return RunInfo(key="key", directory=directory, config={"a": {"b": [1, None]}}, tags=["t"])


def log_all(tracker: Tracker) -> None:
    for step in range(3):
        tracker.log_metrics(step, {"loss": 1.0 / (step + 1)} | ({"late": 1.0} if step == 2 else {}))
    tracker.log_summary({"accuracy": 0.9, "nothing": None})
    tracker.log_table("programs", ["id", "accuracy"], [["a", 0.5], ["b", None]])


def test_a_run_is_logged_and_closed(logger: Logger, tmp_path: Path) -> None:
    logger.check()
    with logger.open(info(tmp_path)) as tracker:
        log_all(tracker)


def test_a_failed_run_is_closed_and_its_error_is_raised(logger: Logger, tmp_path: Path) -> None:
    def fail() -> None:
        with logger.open(info(tmp_path)) as tracker:
            log_all(tracker)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()


def test_csv_files_have_no_formulas(composed, tmp_path: Path) -> None:
    logger = config.build(composed("logger=csv")).logger
    with logger.open(info(tmp_path)) as tracker:
        tracker.log_table("programs", ["=1+1", "share"], [["=cmd|' /C calc'!A0", -0.5], ["-1", None]])
    with (tmp_path / "csv" / "programs.csv").open() as file:
        assert [*csv.reader(file)] == [["'=1+1", "share"], ["'=cmd|' /C calc'!A0", "-0.5"], ["-1", ""]]


def test_csv_files_contain_what_was_logged(composed, tmp_path: Path) -> None:
    logger = config.build(composed("logger=csv")).logger
    with logger.open(info(tmp_path)) as tracker:
        log_all(tracker)
    rows = {path.stem: list(csv.reader(path.open())) for path in (tmp_path / "csv").iterdir()}
    assert rows["curves"] == [["step", "loss", "late"], ["0", "1.0", ""], ["1", "0.5", ""], ["2", str(1 / 3), "1.0"]]
    assert rows["programs"] == [["id", "accuracy"], ["a", "0.5"], ["b", ""]]
    assert ["accuracy", "0.9"] in rows["summary"]


@pytest.fixture
def wandb_logger(composed) -> WandbLogger:
    logger = config.build(composed("logger=wandb")).logger
    assert isinstance(logger, WandbLogger)
    return logger


def test_wandb_runs_are_separate_and_offline_without_a_key(
    wandb_logger: WandbLogger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import openai  # noqa: F401  # W&B would advise to install another package

    for name in ("one", "two"):
        with wandb_logger.open(info(tmp_path / name)) as tracker:
            log_all(tracker)
        (run,) = (tmp_path / name / "wandb").glob("offline-run-*")
        assert list(run.glob("*.wandb"))
    assert capsys.readouterr().err == ""


def test_wandb_goes_online_only_with_a_key(composed, monkeypatch: pytest.MonkeyPatch) -> None:
    def mode(choice: str) -> str:
        return config.build(composed("logger=wandb", f"logger.mode={choice}")).logger.effective_mode

    assert (mode("auto"), mode("offline")) == ("offline", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert (mode("auto"), mode("offline"), mode("online")) == ("online", "offline", "online")


def test_wandb_online_without_a_key_is_one_sentence(composed) -> None:
    with pytest.raises(ConfigError, match="needs the environment variable WANDB_API_KEY"):
        check_experiment(config.build(composed("logger=wandb", "logger.mode=online")))


def test_wandb_writes_no_secret(wandb_logger: WandbLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file contains a key that was set in the environment."""
    secret = "planted-secret-5b1f"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("WANDB_API_KEY", secret * 3)
    monkeypatch.setattr(wandb_logger, "mode", "offline")
    with wandb_logger.open(info(tmp_path)) as tracker:
        log_all(tracker)
    files = [Path(root) / name for root, _, names in os.walk(tmp_path) for name in names]
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes(), file


def test_a_wandb_run_has_a_name_a_group_and_an_id_of_its_own(
    wandb_logger: WandbLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WANDB_RUN_ID does not make two jobs one run. A job that begins again, as after a requeue, has the same id."""
    monkeypatch.setenv("WANDB_RUN_ID", "shared-id")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep-of-an-agent")
    monkeypatch.setenv("WANDB_RESUME", "must")
    ids = []
    for number, key in enumerate(("one", "two", "two")):
        run = replace(info(tmp_path / key), key=key, name=f"sms {key}", group="table8 sweep", job_type="human")
        with wandb_logger.open(run) as tracker:
            log_all(tracker)
        logged = read_offline_run(tmp_path / key)
        (tmp_path / key / "wandb").rename(tmp_path / str(number))  # a run that begins again removes earlier files
        assert (logged.run.display_name, logged.run.run_group) == (run.name, run.group)
        assert (logged.run.job_type, logged.run.sweep_id, logged.exit_code) == ("human", "", 0)
        assert json.loads(logged.summary["accuracy"]) == 0.9
        ids.append(logged.run.run_id)
    assert ids[0] != ids[1] == ids[2]
    assert "shared-id" not in ids
    assert os.environ["WANDB_RUN_ID"] == "shared-id"


def test_a_failed_job_is_a_failed_wandb_run(wandb_logger: WandbLogger, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), wandb_logger.open(info(tmp_path)):
        raise RuntimeError
    assert read_offline_run(tmp_path).exit_code == 1


def test_only_jobs_of_an_online_sweep_wait_before_they_start(
    wandb_logger: WandbLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    opened: list[dict[str, Any]] = []

    def refuse(**arguments: Any) -> None:
        opened.append(arguments)
        raise wandb.Error("no server")

    monkeypatch.setattr(wandb, "init", refuse)
    monkeypatch.setattr(wandb_run.time, "sleep", slept.append)
    run = info(tmp_path)
    for mode, group in (("online", "a sweep"), ("online", ""), ("offline", "a sweep")):
        monkeypatch.setattr(wandb_logger, "mode", mode)
        with pytest.raises(ConfigError, match="no server"), wandb_logger.open(replace(run, group=group)):
            pass
    assert slept == [wandb_run.start_delay_s("key")]
    assert len({one["id"] for one in opened}) == 1
    delays = {wandb_run.start_delay_s(str(number)) for number in range(20)}
    assert len(delays) == 20
    assert all(0 <= delay <= wandb_run.MAX_START_DELAY_S for delay in delays)


@pytest.mark.parametrize(
    ("choice", "environment", "mode"),
    [
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "offline", "WANDB_API_KEY": "k" * 40}, "offline"),
        ("auto", {"WANDB_MODE": "online", "WANDB_API_KEY": "k" * 40}, "online"),
        ("offline", {"WANDB_MODE": "online", "WANDB_API_KEY": "k" * 40}, "offline"),
        ("auto", {"SLURM_JOB_ID": "7", "WANDB_API_KEY": "k" * 40}, "offline"),
        ("online", {"SLURM_JOB_ID": "7", "WANDB_API_KEY": "k" * 40}, "online"),
    ],
)
def test_wandb_mode_is_heeded(
    composed, monkeypatch: pytest.MonkeyPatch, choice: str, environment: dict[str, str], mode: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = config.build(composed("logger=wandb", f"logger.mode={choice}")).logger
    logger.check()
    assert logger.effective_mode == mode


@pytest.mark.parametrize(
    ("overrides", "environment", "sentence"),
    [
        ((), {"WANDB_MODE": "ofline"}, "WANDB_MODE is 'ofline'; expected online, offline, disabled"),
        ((), {"WANDB_MODE": "online"}, "WANDB_MODE=online needs the environment variable WANDB_API_KEY"),
        (("logger.project=a/b",), {}, "logger.project is 'a/b'"),
        (("logger.project=''",), {}, "logger.project is ''"),
        ((), {"WANDB_PROJECT": "x" * 129}, "expected 1 to 128 characters"),
    ],
)
def test_wrong_settings_of_wandb_are_one_sentence(
    composed, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], environment: dict[str, str], sentence: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        check_experiment(config.build(composed("logger=wandb", *overrides)))
    assert sentence in str(caught.value)


def test_the_project_and_the_entity_may_come_from_the_environment(composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    logger = config.build(composed("logger=wandb")).logger
    assert isinstance(logger, WandbLogger)
    assert (logger.project, logger.entity) == ("ours", "team")
