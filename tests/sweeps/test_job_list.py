"""The jobs of a sweep: lines of a file, combinations of values, and combinations that are left out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.sweeps.job_list import read_jobs


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Returns the overrides of the jobs of a command line, as one text each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["alchemist"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def list_all(*arguments: str) -> list[str]:
        found: list[str] = []
        visit_jobs(arguments, lambda cfg, overrides: found.append(" ".join(overrides)), list_jobs=False)
        return found

    return list_all


def write(directory: Path, text: str) -> None:
    (directory / "jobs.txt").write_text(text, encoding="utf-8")


def test_each_line_of_a_file_is_a_job_with_the_overrides_of_the_command_line(jobs, tmp_path: Path) -> None:
    write(tmp_path, "# the first\ndataset=youtube  # isn't read\n\nseed=s1 dataset=sms \"dataset.prompt='a # b, c'\"\n")
    found = jobs("sweep.file=jobs.txt", "+experiment=tiny", "seed=s0")
    assert found == [
        "+experiment=tiny seed=s0 dataset=youtube",
        "+experiment=tiny seed=s1 dataset=sms dataset.prompt='a # b, c'",
    ]


def test_combinations_multiply_with_lines_and_a_line_wins(jobs, tmp_path: Path) -> None:
    write(tmp_path, "seed=s2\nlabel_model=majority\nseed=s2\n")
    found = jobs("sweep.file=jobs.txt", "seed=s0,s1")
    assert found == ["seed=s2", "seed=s0 label_model=majority", "seed=s1 label_model=majority"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("labelmodel=x", "jobs.txt, line 2: the key 'labelmodel' is unknown; did you mean 'label_model'?"),
        ("label_model=snorkle", "jobs.txt, line 2: label_model 'snorkle' is unknown; did you mean 'snorkel'?"),
        ("seed", "jobs.txt, line 2: 'seed' is not an override"),
        ("dataset='x", "jobs.txt, line 2: no closing quotation"),
        ("sweep.fail_fast=true", "jobs.txt, line 2: sweep.fail_fast is for the whole sweep"),
        ("dataset=[sms,youtube]", "jobs.txt, line 2: 'dataset=[sms,youtube]' asks for several members"),
    ],
)
def test_an_error_names_the_file_and_the_line(jobs, tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, f"seed=s0\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        jobs("sweep.file=jobs.txt")
    assert str(refused.value).startswith(message)


def test_a_file_that_cannot_be_read_or_has_no_job_is_refused(jobs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep.file=absent.txt cannot be read: No such file"):
        read_jobs(Path("absent.txt"))
    write(tmp_path, "# nothing\n")
    with pytest.raises(ConfigError, match="the sweep has no job"):
        jobs("sweep.file=jobs.txt")


def test_combinations_are_left_out(jobs) -> None:
    found = jobs(
        "-m",
        "dataset=youtube,sms",
        "label_model=majority,snorkel",
        "seed=s0,s1",
        'sweep.skip=["dataset=sms label_model=majority","label_model=snorkel seed=s0,s1 end_model.max_epochs=7"]',
        "end_model.max_epochs=7",
    )
    assert found == [
        f"dataset=youtube label_model=majority seed={seed} end_model.max_epochs=7" for seed in ("s0", "s1")
    ]


def test_a_combination_that_leaves_out_nothing_is_a_note(jobs, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(jobs("-m", "seed=s0,s1", 'sweep.skip=["datset=sms","seed=s1 dataset=youtube"]')) == 1
    assert capsys.readouterr().err == "note: sweep.skip: 'datset=sms' leaves out no job\n"
    with pytest.raises(ConfigError, match=r"sweep.skip: 'sms': 'sms' is not an override"):
        jobs("-m", "seed=s0,s1", "sweep.skip=[sms]")
