"""Finds the components of every configuration group: built-in, in plugins, or in --config-dir.

Three kinds of modules register classes by `@component`: those of this package; those that the entry points of the group
`alchemist_exp.components` name; and the files `DIR/<group>/*.py` of `--config-dir DIR`. Importing the built-in ones
loads neither torch nor a provider's client.
"""

import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_type_hints

from alchemist_exp import plugins
from alchemist_exp.core.component import REGISTRY, Component, defined_in
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.source import source_fingerprint
from alchemist_exp.pipeline.experiment import Experiment

ENTRY_POINTS = "alchemist_exp.components"
"""The entry point group of installed plugins; each entry point names a module or a class in a package."""

_Classes = dict[tuple[str, str], type[Component]]

_loaded: dict[str, tuple[dict[Path, bytes], _Classes]] = {}
"""For each package of plugins.package_of: the sources its modules were made from, and the classes they register."""


def components(directory: Path | None = None) -> Mapping[str, Mapping[str, type[Component]]]:
    """Return the registered component classes by group and name.

    Args:
        directory: The absolute path of `--config-dir`, whose modules are imported; those of another one are forgotten.

    Returns:
        For each configuration group, a mapping of the names given to `@component` to the classes.

    Raises:
        ConfigError: A plugin cannot be imported, or registers a class that cannot be a member of its group.

    """
    _import_built_in()
    installed_directories()
    for group, name in _classes_of_directory():  # those of the last --config-dir
        del REGISTRY[group][name]
    os.environ.pop(plugins.DIRECTORY_VARIABLE, None)
    if directory is not None:
        _import_directory(directory)
    return REGISTRY


def built_in() -> Mapping[str, Mapping[str, type[Component]]]:
    """Return the component classes of this package by group and name; no plugin is imported."""
    _import_built_in()
    return {
        group: {name: cls for name, cls in classes.items() if source_fingerprint(cls) is None}
        for group, classes in REGISTRY.items()
    }


def base_classes() -> Mapping[str, type[Component]]:
    """Return the base class of each configuration group's members."""
    hints = get_type_hints(Experiment)
    of_fields = {f.name: hints[f.name] for f in fields(Experiment)}
    return {name: hint for name, hint in of_fields.items() if isinstance(hint, type) and issubclass(hint, Component)}


@cache
def _import_built_in() -> None:
    """Import the modules of this package that register components; they are found by the decorator in their source."""
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        if re.search(r"^@component\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))


@cache
def installed_directories() -> tuple[Path, ...]:
    """Import the installed plugins and return the directories of their YAML files.

    Returns:
        For each package with an entry point its directory `conf`, if it has one.

    Raises:
        ConfigError: A plugin cannot be imported, or registers a class that cannot be a member of its group.

    """
    directories = []
    for entry_point in entry_points(group=ENTRY_POINTS):
        distribution = f" of the package {entry_point.dist.name}" if entry_point.dist else ""
        with _import_errors_of(f"the plugin {entry_point.name} = {entry_point.value}{distribution}"):
            entry_point.load()
        package = sys.modules[entry_point.module.partition(".")[0]]
        directories += [conf for path in getattr(package, "__path__", ()) if (conf := Path(path) / "conf").is_dir()]
    for group, classes in REGISTRY.items():
        for name, cls in classes.items():
            _check(cls, group, name)
    return tuple(dict.fromkeys(directories))


def _import_directory(directory: Path) -> None:
    """Import `directory`/<group>/*.py, again when a file has changed, and check what they register."""
    if not directory.is_dir():
        raise ConfigError(f"--config-dir is {directory}, which is not a directory; name the directory of your groups.")
    os.environ[plugins.DIRECTORY_VARIABLE] = str(directory)
    package = plugins.package_of(directory)
    files = {(group, path) for group in base_classes() for path in (directory / group).glob("[!_]*.py")}
    # Modules outside of the groups or with a leading underscore count too, because the others may import them.
    sources = {path: path.read_bytes() for path in directory.rglob("*.py")}
    before, classes = _loaded.get(package, ({}, {}))
    if sources == before:
        for (group, name), cls in classes.items():
            REGISTRY[group][name] = cls
        return
    # Something has changed, or this is the first call. All modules are imported again, because some import others.
    for module in [module for module in sys.modules if module.startswith(f"{package}.")]:
        del sys.modules[module]
    invalidate_caches()
    # No .pyc files: Python takes one to be current when the source was edited in the same second.
    before_import, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        for group, path in sorted(files):
            with _import_errors_of(str(path)):
                import_module(f"{package}.{group}.{path.stem}")
    finally:
        sys.dont_write_bytecode = before_import
    for (group, name), cls in (of_directory := _classes_of_directory()).items():
        _check(cls, group, name)
        source_fingerprint(cls)  # now, so that a later edit of the file does not count as this code
    _loaded[package] = sources, of_directory


def _classes_of_directory() -> _Classes:
    return {
        (group, name): cls
        for group, classes in REGISTRY.items()
        for name, cls in classes.items()
        if cls.__module__.startswith(f"{plugins.__name__}.")
    }


@contextmanager
def _import_errors_of(what: str) -> Iterator[None]:
    """Turn whatever stops the import of a plugin into one sentence."""
    try:
        yield
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ConfigError(
            f"{what} cannot be imported ({type(error).__name__}: {error}); fix it or remove it."
        ) from error


def _check(cls: type[Component], group: str, name: str) -> None:
    """Check that a class can be a member of its group.

    Raises:
        ConfigError: The group is unknown, or the class is not derived from its base class, does not define a method,
            or has fields without @dataclass.

    """
    where = f'{defined_in(cls)}: {cls.__name__}, registered as ("{group}", "{name}"),'
    bases = base_classes()
    if group not in bases:
        raise ConfigError(f"{where} cannot be used: {unknown_name('the group', group, bases)}")
    base = bases[group]
    if not issubclass(cls, base):
        raise ConfigError(f"{where} is not a {base.__name__}; derive it from {base.__module__}.{base.__name__}.")
    if inspect.isabstract(cls):
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        raise ConfigError(f"{where} has no {' and no '.join(missing)}; define what {base.__name__} declares abstract.")
    if inspect.get_annotations(cls) and "__dataclass_fields__" not in vars(cls):
        raise ConfigError(f"{where} is not a dataclass; put @dataclass(kw_only=True) below @component.")
