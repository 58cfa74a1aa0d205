"""The examples in docstrings print what they show, and every extension point has one."""

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import alchemist_exp
from alchemist_exp import registry
from alchemist_exp.core.component import REGISTRY, Component

PACKAGE = Path(alchemist_exp.__file__).parent
# Reading the sources first avoids an import of every module, torch and providers' clients included.
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def extension_points() -> dict[str, type[Component]]:
    """Return the public base classes of registered components that declare abstract methods, by name."""
    components = [cls for members in registry.components().values() for cls in members.values()]
    return {
        base.__name__: base
        for cls in components
        for base in cls.__mro__
        if issubclass(base, Component)
        and not base.__name__.startswith("_")
        and any(getattr(member, "__isabstractmethod__", False) for member in vars(base).values())
    }


@pytest.fixture
def _registry_restored() -> Iterator[None]:
    """Removes the components that an example registers."""
    before = {group: dict(members) for group, members in REGISTRY.items()}
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(name)):
        runner.run(example, out=failures.append)
    assert not runner.failures, "".join(failures)
    assert runner.tries


def test_there_are_extension_points() -> None:
    assert {"LabelModel", "EndModel", "FeatureExtractor", "Logger", "Dataset", "LLM"} <= extension_points().keys()


@pytest.mark.parametrize("name", sorted(extension_points()))
def test_every_extension_point_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(extension_points()[name]) or "")
