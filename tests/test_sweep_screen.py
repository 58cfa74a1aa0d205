"""The screen of a sweep, in a pipe."""

import logging
import re
from pathlib import Path

import pytest

from alchemist_exp.cli import run
from alchemist_exp.cli.sweep_report import duration
from alchemist_exp.cli.sweep_screen import SweepScreen
from alchemist_exp.pipeline import run as pipeline
from tests.support.commands import run_command

pytestmark = pytest.mark.usefixtures("shared_stages")

TINY = (
    *("+experiment=tiny", "label_model=majority", "end_model.max_epochs=1"),
    *("method.n_programs=1", "sandbox.determinism_rows=0"),
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run a sweep and return its exit code and the lines of standard output."""
    monkeypatch.chdir(tmp_path)

    def run_sweep(*arguments: str) -> tuple[int, list[str]]:
        code = run_command(run.main, monkeypatch, "-m", *arguments)
        return code, capsys.readouterr().out.splitlines()

    return run_sweep


def test_each_job_has_two_lines_and_the_end_has_a_table_reasons_and_commands(screen) -> None:
    code, lines = screen(*TINY, "dataset=youtube,cancer,sms")
    assert code == 1
    assert lines[0] == "1 of 3  dataset=youtube"
    score = r"   test accuracy: distilled 0\.\d{3}, label model 0\.\d{3}, coverage 0\.\d{3}; [\d.]+ s; run [0-9a-f]{12}"
    assert re.fullmatch(score, lines[1])
    assert re.fullmatch(r"2 of 3  dataset=cancer  about \d+ s left", lines[2])
    assert lines[3].startswith("   failed: the files of dataset 'cancer' are not at")
    assert lines[4].startswith("3 of 3  dataset=sms  about ")
    assert lines[5].startswith("   test F1: distilled 0.")
    rest = lines[lines.index("2 of 3 jobs are done  1 failed") :]
    assert rest[1].split() == ["dataset", "score", "distilled", "label", "model", "coverage", "seconds", "run"]
    assert [line.split()[:3] for line in rest[2:4]] == [["youtube", "test", "accuracy"], ["sms", "test", "F1"]]
    assert sum(line.startswith("failed    dataset=cancer: the files of dataset") for line in rest) == 1
    assert "continue  the same command again; one job is left, finished runs are loaded" in rest
    filters = " ".join([*TINY[1:], "dataset=youtube,cancer,sms"])
    assert rest[-1] == f"compare   alchemist compare outputs {filters}"


def test_the_comparison_leaves_out_keys_that_only_some_jobs_have(screen, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.txt"
    jobs.write_text("seed=s0\nseed=s1 end_model.patience=3\n")
    code, lines = screen(*TINY, f"sweep.file={jobs}")
    assert code == 0
    filters = " ".join([*TINY[1:], "seed=s0,s1"])
    assert lines[-1] == f"compare   alchemist compare outputs {filters}"


def test_the_second_time_says_that_nothing_is_logged(screen) -> None:
    sweep = (*TINY, "dataset=youtube", "seed=glob([s0,s1])")
    assert screen(*sweep)[0] == 0
    code, lines = screen(*sweep, "logger=csv")
    assert code == 0
    assert re.fullmatch(r"1 of 2  seed=s0  finished before; run [0-9a-f]{12}", lines[0])
    assert lines[1].startswith("2 of 2  seed=s1  finished before")
    assert sum("finished before" in line for line in lines[lines.index("2 of 2 jobs are done") :]) == 2  # the table
    assert "! a run that is loaded from its record sends nothing to logger=csv (2 jobs)" in lines
    assert not any(line.startswith("continue") for line in lines)


def test_notes_are_listed_by_dataset(screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted(experiment, data, record, *arguments) -> None:
        record.notes = [f"rows of {experiment.dataset.name}", "the same"]
        stages(experiment, data, record, *arguments)

    stages = pipeline.run_stages
    monkeypatch.setattr(pipeline, "run_stages", noted)
    _, lines = screen(*TINY, "dataset=sms,youtube", "seed=s0,s1")
    notes = [line for line in lines if line.startswith("! ")]
    assert "! sms: rows of sms (2 jobs)" in notes
    assert "! youtube: the same (2 jobs)" in notes
    datasets = [note.split()[1] for note in notes if note.split()[1] in ("sms:", "youtube:")]
    assert datasets == sorted(datasets)


def test_an_interrupted_sweep_says_how_far_it_came(screen, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = pipeline.run_stages

    def interrupted(experiment, *arguments) -> None:
        if experiment.dataset.name == "sms":
            raise KeyboardInterrupt
        stages(experiment, *arguments)

    monkeypatch.setattr(pipeline, "run_stages", interrupted)
    code, lines = screen(*TINY, "dataset=youtube,sms", "seed=s0,s1")
    assert code == 130
    assert "2 of 4 jobs are done  1 not started" in lines
    assert "continue  the same command again; 2 jobs are left, finished runs are loaded" in lines


def test_a_sweep_that_cannot_be_composed_prints_its_error_alone(screen) -> None:
    assert screen("label_model=majority,snorkle") == (1, [])
    assert SweepScreen.current is None
    assert logging.getLogger("hydra._internal.core_plugins.basic_launcher").level == logging.NOTSET


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (99, "99 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
