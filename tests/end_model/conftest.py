"""A toy task with known classes, and the component with the values of its YAML file."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from alchemist_exp import config
from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels
from alchemist_exp.end_model.base import ValidationData
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.torchvision_ops import declare_torchvision_ops

declare_torchvision_ops()  # tests import pytorch_lightning


@dataclass(frozen=True, kw_only=True, eq=False)
class Toy:
    """Rows of two overlapping clusters; 80% of the soft labels are right, the last rows are uncovered."""

    features: FloatArray
    gold: IntArray
    labels: SoftLabels
    validation: ValidationData


@pytest.fixture(scope="session")
def toy() -> Toy:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 240)
    features = (rng.normal(size=(240, 6)) * 0.1 + 0.1 * gold[:, np.newaxis]).astype(np.float32)
    belief = np.where(rng.random(240) < 0.8, gold, 1 - gold)
    probs = np.where(np.eye(2)[belief] == 1, 0.9, 0.1).astype(np.float32)
    labels = SoftLabels(probs=probs[:180], covered=np.arange(180) < 150)
    validation = ValidationData(features=features[180:], gold=gold[180:], n_classes=2, positive=None)
    return Toy(features=features[:180], gold=gold[:180], labels=labels, validation=validation)


@pytest.fixture(scope="session")
def make() -> Callable[..., Mlp]:
    """Makes the component of the YAML file on the CPU, with some values replaced."""
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        component = OmegaConf.to_object(compose(overrides=["+end_model=mlp", "end_model.device=cpu"]).end_model)
    assert isinstance(component, Mlp)
    return lambda **values: dataclasses.replace(component, **values)
