"""What a job does at the signals of Slurm, and what a command does with its jobs at Ctrl-C; no Slurm is needed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus

from alchemist_exp.core.errors import Terminated
from alchemist_exp.pipeline.settings import OnInterrupt
from alchemist_exp.sweeps import cluster_launcher, slurm
from alchemist_exp.sweeps.cluster_settings import SlurmSettings
from alchemist_exp.sweeps.outcome import JobEndedError
from alchemist_exp.sweeps.submissions import read_submissions

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

from alchemist_exp.sweeps.cluster_job import BaseSubmititLauncher, JobFunction


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of Slurm that were called, without those that ask for jobs."""
    called: list[list[str]] = []

    def run(command: list[str]) -> str:
        if command[0] in ("sacct", "squeue"):
            names = command[[word.startswith("--name=") for word in command].index(True)].removeprefix("--name=")
            return "".join(f"{name}|7_0|PENDING|Priority\n" for name in names.split(",") if command[0] == "squeue")
        called.append(command)
        return ""

    monkeypatch.setattr(slurm, "run", run)
    return called


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore the handlers that a job installs."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def job_with_signal(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, requeues: int) -> JobReturn:
    """Run a job that receives a signal."""
    monkeypatch.setattr(BaseSubmititLauncher, "__call__", lambda *arguments: os.kill(os.getpid(), number))
    function = JobFunction(time_min=5, requeues=requeues)
    function.config = SimpleNamespace(sweep=SimpleNamespace(fail_fast=False))
    return function(["seed=s0"])


def test_a_job_that_reaches_its_time_limit_is_requeued_as_often_as_it_may(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SUBMITIT_EXECUTOR", "slurm"), ("SLURM_ARRAY_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        job_with_signal(monkeypatch, signal.SIGUSR2, requeues=1)
    assert commands == [["scontrol", "requeue", "12_3"]]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    returned = job_with_signal(monkeypatch, signal.SIGUSR2, requeues=1)
    assert len(commands) == 1
    assert returned.status is JobStatus.FAILED
    assert isinstance(returned._return_value, JobEndedError)
    assert str(returned._return_value) == "it reached the time limit of 5 min (hydra.launcher.time_min)"


def test_a_cancelled_job_ends_as_after_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Terminated):
        job_with_signal(monkeypatch, signal.SIGTERM, requeues=1)


@pytest.mark.parametrize("choice", OnInterrupt)
def test_ctrl_c_cancels_or_leaves_the_jobs_of_the_command(
    choice: OnInterrupt,
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster_launcher, "check_resources", lambda settings: None)
    monkeypatch.setattr(slurm, "max_array_size", lambda: 100)
    monkeypatch.setattr(cluster_launcher, "_submit", interrupted)  # after sbatch has queued the jobs
    sweep: Any = SimpleNamespace(
        outputs=tmp_path,
        directory=tmp_path / "multirun" / "a",
        run_keys={("seed=s0",): "0" * 24},
        config=SimpleNamespace(sweep=SimpleNamespace(on_interrupt=choice)),
    )
    with pytest.raises(KeyboardInterrupt):
        cluster_launcher.launch_on_slurm(sweep, SlurmSettings(), [["seed=s0"]], 0)
    assert len(read_submissions(tmp_path)) == 1
    said = capsys.readouterr().err
    if choice is OnInterrupt.cancel:
        assert commands == [["scancel", "7"]]
        assert said.startswith("1 job cancelled (sweep.on_interrupt=cancel); the same command submits them again")
    else:
        assert commands == []
        assert said.startswith("1 job left in Slurm (sweep.on_interrupt=leave); to cancel: alchemist cancel a --outpu")
