"""The commands that show the state of runs and run again what has ended without a result."""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp.cli import retry, run, status
from alchemist_exp.core.locks import locked
from alchemist_exp.pipeline import run as pipeline
from tests.support.commands import run_command

TINY = ("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1")
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


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, command: Command) -> Callable[..., Path]:
    """Starts a run that fails, and returns its record."""

    def fail_with(*overrides: str) -> Path:
        before = {*Path("outputs").glob("runs/*/record.json")}
        with monkeypatch.context() as patched:
            patched.setattr(pipeline, "run_stages", lambda *arguments: (_ for _ in ()).throw(ValueError("planted")))
            assert command(run.main, *TINY, *overrides)[0] == 1
        (record,) = {*Path("outputs").glob("runs/*/record.json")} - before
        return record

    return fail_with


def replace_in(record: Path, **values: object) -> None:
    record.write_text(json.dumps(json.loads(record.read_text()) | values))


def test_failed_and_killed_runs_are_run_again(command: Command, fail: Callable[..., Path]) -> None:
    sweep = ("-m", *TINY, "seed=s0,s1,s2")
    assert (
        command(retry.main, *sweep)[2] == "error: outputs has no directory runs/; give the directory that the runs "
        "had as paths.outputs.\n"
    )
    fail("seed=s0", "paths.data='a b, c'")
    replace_in(fail("seed=s1"), status="started", error=None)
    listed = command(status.main, *sweep)[1]
    assert [line.split()[0] for line in listed] == ["missing", "killed", "missing", "1", "1"]
    assert [line.split()[0] for line in command(status.main)[1]] == ["failed", "killed", "1"]

    code, lines, _ = command(retry.main, *sweep)  # the job without a run is left out
    assert (code, lines[0]) == (0, "run again: 1 killed")
    assert lines[1].split()[0] == "killed"
    assert lines[1].endswith("+experiment=tiny label_model=majority end_model.max_epochs=1 seed=s1")
    assert [line for line in lines if re.match(r"\d of \d  ", line)] == [lines[2]]

    code, lines, _ = command(retry.main)
    assert code == 0
    assert lines[:2] == ["run again: 1 failed", lines[1]]
    assert lines[1].endswith("'paths.data='\"'\"'a b, c'\"'\"''  (ValueError: planted)")
    assert [line.split()[0] for line in command(status.main)[1]] == ["done", "done", "2"]
    assert command(retry.main)[:2] == (
        0,
        ["no run has failed, was interrupted or killed: there is nothing to run again"],
    )


def test_an_llm_that_has_to_be_paid_is_not_asked_without_a_question(
    command: Command, fail: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = fail(*PAID, "method.n_programs=3")
    code, lines, error = command(retry.main)
    assert (code, lines[0]) == (1, "run again: 1 failed")
    assert "3 calls to m would be paid for, and there is no terminal to ask at; nothing was sent: add --yes" in error
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda s: True, "readline": lambda s: "n\n"})())
    code, lines, error = command(retry.main)
    assert (code, lines[-1]) == (1, "nothing was sent and nothing was run")
    assert "Send 3 calls to m? [y/N] " in error
    assert json.loads(record.read_text())["error"] == "ValueError: planted"


def test_watching_prints_each_change_until_no_run_is_running(command: Command, fail: Callable[..., Path]) -> None:
    record = fail("seed=s0")
    finished = json.loads(record.read_text())
    replace_in(record, status="started", error=None)
    (record.parent / ".stage").write_text("training on 100 rows")
    lock = record.parents[1] / ".locks" / f"{record.parent.name}.lock"
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(lock):
            held.set()
            end.wait(20)
            replace_in(record, **finished)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    code, (line, _), _ = command(status.main)
    assert code == 1
    assert re.fullmatch(r"running  .*  for \d:\d\d, training on 100 rows", line)
    threading.Timer(1.5, end.set).start()
    began = time.monotonic()
    code, lines, _ = command(status.main, "--watch", "1")
    holder.join()
    assert code == 1
    assert 1 < time.monotonic() - began < 10
    assert [line.split()[0] for line in lines] == ["running", "1", "failed", "1"]  # once per change


def test_ctrl_c_ends_watching_with_the_exit_code_of_the_state(
    command: Command, fail: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = fail("seed=s0")
    replace_in(record, status="started", error=None)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", interrupt)
    with locked(record.parents[1] / ".locks" / f"{record.parent.name}.lock"):
        code, lines, error = command(status.main, "--watch")
    assert (code, len(lines), error) == (1, 2, "")
