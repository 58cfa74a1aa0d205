"""`alchemist apply RUN FILE ... -o DIR` labels many files, each once, and lists those that it cannot label."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from alchemist_exp.cli import apply
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.labeling import local_engine
from alchemist_exp.labeling.job import LabelingJob
from alchemist_exp.labeling.local_engine import TaskStatus, label_locally, label_task
from alchemist_exp.labeling.plan import LabelingTask, find_tasks
from alchemist_exp.labeling.program_labeler import ProgramLabeler
from alchemist_exp.results.record import RunRecord
from tests.support.commands import apply_lines

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

TEXTS = ["check out my channel and subscribe", "i love this song so much", "free cash, click here", ""]


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: Patch) -> list[str]:
    """Paths of the same rows in four files of three formats, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("in/more").mkdir(parents=True)
    table = pd.DataFrame(
        {"id": range(40), "text": [f"{TEXTS[row % 4]} {row}" if row % 4 < 3 else "" for row in range(40)]}
    )
    table.to_parquet("in/a.parquet", row_group_size=16)
    table.to_csv("in/b.csv", index=False)
    table.to_json("in/c.jsonl", orient="records", lines=True)
    table.to_parquet("in/more/a.parquet")
    return ["in/a.parquet", "in/b.csv", "in/c.jsonl", "in/more/a.parquet"]


def job_of(run: Path, out: Path) -> LabelingJob:
    """Return a job with the programs of a run."""
    record = RunRecord.read(run)
    assert record is not None
    return LabelingJob(
        run=run.absolute(),
        out=out.absolute(),
        run_key=record.run_key,
        started_at=record.started_at,
        using="programs",
        sandbox_workers=1,
        code=code_fingerprint(),
    )


def times(directory: Path) -> dict[str, int]:
    """Return when each output was written."""
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*.parquet")}


