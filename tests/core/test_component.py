import importlib
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.source import source_fingerprint
from alchemist_exp.label_models.dawid_skene import DawidSkene
from alchemist_exp.label_models.majority import Majority


class Shape(Enum):
    ROUND = "round"


@dataclass(kw_only=True)
class Checked(Component):
    n: int = MISSING
    shape: Shape = Shape.ROUND
    extra: str = "default"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError("n is too small")


@dataclass(kw_only=True)
class Holder(Component):
    inner: Component = MISSING
    by_name: dict[str, Component] = field(default_factory=dict)


def test_a_component_without_its_values_names_them_and_where_the_defaults_are() -> None:
    with pytest.raises(ConfigError) as caught:
        DawidSkene()
    assert str(caught.value) == (
        "label_model.class_prior and label_model.smoothing and label_model.max_iterations and label_model.tolerance "
        "are missing; DawidSkene needs them as keyword arguments, or take the defaults of a YAML file: "
        'load_component("label_model=dawid_skene").'
    )


def test_the_registered_name_is_the_default_name() -> None:
    assert Majority().name == "majority"
    assert Majority(name="mine").name == "mine"


def test_an_unregistered_component_without_its_values_names_them() -> None:
    with pytest.raises(ConfigError, match=r"^name and n are missing; Checked needs them as keyword arguments\.$"):
        Checked()


def test_the_checks_of_a_class_run_when_every_value_is_there() -> None:
    with pytest.raises(ConfigError, match="n is too small"):
        Checked(name="c", n=0)


def test_the_name_of_an_enum_member_becomes_the_member() -> None:
    assert Checked(name="c", n=1, shape="ROUND").shape is Shape.ROUND
    with pytest.raises(ConfigError, match=r"Checked\.shape 'round' is unknown\. Known: ROUND\."):
        Checked(name="c", n=1, shape="round")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules of a foreign package `apackage`, and imports one of them afresh."""
    directory = tmp_path / "apackage"
    directory.mkdir()
    (directory / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(name: str, **sources: str) -> ModuleType:
        for module, source in sources.items():
            (directory / f"{module}.py").write_text(source)
        for module in [module for module in sys.modules if module.startswith("apackage")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        return importlib.import_module(f"apackage.{name}")

    yield load
    for module in [module for module in sys.modules if module.startswith("apackage")]:
        del sys.modules[module]


MODEL = """
from alchemist_exp.label_models.majority import Majority
from .helper import WORDS
import apackage.lazy

class Mine(Majority):
    pass
"""


def test_a_foreign_class_adds_its_source_and_what_it_imports_to_the_key(package) -> None:
    first = package("model", model=MODEL, helper="WORDS = [1]", lazy="", unrelated="")
    keys = [first.Mine(name="majority").key()]
    assert keys[0].keys() == {"name", "source_fingerprint"}
    assert first.Mine(name="majority").cache_key() == {"name": "majority"}
    keys.append(package("model", helper="WORDS = [2]").Mine(name="majority").key())
    keys.append(package("model", lazy="1").Mine(name="majority").key())
    keys.append(package("model", model=f"{MODEL}    n = 1\n").Mine(name="majority").key())
    fingerprints = [key["source_fingerprint"] for key in keys]
    assert len(set(fingerprints)) == 4
    assert package("model", unrelated="1").Mine(name="majority").key() == keys[-1]


def test_a_foreign_base_class_of_another_package_counts(package, tmp_path: Path) -> None:
    source = "from abasepackage import Base\nclass Mine(Base): pass\n"
    base = tmp_path / "abasepackage.py"
    keys = []
    for version in (1, 2):
        base.write_text(
            f"from alchemist_exp.label_models.majority import Majority\nclass Base(Majority): version = {version}\n"
        )
        sys.modules.pop("abasepackage", None)
        keys.append(package("model", model=source).Mine(name="m").key())
    assert keys[0] != keys[1]
    del sys.modules["abasepackage"]


def test_built_in_classes_add_no_source() -> None:
    assert source_fingerprint(Majority) is None
    assert Majority(name="majority").key() == {"name": "majority"}


def test_a_class_without_a_source_file_has_no_key() -> None:
    mine = type("Mine", (Majority,), {"__module__": "typed_by_hand"})
    with pytest.raises(ConfigError, match=r"the source of Mine cannot be found; define the class in a \.py file"):
        mine(name="m").key()


def test_a_component_inside_a_component_adds_its_key(package) -> None:
    mine = package("model", model=MODEL, helper="WORDS = [1]", lazy="").Mine(name="majority")
    outer = Holder(name="holder", inner=mine, by_name={"a": Majority()})
    assert outer.cache_key() == {"name": "holder", "inner": mine.key(), "by_name": {"a": {"name": "majority"}}}


def test_a_class_that_is_no_component_cannot_be_registered() -> None:
    with pytest.raises(ConfigError, match=r"test_component\.py: @component\(\"label_model\", \"x\"\) is on Shape"):
        component("label_model", "x")(Shape)


def test_two_classes_of_one_name_are_refused_with_both_files() -> None:
    with pytest.raises(
        ConfigError, match=r'test_component\.py: Checked is registered as \("label_model", "majority"\), .*majority\.py'
    ):
        component("label_model", "majority")(Checked)
