"""Fingerprints of source code that is not part of this package."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import KEY_LENGTH

_PACKAGE = Path(__file__).parent.parent

PLUGINS = "alchemist_exp.plugins"
"""The package into which the modules of --config-dir are imported."""


_fingerprints: dict[type, str] = {}


def source_fingerprint(cls: type) -> str | None:
    """Return a key of the source code of a class that is defined outside this package.

    The key covers the module of the class, the modules of its base classes that are components too, and every module
    that those import from their own top-level package (a module of --config-dir: from that directory). It is computed
    once per class.

    Args:
        cls: A class.

    Returns:
        Hex digits of a sha256, or None when this package defines the class.

    Raises:
        ConfigError: The class is defined outside this package and has no source file, as in an interactive session.

    """
    if _is_ours(cls.__module__):
        return None
    if cls in _fingerprints:
        return _fingerprints[cls]
    files: dict[str, bytes] = {}
    for base in cls.__mro__:
        is_foreign_component = any(_is_ours(of.__module__) for of in base.__mro__) and not _is_ours(base.__module__)
        if is_foreign_component or _root(base.__module__) == _root(cls.__module__):
            _collect(base.__module__, files)
    if cls.__module__ not in files:
        raise ConfigError(f"the source of {cls.__name__} cannot be found; define the class in a .py file.")
    digest = hashlib.sha256(cls.__qualname__.encode())
    for name in sorted(files):
        # The same code in another --config-dir has the same fingerprint.
        name_in_root = name.removeprefix(_root(name)) if name.startswith(f"{PLUGINS}.") else name
        digest.update(f"\n{name_in_root} {len(files[name])}\n".encode())
        digest.update(files[name])
    _fingerprints[cls] = digest.hexdigest()[:KEY_LENGTH]
    return _fingerprints[cls]


def _is_ours(module: str) -> bool:
    file = _file_of(module)
    return file is not None and file.is_relative_to(_PACKAGE)


def _root(module: str) -> str:
    """Return the part of a module's name that the modules of one plugin share."""
    depth = PLUGINS.count(".") + 2 if module.startswith(f"{PLUGINS}.") else 1
    return ".".join(module.split(".")[:depth])


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None and module not in sys.modules:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        file = spec.origin if spec is not None and spec.has_location else None
    return None if file is None else Path(file)


def _collect(module: str, files: dict[str, bytes]) -> None:
    """Add the source of `module` and of the modules it imports from its root to `files`, by module name."""
    file = _file_of(module)
    if module in files or file is None:
        return
    files[module] = file.read_bytes()
    if file.suffix == ".py":
        is_package = file.name == "__init__.py"
        for imported in _imports(files[module], module if is_package else module.rpartition(".")[0]):
            if _root(imported) == _root(module):
                # Importing a.b.c runs a/__init__.py and a/b/__init__.py, too.
                parts = imported.split(".")
                for length in range(len(_root(module).split(".")), len(parts) + 1):
                    _collect(".".join(parts[:length]), files)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the names of the modules that `source`, a module of `package`, may import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(name, package) if node.level else name
            yield base
            # `from package import name` may name a module.
            yield from (f"{base}.{alias.name}" for alias in node.names)
