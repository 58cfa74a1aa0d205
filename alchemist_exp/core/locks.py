"""File locks that the kernel releases when their holder dies, for processes, threads and asyncio tasks.

All locks are exclusive flocks. On Linux they also work between the hosts of an NFS mount, and on other network file
systems as far as these support flock. A lock file is never deleted: a waiting process would lock the deleted file while
another one locks a new file of the same name.
"""

import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from filelock import AsyncFileLock, FileLock, Timeout

from alchemist_exp.core.atomic_io import explain_write_errors

_log = logging.getLogger(__name__)

_LOG_AFTER_S = 3.0
"""Seconds of waiting for a lock before a message is logged."""

_LOCK_MODE = 0o666
"""Permissions of an empty lock file, whatever the umask: another user of a shared cache must be able to lock it."""

_WAITING = "waiting for another job that works on the same thing (%s)"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; other processes and threads wait for it.

    Args:
        path: The lock file. It is created, with its directory, if it is missing.

    Raises:
        StoreError: The lock file cannot be created.

    """
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, mode=_LOCK_MODE)
        try:
            lock.acquire(timeout=_LOG_AFTER_S)
        except Timeout:
            _log.warning(_WAITING, path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def locked_async(path: Path) -> AsyncIterator[None]:
    """Hold a lock file in an asyncio task; other processes and other tasks of this process wait for it.

    The event loop continues while the task waits. A task must not acquire the same lock twice.

    Args:
        path: The lock file. It is created, with its directory, if it is missing.

    Raises:
        StoreError: The lock file cannot be created.

    """
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the executor, each attempt is one non-blocking flock on the event loop. With it, each attempt would
        # take a thread, and a thousand waiting tasks would wait for threads too.
        lock = AsyncFileLock(path, mode=_LOCK_MODE, run_in_executor=False)
        try:
            await lock.acquire(timeout=_LOG_AFTER_S)
        except Timeout:
            _log.info(_WAITING, path)  # no warning: it is often held by another task of this process
            await lock.acquire()
    try:
        yield
    finally:
        await lock.release()


def open_locked(path: Path, *, append: bool = False) -> int:
    """Open a file for reading and writing and lock it, waiting without yielding to the event loop.

    For files that are locked many times per second and for a short time: it takes a tenth of the time of `locked`.

    Args:
        path: The file. It is created, with its directory, if it is missing.
        append: Whether all writes go to the end of the file.

    Returns:
        The file descriptor, to be closed by `close_locked`.

    Raises:
        StoreError: The file cannot be opened.

    """
    return _flock(path, os.O_APPEND if append else 0, fcntl.LOCK_EX)


def try_open_locked(path: Path) -> int | None:
    """Open a file and lock it as `open_locked` does, unless another holder has the lock.

    Args:
        path: The file. It is created, with its directory, if it is missing.

    Returns:
        The file descriptor, to be closed by `close_locked`; None if another holder has the lock.

    Raises:
        StoreError: The file cannot be opened.

    """
    try:
        return _flock(path, 0, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def close_locked(descriptor: int) -> None:
    """Unlock and close a file.

    Args:
        descriptor: The result of `open_locked` or `try_open_locked`.

    """
    # A child that was forked in the meantime has the file open too. Closing alone would leave the lock to that child.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _flock(path: Path, flags: int, operation: int) -> int:
    with explain_write_errors(path):
        try:
            # The directory exists except at the first call, so it is not checked.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
