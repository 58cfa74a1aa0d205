"""Memory shared with workers: rows that nobody can write, and an area for votes that nobody can resize.

Both are anonymous files (memfd), sealed by the kernel and gone with their last user.
"""

import array
import errno
import fcntl
import mmap
import os
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.inputs import Inputs

_SEAL_ATTEMPTS = 30
_UNSET_BYTE = worker.UNSET.to_bytes(1, "little", signed=True)


class SharedRows:
    """As many rows as a chunk may hold, read by every worker of the chunk. A context manager.

    Layout: the rows' bytes one after the other, then at `offsets_at` int64 (n + 1,) where each begins. `first` of the
    inputs' rows is the first one in it.
    """

    def __init__(self, inputs: Inputs, first: int, *, most_rows: int, most_bytes: int) -> None:
        self.first = first
        end, offsets = 0, array.array("q", [0])
        self.fd = os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(self.fd, "wb", closefd=False) as file:
                for data in inputs.encoded(range(first, min(first + most_rows, len(inputs)))):
                    file.write(data)
                    end += len(data)
                    offsets.append(end)
                    if end >= most_bytes:
                        break
                self.offsets_at = -(-end // offsets.itemsize) * offsets.itemsize
                file.write(bytes(self.offsets_at - end))
                file.write(offsets.tobytes())
            _seal(self.fd, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(self.fd)
            raise
        self.n = len(offsets) - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)


def _seal(fd: int, seals: int) -> None:
    """Have the kernel hold the file to `seals`, for good. Raises SandboxError where it does not."""
    for _ in range(_SEAL_ATTEMPTS):
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            # One time in thousands, while the kernel moves a page; it has waited a sixth of a second by then.
            if error.errno != errno.EBUSY:
                raise
        else:
            return
    raise SandboxError("The kernel does not seal memory that is shared with workers, as it is in use; run again.")


class VotesArea:
    """Where one worker writes its votes and its report. A context manager.

    The size is sealed: a worker that cut the file short would end the parent with SIGBUS.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.fd = os.memfd_create("votes", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, rows + worker.REPORT_BYTES)
            _seal(self.fd, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self.fd, rows + worker.REPORT_BYTES)
            self._memory[:rows] = _UNSET_BYTE * rows
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()
        os.close(self.fd)

    @property
    def loaded(self) -> bool:
        """The worker's claim that the program was loaded."""
        return self._memory[self.rows] == worker.LOADED

    def first_unset(self, start: int) -> int:
        """Return the first row from `start` without a vote, `rows` when there is none."""
        row = self._memory.find(_UNSET_BYTE, start, self.rows)
        return self.rows if row < 0 else row

    def copy(self) -> tuple[npt.NDArray[np.int8], bytes]:
        """Return the codes, int8 (rows,), and the report, REPORT_BYTES long, both as they are now.

        Taken once the worker has ended, so that what is checked is what is used.
        """
        codes = np.frombuffer(self._memory[: self.rows], dtype=np.int8).copy()
        return codes, self._memory[self.rows :]
