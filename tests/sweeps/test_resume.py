"""A sweep that is killed, fails or overlaps with another one does no finished work twice."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forking import run_forked
from tests.support.llm_server import ReceivedRequest, ScriptedResponse, Server
from tests.support.paths import REPOSITORY

PROBE = str(REPOSITORY / "tests" / "sweeps" / "probe.py")
WORDS = ("http", "check", "subscribe", "channel", "free", ".com", "visit", "please", "my", "out")
TINY = ("dataset.limit=100", "logger=none", "label_model=majority", "end_model=none")
ONE, THREE = "method.n_programs=1", "method.n_programs=3"
HINTS = "method.performance_hint=false,true"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with an LLM that writes another program for each request."""
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test")

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        word = WORDS[(len(running.requests) - 1) % len(WORDS)]
        return ScriptedResponse(
            text=f"```python\ndef label_function(comment):\n    return 1 if {word!r} in comment.lower() else 0\n```"
        )

    with Server(respond) as running:
        yield running


Probe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sweep(tmp_path: Path) -> Probe:
    """Runs a sweep in a new process that behaves as `behavior` says."""

    def run(*overrides: str, **behavior: object) -> subprocess.CompletedProcess[str]:
        probe = json.dumps({"log": str(tmp_path / "log"), **behavior})
        return run_forked(PROBE, "-m", *TINY, *overrides, cwd=tmp_path, environment={"PROBE": probe})

    return run


def trained(directory: Path) -> Counter[str]:
    """Return how many trainings have begun and ended, by job."""
    return Counter((directory / "log").read_text().splitlines())


def files(directory: Path, pattern: str) -> dict[str, int]:
    """Return the times of change of files in the outputs."""
    return {str(path): path.stat().st_mtime_ns for path in (directory / "outputs").glob(pattern)}


def test_a_killed_sweep_goes_on_where_it_was(server: Server, sweep: Probe, tmp_path: Path) -> None:
    jobs = (f"llm.base_url={server.url}/v1", "llm=openai_compatible", "llm.model=m", THREE, "seed=s0", HINTS)
    killed = sweep(*jobs, kill_at=2)
    assert killed.returncode == -9
    assert len(server.requests) == 6  # three programs without the hint and three with it
    assert trained(tmp_path) == {"begun s0 False": 1, "ended s0 False": 1, "begun s0 True": 1}
    votes, records = files(tmp_path, "cache/votes/**/*.npy"), files(tmp_path, "runs/*/record.json")
    (finished,) = (path for path in records if json.loads(Path(path).read_text())["status"] == "finished")
    assert len(votes) > 0

    again = sweep(*jobs)
    assert again.returncode == 0, again.stderr
    assert len(server.requests) == 6
    assert files(tmp_path, "cache/votes/**/*.npy") == votes
    assert files(tmp_path, "runs/*/record.json")[finished] == records[finished]
    counts = trained(tmp_path)
    assert {job: n for job, n in counts.items() if n > 1} == {"begun s0 True": 2}  # the one that was killed
    lines = again.stdout.splitlines()
    assert lines[0].startswith("1 of 2  method.performance_hint=False  finished before; run ")
    assert [line[:6] for line in lines if re.match(r"\d of 2  ", line)] == ["1 of 2", "2 of 2"]
    table = lines[lines.index("2 of 2 jobs are done") :][2:4]
    assert [line.split()[0] for line in table] == ["False", "True"]
    assert ["finished before" in line for line in table] == [True, False]

    assert len([*(tmp_path / "outputs" / "multirun").iterdir()]) == 2  # each sweep has its own directory


def test_a_failed_job_is_run_again_alone(sweep: Probe, tmp_path: Path) -> None:
    jobs = (ONE, "seed=s0,s1,s2")
    stopped = sweep(*jobs, "sweep.fail_fast=true", fail_seed="s1")
    assert stopped.returncode == 1
    assert "s2" not in (tmp_path / "log").read_text()
    assert "1 of 3 jobs are done  1 failed, 1 not started" in stopped.stdout.splitlines()
    records = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    assert {record["error"] for record in records} == {None, "RuntimeError: a planted error"}
    assert not any("sweep" in text for record in records for text in [*record["config"], *record["overrides"]])

    assert sweep(*jobs).returncode == 0
    counts = trained(tmp_path)
    assert {job: counts[f"ended {job} False"] for job in ("s0", "s1", "s2")} == {"s0": 1, "s1": 1, "s2": 1}
    assert counts["begun s1 False"] == 2

    assert sweep(ONE, "seed=s0", "force=true").returncode == 0
    assert trained(tmp_path)["ended s0 False"] == 2


def test_two_sweeps_at_once_do_each_job_once(sweep: Probe, tmp_path: Path) -> None:
    both = sweep(ONE, "seed=s0,s1", sweeps=2, sleep_s=0.5)
    assert both.returncode == 0, both.stderr
    assert trained(tmp_path) == {f"{word} {seed} False": 1 for word in ("begun", "ended") for seed in ("s0", "s1")}
    assert "waiting for another job" in both.stderr


def test_ctrl_c_ends_the_jobs_in_parallel_processes(sweep: Probe, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "programs").mkdir()
    for number in range(3):
        source = f"def label_function(text):\n    for _ in range(10**8): pass\n    return {number % 2}\n"
        (tmp_path / "programs" / f"{number}.py").write_text(source)
    slow = ("method=program_files", "method.path=programs", "vetting=off")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    stopped = sweep("seed=s0", *slow, *joblib, interrupt_at=1)
    assert stopped.returncode == 130, stopped.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    assert [(record["status"], record["error"]) for record in records] == [("failed", "interrupted")]
    assert stopped.stderr.splitlines()[-1] == "error: interrupted"
    assert "0 of 1 jobs are done" in stopped.stdout.splitlines()
