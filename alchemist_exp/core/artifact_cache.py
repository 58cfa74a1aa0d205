"""Cache of the results of expensive stages, each under a key of all inputs that alter it.

An entry is a directory, written completely or not at all. Two jobs that need the same entry at once create it once.
An entry whose files do not match their checksums raises an error that names it: it is neither used nor recomputed.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.atomic_io import read_json, remove_partial_files, write_directory, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.locks import locked

CHECKSUMS = "checksums.json"

CHUNK_ROWS: Final = 65_536
"""Rows of an array that are read at once: 64 MB of 256 features."""


class ArtifactCache:
    """Directories of files under `root`/<kind>/<key>/.

    Args:
        root: The cache directory; created with the first entry.

    Attributes:
        used: The entries that this object has read or made, as "<kind>/<key>".

    Example:
        >>> from pathlib import Path
        >>> cache = ArtifactCache(Path("cache"))
        >>> def create(directory):
        ...     _ = (directory / "sum.txt").write_text(str(2 + 3))
        >>> entry = cache.get_or_create("sums", {"terms": [2, 3]}, create)
        >>> (entry / "sum.txt").read_text()
        '5'
        >>> cache.get("sums", {"terms": [2, 3]}) == entry
        True

    """

    def __init__(self, root: Path) -> None:
        """Use the directory `root`, which need not exist yet."""
        self.root = root
        self.used: set[str] = set()

    def path_of(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Return the directory of an entry, whether or not it exists.

        Args:
            kind: What the entry holds ("votes", "features"); part of the key.
            inputs: Everything that alters the entry's content, as JSON values, paths, enums and dataclasses.

        Returns:
            The path `root`/<kind>/<key>.

        """
        return self.root / kind / key_of(kind, inputs)

    def get(self, kind: str, inputs: Mapping[str, Any]) -> Path | None:
        """Return the directory of an existing entry.

        Args:
            kind: See `path_of`.
            inputs: See `path_of`.

        Returns:
            The entry's directory, None when it does not exist.

        Raises:
            StoreError: The entry's files do not match the checksums that were written with it.

        """
        path = self.path_of(kind, inputs)
        if not path.is_dir():
            return None
        expected = read_json(path / CHECKSUMS, what="the list of checksums") if (path / CHECKSUMS).is_file() else None
        if expected != _checksums(path):
            raise StoreError(
                f"the files of the cache entry {path} do not match their checksums; "
                "delete that directory and run again."
            )
        self.used.add(f"{kind}/{path.name}")
        return path

    def get_or_create(self, kind: str, inputs: Mapping[str, Any], create: Callable[[Path], None]) -> Path:
        """Return the directory of an entry, after creating it if it does not exist.

        Args:
            kind: See `path_of`.
            inputs: See `path_of`.
            create: Writes the entry's files into the empty directory that it is given.

        Returns:
            The entry's directory.

        Raises:
            StoreError: The entry's files do not match their checksums, or the entry cannot be written.

        """
        if existing := self.get(kind, inputs):
            return existing
        path = self.path_of(kind, inputs)
        with locked(self.root / "locks" / f"{kind}-{path.name}.lock"):
            # Another job may have created it while this one waited for the lock.
            if existing := self.get(kind, inputs):
                return existing
            remove_partial_files(path)

            def fill(directory: Path) -> None:
                """Create the files, then list their checksums."""
                create(directory)
                write_json(directory / CHECKSUMS, _checksums(directory))

            write_directory(path, fill)
        self.used.add(f"{kind}/{path.name}")
        return path


def _checksums(directory: Path) -> dict[str, str]:
    """Return the sha256 of each file, also of subdirectories, except the list of checksums itself."""
    sums = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if not path.is_file():
            sums[name] = "not a file"  # opening a named pipe would block
        elif name != CHECKSUMS:
            with path.open("rb") as file:
                sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def row_chunks(array: npt.NDArray[Any], n_rows: int = CHUNK_ROWS) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows of an array in chunks, and unload each chunk of a memory map after its use.

    Pages of a mapped file that were read stay in the memory of the process otherwise, up to the size of the file.

    Args:
        array: An array of shape (n_rows, ...); of 0 rows, one empty chunk is yielded.
        n_rows: Rows of a chunk.

    Yields:
        Slices of `array`; a slice must not be kept.

    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    for start in range(0, max(len(array), 1), n_rows):
        yield array[start : start + n_rows]
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def take_rows(array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Copy some rows of an array; of a memory map, only one chunk is in memory at once.

    Args:
        array: An array of shape (n_rows, ...).
        rows: int64 array of shape (n_taken,): row numbers in ascending order.

    Returns:
        Array of shape (n_taken, ...).

    """
    taken, start = np.empty((len(rows), *array.shape[1:]), array.dtype), 0
    for chunk in row_chunks(array):
        first, last = np.searchsorted(rows, (start, start + len(chunk)))
        taken[first:last] = chunk[rows[first:last] - start]
        start += len(chunk)
    return taken


def read_array(path: Path) -> npt.NDArray[Any]:
    """Open an array of a cache entry as a read-only memory map.

    Args:
        path: A .npy file in an entry's directory.

    Returns:
        The array, mapped from the file: rows are read from disk when they are used.

    Raises:
        StoreError: The file is missing or broken; the message names the entry.

    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise StoreError(
            f"the cache entry {path.parent} has no file {path.name}; delete that directory and run again."
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(
            f"the cache entry {path.parent} is broken ({path.name}: {error}); delete that directory and run again."
        ) from error
    return array
