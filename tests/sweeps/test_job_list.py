"""The jobs of a sweep: lines of a file, combinations of values, and combinations that are left out."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.sweeps.job_list import JobList, list_jobs, read_jobs

pytestmark = pytest.mark.usefixtures("shared_stages")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., JobList]:
    """Lists the jobs of the overrides of a sweep."""
    monkeypatch.chdir(tmp_path)

    def list_all(*overrides: str) -> JobList:
        with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            return list_jobs(overrides, loader.load_configuration("config", [*overrides], RunMode.MULTIRUN), loader)

    return list_all


@pytest.fixture
def jobs(listed: Callable[..., JobList]) -> Callable[..., list[str]]:
    """Returns the overrides of the jobs as one text each."""
    return lambda *overrides: [job.name for job in listed(*overrides).jobs]


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
        ("seed", "jobs.txt, line 2: 'seed' is not an override"),
        ("dataset='x", "jobs.txt, line 2: no closing quotation"),
        ("sweep.fail_fast=true", "jobs.txt, line 2: sweep.fail_fast is for the whole sweep"),
        ("dataset=[sms,youtube]", "jobs.txt, line 2: 'dataset=[sms,youtube]' asks for several members"),
    ],
)
def test_an_error_names_the_file_and_the_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, f"seed=s0\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        read_jobs(Path("jobs.txt"))
    assert str(refused.value).startswith(message)


def test_an_error_of_composing_names_the_file_and_the_line(jobs, tmp_path: Path) -> None:
    write(tmp_path, "# one\nlabelmodel=x\n")
    with pytest.raises(ConfigError, match=r"^jobs.txt, line 2: the key 'labelmodel' is unknown; did you mean 'label_m"):
        jobs("sweep.file=jobs.txt")


def test_a_file_that_cannot_be_read_or_has_no_job_is_refused(jobs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep.file=absent.txt cannot be read: No such file"):
        read_jobs(Path("absent.txt"))
    write(tmp_path, "# nothing\n")
    with pytest.raises(ConfigError, match="the sweep has no job"):
        jobs("sweep.file=jobs.txt")


def test_combinations_are_left_out(jobs) -> None:
    found = jobs(
        "dataset=youtube,sms",
        "label_model=majority,snorkel",
        'sweep.skip=["dataset=sms label_model=majority","label_model=snorkel seed=five,s1 end_model.max_epochs=7"]',
        "end_model.max_epochs=7",
    )
    assert found == ["dataset=youtube label_model=majority end_model.max_epochs=7"]


def test_a_combination_that_leaves_out_nothing_is_a_note(listed: Callable[..., JobList]) -> None:
    found = listed("seed=s0,s1", 'sweep.skip=["datset=sms","seed=s1 dataset=youtube"]')
    assert len(found.jobs) == 1
    assert found.notes == ("sweep.skip: 'datset=sms' leaves out no job",)
    with pytest.raises(ConfigError, match=r"sweep.skip: 'sms': 'sms' is not an override"):
        listed("seed=s0,s1", "sweep.skip=[sms]")
