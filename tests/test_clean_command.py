"""The command `alchemist clean`: what is listed, what is deleted, and what never is."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alchemist_exp.cli.clean import main
from alchemist_exp.cli.deletion import Item, delete
from alchemist_exp.core.locks import locked
from alchemist_exp.results.runs import RunState
from tests.support.records import record, write

USED, UNUSED = "0123456789abcdef01234567", "fedcba9876543210fedcba98"
UNFINISHED = {name: {} for name in ("label_model", "end_model", "programs", "cost")}
KEPT = ("cache/replies/ab/ab12.json", "cache/budget.jsonl")
"""What was paid for."""


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Runs in each state, a sweep, cache entries that are used and not, and responses."""
    write(tmp_path, "done", record(cache_entries=[f"features/{USED}", f"votes/{USED}"]))
    write(tmp_path, "old", record({"dataset": "sms"}, started_at="2020-01-01T00:00:00+00:00"))
    write(tmp_path, "failed", record() | UNFINISHED | {"status": "failed", "error": "e"})
    write(tmp_path, "killed", record() | UNFINISHED | {"status": "started"})
    write(tmp_path, "running", record() | UNFINISHED | {"status": "started"})
    for name in (
        *(f"{kind}/{key}" for kind in ("features", "votes") for key in (USED, UNUSED)),
        f"feature_parts/{UNUSED}",
    ):
        entry = tmp_path / "cache" / name
        entry.mkdir(parents=True)
        (entry / "array.npy").write_bytes(b"x" * 10_000)
    for name in KEPT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "multirun" / "2026-01-01" / "0").mkdir(parents=True)
    (tmp_path / "multirun" / "2026-01-01" / "multirun.yaml").write_text("a: 1")
    return tmp_path


@pytest.fixture
def running(outputs: Path) -> Iterator[None]:
    with locked(outputs / "runs" / ".locks" / "running.lock"):
        yield


