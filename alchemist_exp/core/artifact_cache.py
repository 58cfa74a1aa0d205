"""Results of expensive stages under the key of all that alters them.

An entry is a folder, written whole or not at all; two jobs that want the same entry at once make it once. An entry
that is not what was written is an error that names it: never a silent recomputation, never a silent result.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.atomic_io import read_json, remove_partial_files, write_directory, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.locks import locked

CHECKSUMS = "checksums.json"


class ArtifactCache:
    """Entries under `root`/<kind>/<key>/."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, kind: str, parts: Mapping[str, Any]) -> Path:
        """Where the entry of `kind` made from `parts` lies or will lie."""
        return self.root / kind / key_of(kind, parts)

    def get(self, kind: str, parts: Mapping[str, Any]) -> Path | None:
        """The folder of the entry, None when it is not there. StoreError when its content is not what was written."""
        path = self.path_of(kind, parts)
        if not path.is_dir():
            return None
        written = read_json(path / CHECKSUMS, what="the list of checksums") if (path / CHECKSUMS).is_file() else None
        if written != _checksums(path):
            raise StoreError(f"the cache entry {path} is not what was written there; delete that folder and run again.")
        return path

    def get_or_create(self, kind: str, parts: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """The folder of the entry; `make` fills it when it is not there yet."""
        if found := self.get(kind, parts):
            return found
        path = self.path_of(kind, parts)
        with locked(self.root / "locks" / f"{kind}-{path.name}.lock"):
            if found := self.get(kind, parts):
                return found
            remove_partial_files(path)

            def fill(folder: Path) -> None:
                make(folder)
                write_json(folder / CHECKSUMS, _checksums(folder))

            write_directory(path, fill)
        return path


def _checksums(folder: Path) -> dict[str, str]:
    """sha256 of each file but the list itself."""
    sums = {}
    for path in sorted(folder.iterdir()):
        if path.name != CHECKSUMS:
            with path.open("rb") as file:
                sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def read_array(path: Path) -> npt.NDArray[Any]:
    """The array in `path` as a read-only memory map. StoreError, naming the entry, when it is broken."""
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise StoreError(
            f"the cache entry {path.parent} lacks {path.name}; delete that folder and run again."
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(
            f"the cache entry {path.parent} is broken ({path.name}: {error}); delete that folder and run again."
        ) from error
    return array
