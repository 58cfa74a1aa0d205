"""A finished run on texts, made once, and copies of it that tests may damage."""

import shutil
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.pipeline.run import run

TINY = ("+experiment=tiny", "seed=s0", "logger=none", "label_model=one_coin", "feature_extractor=tfidf")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, composed) -> Path:
    """The directory of the run, which tests only read."""
    outputs = tmp_path_factory.mktemp("apply") / "outputs"
    composition = composed(*TINY, f"paths.outputs={outputs}")
    return run(config.build(composition), config.to_container(composition), list(TINY), NoProgress()).directory


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run's directory, alone."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
