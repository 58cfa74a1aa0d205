"""Sweeps on Slurm: failed, cancelled and stopped jobs, a killed launcher, and large arrays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SCRIPT = str(REPOSITORY / "scripts" / "start_slurm.sh")
PROBE = str(REPOSITORY / "tests" / "sweeps" / "cluster_probe.py")
TINY = ("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1")
ON_SLURM = ("hydra/launcher=slurm", "hydra.launcher.cpus=1", "hydra.launcher.time_min=5")
SECRET = "sk-secret-4711"
TIMEOUT_S = 150


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a Slurm of one node with arrays of fewer than four jobs; return its configuration."""
    if shutil.which("sbatch") is None:
        pytest.skip("sbatch is not installed (scripts/start_slurm.sh installs it)")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root")
    home = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "SLURM_HOME": str(home), "SLURM_CPUS": "6", "SLURM_MAX_ARRAY_SIZE": "4"}
    environment["SLURM_PORT"] = str(20000 + os.getpid() % 3000 * 3)
    started = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    if started.returncode:
        subprocess.run([SCRIPT, "stop"], env=environment, timeout=TIMEOUT_S)
        pytest.skip(f"Slurm cannot be started: {started.stderr.strip()}")
    try:
        yield home / "slurm.conf"
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, check=True, timeout=TIMEOUT_S)


class Cluster:
    """Runs commands whose jobs misbehave.

    Args:
        directory: The directory that commands run in.
        configuration: The configuration of Slurm; None for none.

    """

    def __init__(self, directory: Path, configuration: Path | None) -> None:
        self.directory = directory
        self.environment = {**os.environ, "PROBE": str(directory / "probe.json"), "OPENAI_API_KEY": SECRET}
        if configuration:
            self.environment["SLURM_CONF"] = str(configuration)
        self.processes: list[subprocess.Popen[str]] = []
        self.behave()

    def behave(self, **behavior: object) -> None:
        values = {"log": str(self.directory / "log"), **behavior}
        (self.directory / "probe.json").write_text(json.dumps(values))

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, PROBE, command, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        process = self.start(command, *arguments)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, output

    def slurm(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def trained(self) -> Counter[str]:
        """Return how many trainings have begun and ended, by seed."""
        log = self.directory / "log"
        return Counter(log.read_text().splitlines() if log.exists() else [])

    def wait_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.2)

    def submissions(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in (self.directory / "outputs" / "sweeps").glob("*.json")]

    def job_of(self, seed: str) -> str:
        """Return the number of the job in Slurm that has a seed."""
        for submission in self.submissions():
            for index, task in enumerate(submission["tasks"]):
                if f"seed={seed}" in task["overrides"]:
                    return f"{submission['job_id']}_{index}"
        raise AssertionError(seed)


@pytest.fixture
def cluster(slurm: Path, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, slurm)
    yield cluster
    for process in cluster.processes:
        process.kill()  # after a failed test


@pytest.mark.slurm
def test_the_same_command_completes_what_failed_was_cancelled_or_took_too_long(cluster: Cluster) -> None:
    sweep = ("-m", *TINY, "seed=s0,s1,s2,s3,s4,five", *ON_SLURM)
    cluster.behave(**{"raise": ["s0"], "sleep": ["s1", "s2"]})
    launcher = cluster.start("run", *sweep)
    cluster.wait_until(lambda: {"begun s1", "begun s2"} <= {*cluster.trained()})
    cluster.slurm("scancel", cluster.job_of("s1"))
    # The signal that Slurm sends before the end of the time limit.
    cluster.slurm("scancel", "--signal=USR2", cluster.job_of("s2"))
    output, _ = launcher.communicate(timeout=TIMEOUT_S)
    assert launcher.returncode == 1, output
    assert "3 of 6 jobs are done  3 failed" in output
    assert re.search(r"failed +seed=s0: unexpected RuntimeError: a planted error", output), output
    assert re.search(r"failed +seed=s1: it was cancelled \(Slurm job \d+_1: CANCELLED\)", output), output
    assert re.search(r"failed +seed=s2: it reached the time limit of 5 min \(hydra.launcher.time_min\)", output), output
    assert sorted(len(submission["tasks"]) for submission in cluster.submissions()) == [3, 3]  # MaxArraySize is 4

    cluster.behave()
    code, output = cluster.run("run", *sweep)
    assert code == 0, output
    assert "3 jobs submitted as Slurm job" in output
    ended = {seed: cluster.trained()[f"ended {seed}"] for seed in ("s0", "s1", "s2", "s3", "s4", "five")}
    assert set(ended.values()) == {1}, ended
    for path in (cluster.directory / "outputs").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.slurm
