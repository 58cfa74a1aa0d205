"""What tests share: composing the configuration, and running the program as a user does."""

import os

# One thread for each library, and in each child process: the tests use the cores with one process per core.
os.environ["OMP_NUM_THREADS"] = "1"

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.prompts.templates import PromptTemplates
from tests.support.composing import compose_cached
from tests.support.forking import run_forked
from tests.support.slurm_node import slurm_node

config.register()
# The same examples every time, and no clock.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no width of the developer's terminal reaches a test, and no library looks for a hub."""
    for name in ("COLUMNS", "WANDB_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ALCHEMIST_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True, scope="session")
def _no_fsync() -> Iterator[None]:
    """No test survives a power failure, so no file has to reach the disk; a run calls fsync 300 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda fd: None)
        yield


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Composes the configuration with overrides, as the command line does."""

    return compose_cached


@pytest.fixture(scope="session")
def prompts(composed) -> PromptTemplates:
    """The paper's prompts."""
    return config.build(composed()).prompt


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of a Slurm of one node, which all tests of a process share."""
    with slurm_node(tmp_path_factory.mktemp("slurm")) as configuration:
        yield configuration


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m alchemist_exp.run` in an empty directory, outputs in its `outputs`."""

    def run(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_forked("alchemist_exp.run", *overrides, cwd=tmp_path, environment=environment)

    return run
