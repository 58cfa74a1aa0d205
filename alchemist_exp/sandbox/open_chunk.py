"""A chunk of rows while programs are run on it: shared memory, a zygote, and one task per program."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Final

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox.accounting import ProgramAccount
from alchemist_exp.sandbox.base import ProgressCallback
from alchemist_exp.sandbox.shared_memory import SharedRows
from alchemist_exp.sandbox.zygote import Zygote

_PROGRESS_INTERVAL_S: Final = 0.2


class RowCounter:
    """Counts finished rows from many threads, for the one thread that reports them."""

    def __init__(self) -> None:
        """Start to count at 0."""
        self._lock = threading.Lock()
        self._count = 0

    def add(self, rows: int) -> None:
        """Add finished rows; a negative number takes back rows that were added too early.

        Args:
            rows: Number of rows.
        """
        with self._lock:
            self._count += rows

    def take(self) -> int:
        """Return the rows since the last call. A program may have faked votes that were then taken back: at least 0."""
        with self._lock:
            count = max(self._count, 0)
            self._count -= count
        return count


class OpenChunk:
    """Rows in shared memory, the zygote that has loaded them, and the tasks that use both.

    Args:
        rows: The rows.
        zygote: Their zygote, which was started; None if each worker has its own.
        stack: Ends the zygote and frees the rows, at `close`.
    """

    def __init__(self, rows: SharedRows, zygote: Zygote | None, stack: ExitStack) -> None:
        """Take over rows and zygote.

        Args:
            rows: See the class.
            zygote: See the class.
            stack: See the class.
        """
        self.tasks: list[Future[None]] = []
        self.rows, self.zygote = rows, zygote
        self._stack = stack

    def submit(
        self,
        pool: ThreadPoolExecutor,
        run: Callable[[ProgramAccount, "OpenChunk"], None],
        accounts: Sequence[ProgramAccount],
    ) -> None:
        """Start one task per program.

        Args:
            pool: Runs the tasks.
            run: The task.
            accounts: One account per program.

        Raises:
            SandboxError: No thread can be started.
        """
        try:
            for account in accounts:
                self.tasks.append(pool.submit(run, account, self))
        except RuntimeError as error:
            raise resource_error(error) from error

    def finish(self, finished_rows: RowCounter, report_progress: ProgressCallback) -> None:
        """Wait for the tasks, report their progress, and close.

        Args:
            finished_rows: What the tasks have finished.
            report_progress: Called with the rows finished since its last call.

        Raises:
            SandboxError: A task has failed.
        """
        pending = set(self.tasks)
        while pending:
            done, pending = wait(pending, timeout=_PROGRESS_INTERVAL_S, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
            if (finished := finished_rows.take()) > 0:
                report_progress(finished)
        self.close()

    def close(self) -> None:
        """End the zygote and free the memory."""
        self._stack.close()


def resource_error(error: Exception) -> SandboxError:
    """Return the error for a machine that refuses what a worker needs, such as a thread or a descriptor.

    Args:
        error: What the machine has raised.

    Returns:
        The error, to be raised by the caller.
    """
    return SandboxError(
        f"A sandbox worker cannot be run ({error}); reduce sandbox.workers, or raise the limits that ulimit shows."
    )
