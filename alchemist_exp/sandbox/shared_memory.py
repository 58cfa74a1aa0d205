"""Memory shared with workers: rows that no process can write, and a votes area that no process can resize.

Both are anonymous files (memfd). The kernel enforces their seals, and frees them when the last process closes them.
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
from alchemist_exp.sandbox.inputs import Inputs
from alchemist_exp.sandbox.worker import protocol

_SEAL_ATTEMPTS = 30
_UNSET_BYTE = protocol.UNSET.to_bytes(1, "little", signed=True)


def create_memory_file(name: str) -> int:
    """Create an anonymous file in memory, which accepts seals.

    Args:
        name: What /proc shows.

    Returns:
        The descriptor.

    Raises:
        SandboxError: The system call is denied or missing.
        OSError: No descriptor or no memory is left.
    """
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        raise SandboxError(
            f"The sandbox keeps rows and votes in memory files, and the system call memfd_create fails here "
            f"({error.strerror}); allow it, for example in the seccomp profile of the container."
        ) from error


class SharedRows:
    """The rows of one chunk, which every worker of the chunk reads. A context manager.

    Layout: the bytes of the rows one after the other, padding to 8 bytes, then the offsets: int64 of shape
    (n_rows + 1,), where each row begins and the last one ends.

    Args:
        inputs: All rows.
        first: Row number of the chunk's first row.
        max_rows: The chunk ends after this number of rows.
        max_bytes: The chunk ends after the row that reaches this number of bytes.

    Attributes:
        first: Row number of the first row.
        n_rows: Number of rows.
        offsets_at: Position of the offsets in bytes.
        fd: Descriptor of the memory.

    Raises:
        SandboxError: The kernel does not seal the memory.
    """

    def __init__(self, inputs: Inputs, first: int, *, max_rows: int, max_bytes: int) -> None:
        """Write the rows into new memory and seal it."""
        self.first = first
        end, offsets = 0, array.array("q", [0])
        self.fd = create_memory_file("rows")
        try:
            with open(self.fd, "wb", closefd=False) as file:
                for data in inputs.encode(range(first, min(first + max_rows, len(inputs)))):
                    file.write(data)
                    end += len(data)
                    offsets.append(end)
                    if end >= max_bytes:
                        break
                self.offsets_at = -(-end // offsets.itemsize) * offsets.itemsize  # rounded up
                file.write(bytes(self.offsets_at - end))
                file.write(offsets.tobytes())
            # Workers map this memory while they run hostile programs. Sealed against writing, it is the same for all.
            _seal(self.fd, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(self.fd)
            raise
        self.n_rows = len(offsets) - 1

    def __enter__(self) -> Self:
        """Return the object, whose memory is allocated already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the descriptor; the memory is freed when the workers have closed theirs."""
        os.close(self.fd)


def _seal(fd: int, seals: int) -> None:
    """Add seals, which no process can remove."""
    for _ in range(_SEAL_ATTEMPTS):
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            # EBUSY happens about once in thousands of calls, while the kernel moves one of the pages. Each attempt
            # already waits up to a sixth of a second in the kernel, so no sleep is needed here.
            if error.errno != errno.EBUSY:
                raise
        else:
            return
    raise SandboxError(
        "The kernel cannot seal the memory that is shared with workers, because it is in use; run again."
    )


class VotesArea:
    """Where one worker writes its vote codes and its report. A context manager.

    The size is sealed: if a worker could shrink the file, reading it would end the parent with SIGBUS.

    Args:
        n_rows: Number of rows, one int8 code each; REPORT_BYTES bytes follow.
        trace: Whether an int32 line of each row follows, see `WorkerJob.trace`.
        multi_label: Whether an int64 mask of each row follows, see `WorkerJob.multi_label`.

    Attributes:
        n_rows: Number of rows.
        fd: Descriptor of the memory.

    Raises:
        SandboxError: The kernel does not seal the memory.
    """

    def __init__(self, n_rows: int, *, trace: bool = False, multi_label: bool = False) -> None:
        """Allocate the memory, seal its size, and mark every row as without a code."""
        self.n_rows = n_rows
        self._masks_at = protocol.masks_at(n_rows, trace=trace)
        size = protocol.area_bytes(n_rows, trace=trace, multi_label=multi_label)
        self.fd = create_memory_file("votes")
        try:
            os.ftruncate(self.fd, size)
            _seal(self.fd, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self.fd, size)
            self._memory[:n_rows] = _UNSET_BYTE * n_rows
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> Self:
        """Return the object, whose memory is allocated already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unmap the memory and close the descriptor."""
        self._memory.close()
        os.close(self.fd)

    @property
    def loaded(self) -> bool:
        """Whether the worker claims that the program was loaded."""
        return self._memory[self.n_rows] == protocol.LOADED

    def first_unset(self, start: int) -> int:
        """Return the first row without a code.

        Args:
            start: Row at which the search begins.

        Returns:
            The row, or `n_rows` if all rows from `start` on have a code.
        """
        row = self._memory.find(_UNSET_BYTE, start, self.n_rows)
        return self.n_rows if row < 0 else row

    def copy(self) -> tuple[npt.NDArray[np.int8], bytes]:
        """Copy the codes and the report, after the worker has ended, so that nothing changes after a check.

        Returns:
            The codes, int8 of shape (n_rows,), and the report, REPORT_BYTES long.
        """
        codes = np.frombuffer(self._memory[: self.n_rows], dtype=np.int8).copy()
        return codes, self._memory[self.n_rows : self.n_rows + protocol.REPORT_BYTES]

    def copy_lines(self) -> npt.NDArray[np.int32]:
        """Copy the lines, after the worker has ended; they are any numbers.

        Returns:
            int32 array of shape (n_rows,); empty without `trace`.
        """
        return np.frombuffer(self._memory[self.n_rows + protocol.REPORT_BYTES : self._masks_at], dtype=np.int32)

    def copy_masks(self) -> npt.NDArray[np.int64]:
        """Copy the masks, after the worker has ended; they are any numbers.

        Returns:
            int64 array of shape (n_rows,); empty without `multi_label`.
        """
        return np.frombuffer(self._memory[self._masks_at :], dtype=np.int64)
