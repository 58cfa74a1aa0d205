"""Label models with the values of their YAML files."""

import dataclasses
from collections.abc import Callable
from functools import cache

import pytest
from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.label_models.base import LabelModel


@cache
def _of_yaml(name: str) -> LabelModel:
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        return config.build(compose("config", overrides=[f"label_model={name}"])).label_model


@pytest.fixture(scope="session")
def make() -> Callable[..., LabelModel]:
    """Makes an unfitted label model by its name, with some values replaced."""
    return lambda name, **values: dataclasses.replace(_of_yaml(name), **values)
