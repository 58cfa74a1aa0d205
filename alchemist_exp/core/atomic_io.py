"""Files that are written whole or not at all.

A reader sees the old content or the new, never half of it, whatever kills the writer. Nothing here defends against a
file system that lies about fsync.
"""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import ConfigError, StoreError

_CURES = {
    errno.ENOSPC: "the disk is full; free some space or move the outputs with paths.outputs=DIR",
    errno.EDQUOT: "the disk quota is used up; free some space or move the outputs with paths.outputs=DIR",
    errno.EFBIG: "the file grew over the size allowed here; raise the limit (ulimit -f)",
    errno.EISDIR: "there is a folder of that name; choose another",
    errno.EACCES: "permission is denied; mend the permissions or move the outputs with paths.outputs=DIR",
    errno.EPERM: "permission is denied; mend the permissions or move the outputs with paths.outputs=DIR",
    errno.EROFS: "the file system is read-only; move the outputs with paths.outputs=DIR",
    errno.ENOENT: "no folder can be made there; choose another paths.outputs=DIR",
    errno.ENOTDIR: "a part of the path is a file; move it away or choose another paths.outputs=DIR",
    errno.EEXIST: "a file of that name is in the way; move it away or choose another paths.outputs=DIR",
}


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses while `path` is written into one sentence with the cure."""
    try:
        yield
    except OSError as error:
        # numpy tells of a short write without an error number.
        cure = _CURES.get(errno.ENOSPC if error.errno is None else error.errno)
        if cure is None:
            raise
        raise StoreError(f"{path} could not be written: {cure}.") from error


def write_bytes(path: Path, raw: bytes) -> None:
    """Replaces `path` by `raw`: temporary file in the same folder, fsync, rename."""
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft_of(path)
        try:
            with draft.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        _sync_folder(path.parent)


def _draft_of(path: Path) -> Path:
    """A name beside `path` that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def remove_partial_files(path: Path) -> None:
    """Removes what killed writers of `path` have left beside it. Only for whoever holds the lock on `path`."""
    for draft in path.parent.glob(f".{path.name}.*"):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself last; some network file systems know no fsync of a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` by `value` as indented JSON for people; NaN is refused (ValueError)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate becomes the escape that JSON reads back as the same surrogate.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def read_json(path: Path, *, what: str) -> Any:
    """The JSON in `path`. StoreError, naming the file and the cure, when it is broken."""
    try:
        if not path.is_file():
            raise OSError("not a file")  # a pipe would keep its reader waiting
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise StoreError(f"{what} {path} is broken ({error}); delete it and run again.") from error


def write_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Makes the folder `target` with what `fill` puts into it, all or nothing. The target must not be there yet."""
    with explain_write_errors(target):
        draft = _draft_of(target)
        draft.mkdir(parents=True)
        try:
            fill(draft)
            for path in draft.iterdir():
                _sync_file(path)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync_folder(target.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def resolve_user_path(text: str, key: str) -> Path:
    """The path that a person gave as `key`, ~ spelled out. ConfigError when it cannot be one."""
    try:
        path = Path(text).expanduser()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{key} is {text!r}, which cannot be a path: {error}.") from error
    return path


def read_prefix(file: Path, most: int) -> bytes:
    """The file's bytes, `most` at the most. OSError for what is no file, or would keep its reader waiting."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a file")
        raw = bytearray()
        # The kernel's own files give a page at a time, and their size as 0.
        while len(raw) < most and (part := os.read(fd, most - len(raw))):
            raw += part
        return bytes(raw)
    finally:
        os.close(fd)
