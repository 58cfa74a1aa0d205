"""What tests share: composing the configuration, and running the program as a user does."""

import gc
import os
import sys

# The imports create objects that stay; searching them for garbage takes a fifth of the time of the imports.
gc.disable()
# One thread for each library, and in each child process: the tests use the cores with one process per core.
os.environ["OMP_NUM_THREADS"] = "1"
# Images of containers often set this; each process that the tests start would compile all modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.data.images.toy_birds import draw_row
from alchemist_exp.prompts.templates import PromptTemplates
from tests.support.composing import compose_cached
from tests.support.forking import run_forked
from tests.support.remembered_groups import remember_groups
from tests.support.shared_stages import share_stages
from tests.support.slurm_node import start_slurm, stop_slurm

config.register()
remember_groups()
# The same examples every time, and no clock.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but never among the objects of the imports."""
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)  # with the default, 700, composing a configuration takes 5% more time
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what all processes of the tests share, at the end of the process that has started the others."""
    if not hasattr(config, "workerinput"):
        stop_slurm()


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no width of the developer's terminal reaches a test, and no library looks for a hub."""
    for name in ("COLUMNS", "WANDB_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ALCHEMIST_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    # No certificates of authorities, which each client of a provider would read in 20 ms: no test uses TLS.
    monkeypatch.setenv("SSL_CERT_DIR", tempfile.gettempdir())
    # Reading the metadata of all installed packages takes W&B 0.4 s per run.
    monkeypatch.setenv("WANDB_X_SAVE_REQUIREMENTS", "false")


@pytest.fixture(autouse=True, scope="session")
def _no_fsync() -> Iterator[None]:
    """No test survives a power failure, so no file has to reach the disk; a run calls fsync 300 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda fd: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _drawn_once() -> Iterator[None]:
    """Draw each image of toy_birds once for all runs of this process; drawing takes 3.5 ms, encoding 1 ms."""
    drawn = cache(draw_row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alchemist_exp.data.images.rows.draw_row", lambda *bird: drawn(*bird).copy())
        yield


@pytest.fixture
def shared_stages() -> Iterator[None]:
    """Let runs take votes and features from equal runs of other tests."""
    with share_stages():
        yield


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Composes the configuration with overrides, as the command line does."""

    return compose_cached


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose each choice of members once, in whatever is tested; see `compose_cached`."""
    compose = config.compose

    def compose_once(overrides: Sequence[str] = (), directory: Path | None = None) -> DictConfig:
        config.refuse_no_members(overrides)
        return compose_cached(*overrides) if directory is None else compose(overrides, directory)

    monkeypatch.setattr(config, "compose", compose_once)


@pytest.fixture(scope="session")
def prompts(composed) -> PromptTemplates:
    """The paper's prompts."""
    return config.build(composed()).prompt


@pytest.fixture(scope="session")
def slurm() -> Path:
    """The configuration of a Slurm of one node, which all tests share."""
    return start_slurm()


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m alchemist_exp.run` in an empty directory, outputs in its `outputs`."""

    def run(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_forked("alchemist_exp.run", *overrides, cwd=tmp_path, environment=environment)

    return run
