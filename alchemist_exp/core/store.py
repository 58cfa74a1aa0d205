"""Results of expensive stages under the key of all that alters them.

An entry is a folder, written whole or not at all; two jobs that want the same entry at once make it once. An entry
that cannot be read is an error that names it, never a silent recomputation.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.files import locked, write_folder
from alchemist_exp.core.hashing import key_of


class Store:
    """Entries under `root`/<kind>/<key>/."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, parts: Mapping[str, Any]) -> Path:
        """Where the entry of `kind` made from `parts` lies or will lie."""
        return self.root / kind / key_of(kind, parts)

    def entry(self, kind: str, parts: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """The folder of the entry; `make` fills it when it is not there yet."""
        path = self.path(kind, parts)
        if not path.is_dir():
            with locked(self.root / "locks" / f"{kind}-{path.name}.lock"):
                if not path.is_dir():
                    write_folder(path, make)
        return path


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
