"""How much disk space directories take, and how much their deletion frees."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path


def _files(paths: Iterable[Path]) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Yield the identity, the links and the bytes on disk of each file under the paths."""
    for path in paths:
        for file in path.rglob("*"):
            try:
                status = file.lstat()
            except FileNotFoundError:
                continue  # a run that is running has replaced it
            if not file.is_dir() or file.is_symlink():
                yield (status.st_dev, status.st_ino), status.st_nlink, status.st_blocks * 512


def size_of(paths: Iterable[Path]) -> int:
    """Return how much disk space directories take.

    Args:
        paths: The directories.

    Returns:
        Bytes; a file that several of them share counts once.

    """
    return sum({identity: size for identity, _, size in _files(paths)}.values())


def freed_by(paths: Iterable[Path]) -> int:
    """Return how much disk space is free after directories are deleted.

    Args:
        paths: The directories.

    Returns:
        Bytes, without those of files that are linked from elsewhere too.

    """
    found = [*_files(paths)]
    counts = Counter(identity for identity, _, _ in found)
    return sum({identity: size for identity, links, size in found if counts[identity] >= links}.values())