def test_each_file_has_an_output_which_is_made_once(
    finished: Path, inputs: list[str], monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setattr(ProgramLabeler, "CHUNK_ROWS", 16)
    command = [str(finished), "in/**/*", "-o", "out", "--with", "programs"]
    assert apply.main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("wrote 4 files in out; 0 finished before, 0 skipped with an error\nrows: 160; coverage ")
    assert "\noutcomes of 360 program calls: " in said
    first = times(Path("out"))
    assert sorted(first) == ["a.parquet", "b.parquet", "c.parquet", "more/a.parquet"]
    assert apply.main([str(finished), "in/a.parquet", "-o", "one.parquet", "--with", "programs"]) == 0
    expected = pd.read_parquet("one.parquet")
    for name in first:
        found = pd.read_parquet(Path("out", name))
        pd.testing.assert_frame_equal(found.drop(columns=["id"]), expected.drop(columns=["id"]))
        assert found["id"].astype(int).tolist() == list(range(40))

    capsys.readouterr()
    assert apply.main(command) == 0
    again = capsys.readouterr().out
    assert again.startswith("wrote 0 files in out; 4 finished before, 0 skipped")
    assert again.splitlines()[1:4] == said.splitlines()[1:4]
    assert times(Path("out")) == first

    Path("in/b.csv").write_text("text\nfree cash\n")  # another input
    assert apply.main(command) == 0
    assert capsys.readouterr().out.startswith("wrote 1 file in out; 3 finished before")
    assert apply.main([*command, "--keep", "text"]) == 0  # other options
    assert capsys.readouterr().out.startswith("wrote 4 files in out; 0 finished before")
    assert apply.main([*command, "--keep", "text", "--overwrite"]) == 0
    assert capsys.readouterr().out.startswith("wrote 4 files in out; 0 finished before")
    assert "id" not in pd.read_parquet("out/a.parquet").columns


def test_bad_files_are_listed_and_skipped(
    finished: Path, inputs: list[str], monkeypatch: Patch, capsys: Capture
) -> None:
    raw = Path("in/a.parquet").read_bytes()
    Path("in/cut.parquet").write_bytes(raw[:-20])
    Path("in/damaged.parquet").write_bytes(raw[:4] + b"\xff" * 300 + raw[304:])
    Path("in/columns.csv").write_text("a,b\n1,2\n")
    Path("in/latin.csv").write_bytes("text\né\n".encode("latin-1"))
    Path("in/row.csv").write_text("text,n\na,1\nb\n")
    Path("out").mkdir()
    Path("out/c.parquet").write_bytes(raw)
    assert apply.main([str(finished), "in/*.*", "-o", "out", "--with", "programs"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("wrote 2 files in out; 0 finished before, 6 skipped with an error\n")
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert [Path(re.split("[: ]+", line)[1]).name for line in lines] == [
        *("c.jsonl", "columns.csv", "cut.parquet", "damaged.parquet", "latin.csv", "row.csv")
    ]
    assert "is not an output of alchemist apply; --overwrite replaces it" in lines[0]
    assert "has no column 'text'" in lines[1]
    assert "set --encoding, as in --encoding cp1252" in lines[4]
    assert Path("out/c.parquet").read_bytes() == raw
    assert sorted(path.name for path in Path("out").iterdir()) == [".locks", "a.parquet", "b.parquet", "c.parquet"]


def test_what_cannot_be_meant_is_refused(
    finished: Path, inputs: list[str], monkeypatch: Patch, capsys: Capture
) -> None:
    for arguments, message in (
        (inputs, "several files, and a dataset of the Hub, need a directory; name it by -o DIR"),
        ([*inputs, "-o", "out"], "would both be written to"),
        (["in", "-o", "out/"], "'in' is not a file; name its files by a quoted pattern, such as 'in/*.parquet'"),
        (["x*.csv", "-o", "out"], "no file fits 'x*.csv'"),
        (["in/a.parquet", "-o", "in"], "is a file that is read; name another directory by -o DIR"),
        (["in/*", "-o", "in/b.csv"], "'in/b.csv' is not a directory"),
    ):
        assert apply_lines(monkeypatch, "", str(finished), *arguments) == 1
        assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_outputs_that_fit_the_pattern_are_not_read(inputs: list[str]) -> None:
    Path("in/out").mkdir()
    Path("in/out/a.parquet").write_bytes(b"")
    Path("in/.hidden.parquet").write_bytes(b"")
    found = find_tasks(["in/**/*.parquet"], Path("in/out"))
    assert [task.output().relative_to(Path("in/out").absolute()) for task in found] == [
        Path("a.parquet"),
        Path("more/a.parquet"),
    ]
    with pytest.raises(ConfigError, match="no file fits"):
        find_tasks(["in/out/*.parquet"], Path("in/out"))


COMMAND = "from alchemist_exp.cli.apply import main; import sys; sys.exit(main())"


def test_a_killed_command_resumes_without_repeating_files(
    finished: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(8):
        table = pd.DataFrame({"text": [f"{text} {number} {row}" for row in range(1000) for text in TEXTS]})
        table.to_csv(tmp_path / "in" / f"{number:02d}.csv", index=False)
    command = [sys.executable, "-c", COMMAND, str(finished), "in/*.csv", "-o", "out", "--with", "programs"]
    out = tmp_path / "out"
    with subprocess.Popen(command, cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while len(times(out)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = times(out)
    assert 3 <= len(before) < 8
    monkeypatch.chdir(tmp_path)
    assert apply.main(command[3:]) == 0
    after = times(out)
    assert capsys.readouterr().out.startswith(f"wrote {8 - len(before)} files in out; {len(before)} finished before")
    assert {name: after[name] for name in before} == before
    assert len(after) == 8
    assert not [path for path in out.rglob(".*") if path.name != ".locks"]  # no part of a file is left


def test_two_jobs_on_one_directory_make_each_file_once(finished: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    files = []
    for number in range(6):
        files.append(str(tmp_path / f"{number}.csv"))
        Path(files[-1]).write_text("text\n" + "free cash\nhello\n" * 50)
    made = []
    make = local_engine._label

    def counted(job: LabelingJob, task: LabelingTask, *rest: object) -> object:
        made.append(task)
        time.sleep(0.05)
        return make(job, task, *rest)

    monkeypatch.setattr(local_engine, "_label", counted)
    job, found = job_of(finished, tmp_path / "out"), find_tasks(files, tmp_path / "out")
    results: list[list] = [[], []]

    def work(at: int) -> None:
        results[at] += label_locally(job, found, force=False, advance=lambda _rows, _bytes: None)

    threads = [threading.Thread(target=work, args=(at,)) for at in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(task.output().name for task in made) == [f"{number}.parquet" for number in range(6)]
    for one in results:
        assert len(one) == 6
        assert {result.status for result in one} <= {TaskStatus.WRITTEN, TaskStatus.FOUND}


def test_an_input_that_changes_while_it_is_read_is_bad(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nfree cash\n")
    (task,) = find_tasks([str(path)], tmp_path / "out")
    changed = label_task(
        job_of(finished, tmp_path / "out"), task, advance=lambda _rows, _bytes: os.utime(path, ns=(1, 1))
    )
    assert (changed.status, "was changed while it was read" in changed.reason) == (TaskStatus.BAD, True)
    assert not task.output().exists()