def there(outputs: Path) -> set[str]:
    """Return the runs, sweeps and cache entries that exist."""
    found = {*outputs.glob("runs/[a-z]*"), *outputs.glob("multirun/*"), *outputs.glob("cache/*/*")}
    names = {str(path.relative_to(outputs)) for path in found}
    return {name for name in names if not name.startswith(("cache/locks", "cache/replies"))}


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("what", "deleted"),
    [
        (("runs",), {"runs/done", "runs/old"}),
        (("runs", "dataset=sms"), {"runs/old"}),
        (("runs", "--older-than", "8w"), {"runs/old"}),
        (("unfinished",), {"runs/failed", "runs/killed"}),
        (("sweeps",), {"multirun/2026-01-01"}),
        (("unfinished", "sweeps"), {"runs/failed", "runs/killed", "multirun/2026-01-01"}),
        (("cache",), set()),  # a running run may be about to read an entry
        ((), set()),
    ],
)
def test_what_is_asked_for_is_deleted_and_nothing_else(
    outputs: Path, what: tuple[str, ...], deleted: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = there(outputs)
    assert main([str(outputs), *what, "--dry-run"]) == 0
    assert there(outputs) == before
    assert main([str(outputs), *what, "--yes"]) == 0
    assert before - there(outputs) == deleted
    assert all((outputs / name).exists() for name in KEPT)
    assert not [*outputs.rglob("*.deleted")]
    assert not what or ("nothing to delete" in capsys.readouterr().out) == (not deleted)


def test_cache_entries_that_no_remaining_run_names_are_deleted(outputs: Path, capsys) -> None:
    (outputs / "runs" / "running" / "record.json").unlink()
    assert main([str(outputs), "cache", "--yes"]) == 0
    assert {name for name in there(outputs) if name.startswith("cache")} == {
        f"cache/features/{USED}",
        f"cache/votes/{USED}",
    }
    assert "3 runs of an earlier version, or killed, do not name the entries they used" in capsys.readouterr().out
    assert main([str(outputs), "runs", "cache", "--yes"]) == 0
    assert not [name for name in there(outputs) if name.startswith("cache")]
    assert all((outputs / name).exists() for name in KEPT)


def test_programs_of_edited_runs_that_no_run_uses_are_deleted(outputs: Path, capsys) -> None:
    directories = [outputs / "edited" / name for name in ("used", "unused")]
    write(outputs, "child", record({"method": "program_files"}, config={"method.path": str(directories[0])}))
    new = outputs / "edited" / "new"
    for directory in (*directories, new):
        directory.mkdir(parents=True)
    for directory in directories:
        os.utime(directory, (0, 0))
    assert main([str(outputs)]) == 0
    assert "programs of edited runs" in capsys.readouterr().out
    assert main([str(outputs), "edited", "--yes"]) == 0
    assert [path.exists() for path in directories] == [True, False]
    assert main([str(outputs), "edited", "runs", "method=program_files", "--yes"]) == 0
    assert not directories[0].exists()
    assert new.exists()  # it may be in vetting
    assert (outputs / "runs" / "done").exists()


def test_a_run_that_begins_meanwhile_is_kept(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(outputs / "runs" / ".locks" / "done.lock"):
        assert main([str(outputs), "runs", "dataset=youtube", "--yes"]) == 0
    assert (outputs / "runs" / "done").exists()
    assert "kept, because a process is using it: done  done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "what"), [("runs", "runs"), ("multirun", "sweeps"), ("cache/features", "cache"), ("cache", "cache")]
)
def test_nothing_is_deleted_behind_a_link(outputs: Path, tmp_path_factory, capsys, name: str, what: str) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "there"
    (outputs / "runs" / "running" / "record.json").unlink()
    (outputs / name).rename(elsewhere)
    (outputs / name).symlink_to(elsewhere)
    before = [*elsewhere.rglob("*")]
    assert main([str(outputs), what, "--yes"]) == 0
    assert [path for path in elsewhere.rglob("*") if ".locks" not in str(path)] == before
    assert f"nothing is deleted in {outputs / name}" in (out := capsys.readouterr().out.replace("\n", " ")), out


def test_directories_in_the_cache_without_the_name_of_an_entry_are_kept(outputs: Path) -> None:
    (outputs / "runs" / "running" / "record.json").unlink()
    (outputs / "cache" / "features" / "my notes").mkdir()
    main([str(outputs), "runs", "cache", "--yes"])
    assert {name for name in there(outputs) if name.startswith("cache")} == {"cache/features/my notes"}


@pytest.mark.parametrize("what", ["unfinished", "cache"])
def test_what_has_changed_while_the_question_was_open_is_kept(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys, what: str
) -> None:
    (outputs / "runs" / "running" / "record.json").unlink()

    def answer(_: str) -> str:
        entries = [f"{kind}/{UNUSED}" for kind in ("features", "votes", "feature_parts")]
        for name in ("failed", "killed"):
            (outputs / "runs" / name / "record.json").write_text(json.dumps(record(cache_entries=entries)))
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    before = there(outputs)
    assert main([str(outputs), what]) == 0
    assert there(outputs) == before
    assert "kept, because it is in use or has changed since it was listed" in capsys.readouterr().out


def test_a_run_is_read_again_under_its_lock(outputs: Path) -> None:
    run = outputs / "runs" / "killed"
    killed = Item(path=run, name="killed", lock=outputs / "lock", state=(RunState.KILLED, record()["started_at"]))
    (run / "record.json").write_text(json.dumps(record()))
    assert not delete(killed)
    (run / "record.json").write_text(json.dumps(record() | UNFINISHED | {"status": "started"}))
    assert delete(killed)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("what", ["runs", "unfinished"])
def test_the_rest_of_an_interrupted_deletion_is_deleted(outputs: Path, what: str) -> None:
    for name in ("old", "running"):
        (outputs / "runs" / f".{name}.deleted" / "model").mkdir(parents=True)
    assert main([str(outputs), what, "--yes"]) == 0
    # The lock of a running run is held, perhaps by another `alchemist clean`.
    assert [path.name for path in outputs.glob("runs/.*.deleted")] == [".running.deleted"]


@pytest.mark.parametrize(("answer", "kept"), [("y", False), ("n", True), ("", True)])
def test_a_person_is_asked_first(outputs: Path, monkeypatch: pytest.MonkeyPatch, answer: str, kept: bool) -> None:
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    assert main([str(outputs), "runs"]) == int(kept)
    assert asked[0].startswith("delete 2 directories, ")
    assert (outputs / "runs" / "done").exists() == kept


def test_shared_files_count_once(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = outputs / "runs" / "done" / "model"
    model.mkdir()
    os.link(outputs / "cache" / "features" / USED / "array.npy", model / "array.npy")
    main([str(outputs), "runs", "dataset=youtube", "--dry-run"])
    # The record alone is freed: the cache has the array too.
    *_, why, total = capsys.readouterr().out.splitlines()
    assert total == "would delete 1 directory, 4.1 kB"
    assert why.startswith("files that runs and cache share count in each line")


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails and return its error, one line."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    return run


def test_wrong_arguments_are_one_sentence(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., str]
) -> None:
    here = str(outputs)
    assert "has no directory runs/" in failing(str(tmp_path / "absent"), "runs")
    assert "what to delete, 'run' is unknown; did you mean 'runs'?" in failing(here, "run")
    assert "a filter chooses among runs" in failing(here, "dataset=sms")
    assert "the filter 'datset' is unknown; did you mean 'dataset'?" in failing(here, "runs", "datset=sms")
    assert "invalid age 'old'" in failing(here, "runs", "--older-than", "old")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "there is no terminal to ask; add --yes" in failing(here, "runs")
    assert (outputs / "runs" / "done").exists()
