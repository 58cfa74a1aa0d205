"""Keeps votes and features of runs for all processes of the tests, so that equal ones are computed once.

Half of the time of a small run goes into starting the sandbox and into features, and many tests make a run only to look
at something else. An entry of the cache has a key of all that alters it, so a copy of it is what the run would make.
Tests of the votes, the features or the cache itself do not use this.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alchemist_exp.core.artifact_cache import ArtifactCache
from tests.support.remembered_groups import DIRECTORY_VARIABLE

VARIABLE = "TESTS_SHARE_STAGES"
"""The environment variable that is set while entries are shared; commands of `run_forked` share them too."""

KINDS = ("votes", "features")

_get = ArtifactCache.get
_get_or_create = ArtifactCache.get_or_create


@contextmanager
def share_stages() -> Iterator[None]:
    """Share the entries within this context, also those of commands that are started in it."""
    os.environ[VARIABLE] = "1"
    use_shared_stages()
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        ArtifactCache.get = _get  # type: ignore[method-assign]
        ArtifactCache.get_or_create = _get_or_create  # type: ignore[method-assign]


def use_shared_stages() -> None:
    """Share the entries of this process from here on."""
    ArtifactCache.get = _get_shared  # type: ignore[method-assign]
    ArtifactCache.get_or_create = _get_or_create_shared  # type: ignore[method-assign]


def _get_shared(self: ArtifactCache, kind: str, inputs: Mapping[str, Any]) -> Path | None:
    path = self.path_of(kind, inputs)
    if kind in KINDS and not path.exists():
        _copy(_kept(path), path)
    return _get(self, kind, inputs)


def _get_or_create_shared(
    self: ArtifactCache, kind: str, inputs: Mapping[str, Any], create: Callable[[Path], None]
) -> Path:
    path = _get_or_create(self, kind, inputs, create)
    if kind in KINDS and not _kept(path).exists():
        _copy(path, _kept(path))
    return path


def _kept(entry: Path) -> Path:
    return Path(os.environ[DIRECTORY_VARIABLE], "stages", entry.parent.name, entry.name)


def _copy(source: Path, target: Path) -> None:
    """Copy a directory if it exists, unless another process does so first."""
    if not source.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        copy = shutil.copytree(source, Path(directory, "copy"))
        with suppress(OSError):  # not empty: the other process has the same content
            copy.rename(target)
