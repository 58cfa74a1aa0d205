"""A finished run on texts, made once, and copies of it that tests may damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import SoftLabels
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.pipeline.run import run

TINY = (
    *("+experiment=tiny", "seed=s0", "logger=none", "label_model=one_coin", "method.n_programs=3"),
    *("feature_extractor=tfidf", "feature_extractor.n_components=32", "sandbox.determinism_rows=0"),
    "end_model.calibrate=true",
)


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


@pytest.fixture
def mlp_of_three_seeds(composed) -> tuple[FittedEndModel, np.ndarray]:
    """A small end model of three seeds and float32 features of shape (50, 4)."""
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    labels = SoftLabels(probs=np.eye(2)[(features[:, 0] > 0).astype(int)], covered=np.ones(50, bool))
    mlp = config.build(composed("dataset=youtube", "end_model.max_epochs=2")).end_model
    return mlp.fit(features, labels, seeds=[0, 1, 2], validation=None), features
