"""Files that are written completely or not at all.

A reader sees the old content or the new, never a part of it, even when the writer is killed. This holds as far as the
file system honours fsync.
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
from typing import Any, BinaryIO

from alchemist_exp.core.errors import ConfigError, StoreError

_REMEDIES = {
    errno.ENOSPC: "the disk is full (bytes or inodes); free some space or move the outputs with paths.outputs=DIR",
    errno.EDQUOT: "the disk quota is used up; free some space or move the outputs with paths.outputs=DIR",
    errno.EFBIG: "the file exceeds the size limit of this process; raise the limit (ulimit -f)",
    errno.EISDIR: "a directory of that name exists; choose another name",
    errno.EACCES: "permission is denied; change the permissions or move the outputs with paths.outputs=DIR",
    errno.EPERM: "permission is denied; change the permissions or move the outputs with paths.outputs=DIR",
    errno.EROFS: "the file system is read-only; move the outputs with paths.outputs=DIR",
    errno.ENOENT: "no directory can be created there; choose another paths.outputs=DIR",
    errno.ENOTDIR: "a part of the path is a file; move it away or choose another paths.outputs=DIR",
    errno.EEXIST: "a file of that name exists; move it away or choose another paths.outputs=DIR",
}

_NUMPY_SHORT_WRITE = "requested and"
"""numpy reports a short write without an error number: "4096 requested and 512 written"."""


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one sentence that says how to fix it.

    Args:
        path: The file or directory that is written inside the `with` block; the message names it.

    Raises:
        StoreError: The operating system refused a write for a known reason. Other errors pass unchanged.

    """
    try:
        yield
    except OSError as error:
        number = error.errno
        if number is None and _NUMPY_SHORT_WRITE in str(error):
            number = errno.ENOSPC
        remedy = _REMEDIES.get(number or 0)
        if remedy is None:
            raise
        raise StoreError(f"{path} could not be written: {remedy}.") from error


def write_bytes(path: Path, raw: bytes) -> None:
    """Replace the content of a file: temporary file in the same directory, fsync, rename.

    Args:
        path: The file; its directory is created if necessary.
        raw: The new content.

    Raises:
        StoreError: The file cannot be written; `path` then has its old content.

    """
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_replacement(path) as file:
            file.write(raw)


@contextmanager
def open_replacement(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file in the same directory, which replaces a file when the `with` block ends without an error.

    Args:
        path: The file that is replaced.

    Yields:
        The temporary file, open for writing.

    Raises:
        StoreError: The file cannot be written; `path` then has its old content.

    """
    with explain_write_errors(path):
        temporary = _temporary_path(path)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                # Before the rename: a power failure could otherwise leave the new name with an empty file.
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_directory(path.parent)


class ReservedFile:
    """Disk space and a directory entry for the later content of a file, so that writing it cannot fill the disk.

    The space is a temporary file next to the path. Close it by `replace` or by `discard`.

    Attributes:
        path: The file that is to be written.

    """

    def __init__(self, path: Path, n_bytes: int) -> None:
        """Allocate the space.

        Args:
            path: The file; its directory is created if necessary.
            n_bytes: The most bytes that it will have.

        Raises:
            StoreError: There is no space, or the file cannot be written.

        """
        self.path = path
        self._temporary = _temporary_path(path)
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._temporary.open("xb") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, n_bytes)
                except OSError as error:
                    # Some file systems cannot allocate in advance; a full disk is then found while writing.
                    if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                        self.discard()
                        raise

    def replace(self, raw: bytes) -> None:
        """Replace the content of the file.

        Args:
            raw: The new content.

        Raises:
            StoreError: The file cannot be written; it then has its old content.

        """
        with explain_write_errors(self.path):
            try:
                with self._temporary.open("r+b") as file:
                    file.write(raw)
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())
                self._temporary.replace(self.path)
            except FileNotFoundError:  # another process has removed it, as `alchemist cache prune` does with old ones
                write_bytes(self.path, raw)
            except BaseException:
                self.discard()
                raise
            _sync_directory(self.path.parent)

    def discard(self) -> None:
        """Free the space that was reserved."""
        with suppress(OSError):
            self._temporary.unlink()


def check_writable(path: Path) -> None:
    """Create and remove the temporary file of a later `write_bytes`.

    Args:
        path: The file that is to be written; its directory must exist.

    Raises:
        OSError: The temporary file cannot be created.

    """
    temporary = _temporary_path(path)
    temporary.touch(exist_ok=False)
    temporary.unlink()


def _temporary_path(path: Path) -> Path:
    """Return a name in the same directory that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def remove_partial_files(path: Path) -> None:
    """Remove the temporary files that killed writers of a path left next to it.

    Args:
        path: The file or directory they were to become. The caller must hold its lock: a file that another process
            is still writing would be removed too.

    """
    for temporary in path.parent.glob(f".{path.name}.*"):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Make a rename in the directory permanent."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        # Some network file systems do not support fsync on a directory.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Replace the content of a file by a value as indented JSON.

    Args:
        path: The file; its directory is created if necessary.
        value: Anything that the json module can write.

    Raises:
        ValueError: The value contains NaN or infinity, which JSON does not have.
        StoreError: The file cannot be written.

    """
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as indented JSON in UTF-8.

    Args:
        value: Anything that the json module can write.

    Returns:
        The content of a file.

    Raises:
        ValueError: The value contains NaN or infinity, which JSON does not have.

    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # UTF-8 has no lone surrogates; they are written as JSON escapes, which are read back as the same characters.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file that this program wrote.

    Args:
        path: The file.
        what: What the file is, for the message ("the record").

    Returns:
        The parsed value.

    Raises:
        StoreError: The file is missing, unreadable or not JSON; the message says to delete it.

    """
    try:
        if not path.is_file():
            raise OSError("not a file")  # opening a named pipe would block
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise StoreError(f"{what} {path} is broken ({error}); delete it and run again.") from error


def write_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Create a directory together with its files, or nothing.

    Args:
        target: The directory; it must not exist.
        fill: Writes the files into the temporary directory that it is given. Subdirectories are not synced.

    Raises:
        StoreError: The directory cannot be written.

    """
    with explain_write_errors(target):
        temporary = _temporary_path(target)
        temporary.mkdir(parents=True)
        try:
            fill(temporary)
            for path in filter(Path.is_file, temporary.iterdir()):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_directory(target.parent)


def resolve_user_path(text: str, key: str) -> Path:
    """Return the path that a user gave, with ~ expanded.

    Args:
        text: The value as given.
        key: The configuration key or option it was given for, named in the message.

    Returns:
        The path; it need not exist.

    Raises:
        ConfigError: The text cannot be a path (too long, a NUL character, an unknown user after ~).

    """
    try:
        path = Path(text).expanduser()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{key} is {text!r}, which cannot be a path: {error}.") from error
    return path


def read_prefix(file: Path, max_bytes: int) -> bytes:
    """Read the beginning of a file without ever blocking.

    Args:
        file: A regular file; the kernel's own files, such as those under /proc, are read too.
        max_bytes: How many bytes to read at most.

    Returns:
        The first bytes, or all of them when the file is shorter.

    Raises:
        OSError: The path is not a regular file, or cannot be opened. A named pipe is refused: it could block.

    """
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a file")
        raw = bytearray()
        # Files under /proc report the size 0 and return one page per read.
        while len(raw) < max_bytes and (chunk := os.read(fd, max_bytes - len(raw))):
            raw += chunk
        return bytes(raw)
    finally:
        os.close(fd)
