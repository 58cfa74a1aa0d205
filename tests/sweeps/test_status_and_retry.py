"""The commands that show the state of runs and run again what has ended without a result."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp.cli import retry, run, status
from alchemist_exp.core.locks import locked
from alchemist_exp.core.overrides import override
from alchemist_exp.pipeline import run as pipeline
from alchemist_exp.sweeps.submissions import Submission, SubmittedJob
from tests.support.commands import run_command
from tests.support.records import record, write

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = ("dataset.limit=100", "method.n_programs=1", "logger=none", "label_model=majority", "end_model=none")
PAID = ("llm=openai_compatible", "llm.model=m", "llm.base_url=http://127.0.0.1:1/v1")

Command = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command and returns its exit code, the lines of standard output, and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test")

    def run_it(main: Callable[[], None], *arguments: str) -> tuple[int, list[str], str]:
        code = run_command(main, monkeypatch, *arguments)
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err

    return run_it


UNFINISHED: dict[str, Any] = {name: {} for name in ("label_model", "end_model", "programs", "cost")}


def unfinished(name: str, **values: object) -> Path:
    """Write the record of a run without a result, in the directory outputs."""
    write(Path("outputs"), name, record() | UNFINISHED | {"status": "failed", "error": "planted"} | values)
    return Path("outputs", "runs", name, "record.json")


def replace_in(record: Path, **values: object) -> None:
    record.write_text(json.dumps(json.loads(record.read_text()) | values))


def test_failed_and_killed_runs_are_run_again(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ("-m", *TINY, "seed=s1,s2")
    assert "outputs has no directory runs/" in command(retry.main, *sweep)[2]
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "run_stages", lambda *arguments: (_ for _ in ()).throw(ValueError("planted")))
        assert command(run.main, *TINY, "seed=s1")[0] == 1
    (made,) = Path("outputs").glob("runs/*/record.json")
    replace_in(made, status="started", error=None)
    listed = command(status.main, *sweep)[1]
    assert [line.split()[0] for line in listed] == ["killed", "missing", "1"]

    code, lines, _ = command(retry.main, *sweep)  # the job without a run is left out
    assert (code, lines[0]) == (0, "run again: 1 killed")
    assert lines[1].split()[0] == "killed"
    assert lines[1].endswith(" ".join([*TINY, "seed=s1"]))
    assert [line for line in lines if re.match(r"\d of \d  ", line)] == [lines[2]]
    assert json.loads(made.read_text())["status"] == "finished"
    assert command(retry.main)[:2] == (
        0,
        ["no run has failed, was interrupted or killed: there is nothing to run again"],
    )


def test_overrides_of_records_become_a_file_of_jobs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished("a", overrides=["+experiment=tiny", "paths.data='a b, c'", "paths.outputs=x"])
    unfinished("b", overrides=[], error="interrupted")
    monkeypatch.setattr(run, "main", lambda: print(sys.argv[1:]))
    code, lines, _ = command(retry.main, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert code == 0
    assert lines[:2] == ["run again: 1 failed, 1 interrupted", lines[1]]
    assert lines[1].endswith("""  +experiment=tiny 'paths.data='"'"'a b, c'"'"''  (planted)""")
    assert lines[2].endswith("the default run")
    (file,) = Path("outputs", "multirun").glob("retry_*.txt")
    assert file.read_text() == """+experiment=tiny 'paths.data='"'"'a b, c'"'"''\nforce=false\n"""
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert lines[3] == str([override("sweep.file", str(file.resolve())), "paths.outputs=outputs", *launcher])


def test_an_llm_that_has_to_be_paid_is_not_asked_without_a_question(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished("a", overrides=[*TINY, *PAID, "method.n_programs=3"])
    code, lines, error = command(retry.main)
    assert (code, lines[0]) == (1, "run again: 1 failed")
    assert "3 calls to m would be paid for, and there is no terminal to ask at; nothing was sent: add --yes" in error
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda s: True, "readline": lambda s: "n\n"})())
    code, lines, error = command(retry.main)
    assert (code, lines[-1]) == (1, "nothing was sent and nothing was run")
    assert "Send 3 calls to m? [y/N] " in error


def test_watching_prints_each_change_until_no_run_is_running(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unfinished("a", status="started", error=None)
    path.with_name(".stage").write_text("training on 100 rows")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            replace_in(path, status="failed", error="planted")

    monkeypatch.setattr(status.time, "sleep", sleep)
    with locked(Path("outputs", "runs", ".locks", "a.lock")):
        code, lines, _ = command(status.main)
        assert code == 1
        assert re.fullmatch(r"running  .*  for [\d:]+, training on 100 rows", lines[0])
        code, lines, _ = command(status.main, "--watch", "7")
    assert (code, waited) == (1, [7, 7])
    assert [line.split()[0] for line in lines] == ["running", "1", "failed", "1"]  # once per change


def test_ctrl_c_ends_watching_with_the_exit_code_of_the_state(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished("a", status="started", error=None)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", interrupt)
    with locked(Path("outputs", "runs", ".locks", "a.lock")):
        code, lines, error = command(status.main, "--watch")
    assert (code, len(lines), error) == (1, 2, "")


def test_a_job_of_slurm_is_shown_with_its_time_in_the_queue(command: Command) -> None:
    unfinished("a", started_at="2026-11-30T10:00:12+00:00", finished_at="2026-11-30T11:00:42+00:00")
    unfinished("b", started_at="2026-11-30T09:00:00+00:00")  # it was not submitted since then
    tasks = tuple(SubmittedJob(run_key=key, overrides=()) for key in ("a", "b"))
    submission = Submission(sweep="s", name="n", created_at="2026-11-30T10:00:00+00:00", tasks=tasks, ended=True)
    submission.write(Path("outputs"))
    lines = command(status.main)[1]
    assert lines[0].endswith("09:00:00  planted")
    assert lines[1].endswith("10:00:12  queued 0:12, ran 1:00:30, planted")