def test_jobs_of_a_killed_launcher_go_on_and_are_done_once(cluster: Cluster) -> None:
    sweep = ("-m", *TINY, "seed=s0,s1", *ON_SLURM, "hydra.launcher.array_parallelism=1")
    cluster.behave(pause_s=1)
    launcher = cluster.start("run", *sweep)
    cluster.wait_until(lambda: cluster.trained()["begun s0"])
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    code, output = cluster.run("run", *sweep)
    assert code == 0, output
    assert "in the queue already" in output
    assert cluster.trained() == {f"{word} {seed}": 1 for word in ("begun", "ended") for seed in ("s0", "s1")}
    assert len(cluster.submissions()) == 1


@pytest.mark.slurm
def test_what_slurm_refuses_is_refused_before_anything_is_queued(cluster: Cluster) -> None:
    code, output = cluster.run("run", "-m", *TINY, "seed=s0,s1", *ON_SLURM, "hydra.launcher.cpus=64")
    assert code == 1
    assert "error: Slurm refuses these jobs; change hydra.launcher.partition" in output
    assert cluster.submissions() == []


def test_without_slurm_the_launcher_says_which_command_is_missing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, None)
    cluster.environment["PATH"] = "/nonexistent"
    code, output = cluster.run("run", "-m", *TINY, "seed=s0", *ON_SLURM)
    assert code == 1
    assert "error: the command sbatch is missing; this is not a machine that submits to Slurm." in output


def test_the_local_launcher_shows_failed_jobs_and_the_same_command_completes_them(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, None)
    sweep = ("-m", *TINY, "seed=s1", "hydra/launcher=slurm_local", "hydra.launcher.n_jobs=2")
    cluster.behave(**{"raise": ["s1"]})
    code, output = cluster.run("run", *sweep)
    assert code == 1, output
    assert re.search(r"failed +.*seed=s1: unexpected RuntimeError: a planted error", output), output
    cluster.behave()
    assert cluster.run("run", *sweep)[0] == 0
    assert cluster.trained() == {"begun s1": 2, "ended s1": 1}


@pytest.mark.slurm
def test_submit_returns_and_wait_shows_what_came_of_the_jobs(cluster: Cluster) -> None:
    jobs = ("-m", *TINY, "seed=s0,s1", "hydra.launcher.cpus=1")
    code, output = cluster.run("submit", *jobs)
    assert code == 1
    assert "at most 2.0 core hours (2 x 1 cores x 60 min)" in output
    assert "no terminal to ask at; add --yes" in output
    assert cluster.submissions() == []

    cluster.slurm("scontrol", "update", "PartitionName=main", "State=DOWN")
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
    assert len(re.findall(r"^pending .*Slurm job \d+_\d: Partition(Down|Config)", output, re.M)) == 2, output
    code, output = cluster.run("cancel")
    assert output == "2 jobs were cancelled\n"
    cluster.slurm("scontrol", "update", "PartitionName=main", "State=UP")

    assert cluster.run("submit", *jobs, "--yes")[0] == 0
    code, output = cluster.run("wait")
    assert code == 0, output
    assert output.splitlines()[-1] == "2 done"
    assert cluster.trained() == {f"{word} {seed}": 1 for word in ("begun", "ended") for seed in ("s0", "s1")}
