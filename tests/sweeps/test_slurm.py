"""Sweeps on Slurm: failed, cancelled and stopped jobs, a killed launcher, and large arrays.

The jobs train no end model, so that they do not import torch. A job that is held in the queue costs no process.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alchemist_exp.sweeps.cluster_settings import SlurmSettings, check_resources
from alchemist_exp.sweeps.slurm import SlurmError
from tests.support.forking import ForkedProcess, run_forked
from tests.support.paths import REPOSITORY
from tests.support.slurm_node import TIMEOUT_S

pytestmark = pytest.mark.usefixtures("shared_stages")

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

PROBE = str(REPOSITORY / "tests" / "sweeps" / "cluster_probe.py")
TINY = ("dataset.limit=100", "method.n_programs=1", "logger=none", "label_model=majority", "end_model=none")
# Slurm looks for jobs near their time limits every 30 s.
LIMITS = ("hydra.launcher.cpus=1", "hydra.launcher.time_min=2", "hydra.launcher.signal_delay_s=30")
ON_SLURM = ("hydra/launcher=slurm", *LIMITS)
HELD = "hydra.launcher.options={hold: true}"
SECRET = "sk-secret-4711"


class Cluster:
    """Runs commands whose jobs misbehave.

    Args:
        directory: The directory that commands run in.
        configuration: The configuration of Slurm; None for none.

    """

    def __init__(self, directory: Path, configuration: Path | None) -> None:
        self.directory = directory
        self.environment = {"PROBE": str(directory / "probe.json"), "OPENAI_API_KEY": SECRET}
        if configuration:
            self.environment["SLURM_CONF"] = str(configuration)
        self.processes: list[ForkedProcess] = []
        self.behave()

    def behave(self, **behavior: object) -> None:
        values = {"log": str(self.directory / "log"), **behavior}
        (self.directory / "probe.json").write_text(json.dumps(values))

    def start(self, command: str, *arguments: str) -> ForkedProcess:
        """Start a command whose output `output` returns, while others run."""
        (self.directory / "output").write_bytes(b"")
        output = str(self.directory / "output")
        process = ForkedProcess(
            PROBE,
            command,
            *arguments,
            cwd=self.directory,
            files=(os.devnull, output, output),
            environment=self.environment,
        )
        self.processes.append(process)
        return process

    def output(self) -> str:
        return (self.directory / "output").read_text()

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        done = run_forked(PROBE, command, *arguments, cwd=self.directory, environment=self.environment)
        return done.returncode, done.stdout + done.stderr

    def slurm(self, *command: str) -> None:
        subprocess.run(command, env=os.environ | self.environment, check=True)

    def trained(self) -> Counter[str]:
        """Return how many trainings have begun and ended, by seed."""
        log = self.directory / "log"
        return Counter(log.read_text().splitlines() if log.exists() else [])

    def wait_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < end, self.output()
            time.sleep(0.1)

    def submissions(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in (self.directory / "outputs" / "sweeps").glob("*.json")]

    def jobs_of(self, seed: str) -> list[str]:
        """Return the numbers of the jobs in Slurm that have a seed."""
        return [
            f"{submission['job_id']}" + (f"_{index}" if len(submission["tasks"]) > 1 else "")
            for submission in self.submissions()
            for index, task in enumerate(submission["tasks"])
            if f"seed={seed}" in task["overrides"]
        ]


@pytest.fixture
def cluster(slurm: Path, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, slurm)
    yield cluster
    for process in cluster.processes:
        process.kill()  # after a failed test


@pytest.mark.slurm
def test_the_same_command_completes_what_failed_was_cancelled_or_took_too_long(cluster: Cluster) -> None:
    sweep = ("-m", *TINY, "seed=s0,s1,s2,s3", *ON_SLURM)
    cluster.behave(**{"raise": ["s0"], "sleep": ["s1", "s2"]})
    launcher = cluster.start("run", *sweep)
    cluster.wait_until(lambda: {"begun s1", "begun s2"} <= {*cluster.trained()})
    (cancelled,), (too_long,) = cluster.jobs_of("s1"), cluster.jobs_of("s2")
    cluster.slurm("scancel", cancelled)
    # One minute is the smallest time limit. Slurm signals the job as soon as it looks at it.
    cluster.slurm("scontrol", "update", f"JobId={too_long}", "TimeLimit=1")
    assert launcher.wait(TIMEOUT_S) == 1, cluster.output()
    output = cluster.output()
    assert "1 of 4 jobs are done  3 failed" in output
    assert re.search(r"failed +seed=s0: unexpected RuntimeError: a planted error", output), output
    assert re.search(r"failed +seed=s1: it was cancelled \(Slurm job \d+_1: CANCELLED\)", output), output
    assert re.search(r"failed +seed=s2: it reached the time limit of 2 min \(hydra.launcher.time_min\)", output), output
    records = map(Path.read_text, (cluster.directory / "outputs" / "runs").glob("*/record.json"))
    errors = {json.loads(record)["error"] for record in records}
    assert errors == {None, "RuntimeError: a planted error", "terminated", "stopped by Slurm's time limit"}
    assert sorted(len(submission["tasks"]) for submission in cluster.submissions()) == [1, 3]  # MaxArraySize is 4

    # The command is killed while its jobs run; the next one waits for them.
    cluster.behave(until=str(cluster.directory / "go"))
    launcher = cluster.start("run", *sweep)
    cluster.wait_until(lambda: cluster.trained()["begun s0"] == 2)
    launcher.kill()
    launcher.wait()
    assert "3 jobs submitted as Slurm job" in cluster.output()
    launcher = cluster.start("run", *sweep)
    cluster.wait_until(lambda: "3 jobs of this sweep are in the queue already" in cluster.output())
    (cluster.directory / "go").touch()
    assert launcher.wait(TIMEOUT_S) == 0, cluster.output()
    assert len(cluster.submissions()) == 3
    trained = cluster.trained()
    assert [trained[f"begun {seed}"] for seed in ("s0", "s1", "s2", "s3")] == [2, 2, 2, 1]
    assert [trained[f"ended {seed}"] for seed in ("s0", "s1", "s2", "s3")] == [1] * 4
    code, output = cluster.run("wait")
    assert (code, output.splitlines()[-2:][0]) == (0, "3 done"), output
    for path in (cluster.directory / "outputs").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.slurm
def test_jobs_in_the_queue_are_submitted_once_shown_and_cancelled(cluster: Cluster) -> None:
    jobs = ("-m", *TINY, "seed=s0", HELD, *LIMITS)
    code, output = cluster.run("submit", *jobs, "--yes")
    assert code == 0, output
    (submission,) = cluster.submissions()
    assert f"cancel     alchemist cancel {submission['sweep']}" in output
    # A submission whose process was killed before it could record the number of the job is found by its name.
    path = cluster.directory / "outputs" / "sweeps" / f"{submission['name']}.json"
    path.write_text(json.dumps(submission | {"job_id": ""}))
    code, output = cluster.run("submit", *jobs, "--yes")
    assert "there is nothing to submit" in output
    code, output = cluster.run("status")
    assert code == 1
    assert re.search(r"^pending .*Slurm job \d+: JobHeldUser$", output, re.M), output

    # Ctrl-C cancels what the command itself has submitted.
    launcher = cluster.start("run", "-m", *TINY, "seed=s0,s1", HELD, *ON_SLURM)
    cluster.wait_until(lambda: "2 pending (JobHeldUser)" in cluster.output())
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(TIMEOUT_S) == 130
    assert "1 job cancelled (sweep.on_interrupt=cancel)" in cluster.output()
    code, output = cluster.run("cancel", submission["sweep"])
    assert output == "1 job was cancelled\n"


@pytest.mark.slurm
def test_what_slurm_refuses_is_refused_before_anything_is_queued(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    check_resources(SlurmSettings(cpus=1))
    with pytest.raises(SlurmError, match=r"^Slurm refuses these jobs; change hydra.launcher.partition"):
        check_resources(SlurmSettings(cpus=64))


def test_without_slurm_the_message_names_the_missing_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(
        SlurmError, match=r"^the command sbatch is missing; this is not a machine that submits to Slurm\."
    ):
        check_resources(SlurmSettings())


def test_the_local_launcher_shows_failed_jobs(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, None)
    cluster.behave(**{"raise": ["s0"]})
    launcher = ("hydra/launcher=slurm_local", "hydra.launcher.n_jobs=2")
    code, output = cluster.run("run", "-m", *TINY, "seed=s0,s1", *launcher)
    assert code == 1, output
    assert "1 of 2 jobs are done  1 failed" in output
    assert re.search(r"failed +.*seed=s0: unexpected RuntimeError: a planted error", output), output
    assert cluster.trained() == {"begun s0": 1, "begun s1": 1, "ended s1": 1}
