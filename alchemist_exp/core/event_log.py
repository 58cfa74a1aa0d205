"""An append-only file of JSON lines that many processes read and write at the same time.

A killed process loses no event that it has written. Lines are not synced to disk, so a power failure may lose the last
ones.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import explain_write_errors
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.locks import close_locked, open_locked


class EventLog:
    """A log of events, each of them one JSON line, from which the owner of this object computes a state.

    Threads may share an object, since each use opens the file and thereby has its own lock.

    Attributes:
        path: The file. It is created when it is first used.

    """

    def __init__(
        self, path: Path, *, name: str, reset: Callable[[], None], apply: Callable[[dict[str, Any]], None]
    ) -> None:
        """Create the log without opening its file.

        Args:
            path: The file.
            name: What the file is, for error messages.
            reset: Called before the first event is applied, and again if the file was replaced or became shorter.
            apply: Called with each event, in order. It raises ValueError, KeyError or TypeError for one that is not
                valid.

        """
        self.path = path
        self._name = name
        self._reset = reset
        self._apply = apply
        self._file_id: tuple[int, int] | None = None
        self._offset = self._n_lines = 0

    @contextmanager
    def locked(self) -> Iterator[Callable[..., None]]:
        """Lock the file, apply the events that other processes have appended, and yield a function that appends.

        The function takes events as its arguments and writes all of them or none. They are applied by the next use.
        Call it at most once: after a failed write it cuts the file to its length at the start of this use.

        Raises:
            StoreError: The file cannot be written, or a line is broken.

        """
        with explain_write_errors(self.path):
            file = open_locked(self.path, append=True)

            def append(*events: dict[str, Any]) -> None:
                """Write events as lines, in one write, so that no reader sees a part of them."""
                lines = b"".join(json.dumps(event, allow_nan=False).encode() + b"\n" for event in events)
                if os.write(file, lines) < len(lines):
                    # The disk is full. Nothing may stay: the next line would be appended to the unfinished one.
                    os.ftruncate(file, self._offset)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            try:
                self._apply_new_lines(file)
                yield append
            finally:
                close_locked(file)

    def _apply_new_lines(self, file: int) -> None:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):  # a named pipe would forget what is appended
            raise StoreError(f"{self._name} {self.path} is not a file; remove it and run again.")
        if self._file_id != (status.st_dev, status.st_ino) or status.st_size < self._offset:
            self._reset()
            self._offset = self._n_lines = 0
            self._file_id = status.st_dev, status.st_ino
        chunks, position = [], self._offset
        # One read returns 2 GiB at most.
        while position < status.st_size and (chunk := os.pread(file, status.st_size - position, position)):
            chunks.append(chunk)
            position += len(chunk)
        *lines, unfinished = b"".join(chunks).split(b"\n")
        for line in lines:
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise StoreError(
                    f"{self._name} {self.path} is broken in line {self._n_lines + 1} ({error}); delete that line, "
                    "which then no longer counts, and run again."
                ) from error
            self._n_lines += 1
            self._offset += len(line) + 1
        if unfinished:
            # A process was killed while it wrote this line. Each line is one write, so nothing follows it.
            os.ftruncate(file, self._offset)
