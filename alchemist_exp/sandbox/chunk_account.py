"""Accounts for one program on one chunk of rows: the votes so far, and why a worker was stopped.

The parent judges a worker here, only by what it left in shared memory and how it ended. Its exit status proves nothing.
"""

import signal
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.sandbox.base import Outcome, ProgramStatus, Sandbox
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.worker_report import CRASH, NOT_RUN, WorkerReport, is_well_formed, n_leading_codes

_MACHINE_DEPENDENT_CODES: Final = (protocol.TIMEOUT, CRASH, NOT_RUN)
"""Codes that a slow machine may give where a fast one gives a vote."""


class StopReason(Enum):
    """Why the parent killed a worker."""

    NONE = "none"  # it did not
    STALL = "stall"  # no vote for sandbox.stall_s
    WALL = "wall"  # the program has used up sandbox.program_wall_s


class ChunkAccount:
    """Accounts for one program on one chunk of rows. To be used by one thread at a time.

    Args:
        rows: Number of rows of the chunk.
        first_row: Row number of the chunk's first row.
        limits: The sandbox's limits.
        timeouts_left: Timeouts the program may still have.
        wall_left_s: Seconds of wall time the program may still use.
        reverse: Whether the program receives the rows, and this account counts them, in reverse order.

    Attributes:
        codes: Vote codes, int8 array of shape (rows,); NOT_RUN where there is none yet.
        masks: The masks of votes for several classes, int64 array of shape (rows,); None for votes for one class.
        lines: The lines that traced workers report, int32 array of shape (rows,), not checked; None without trace.
        status: Status of the program after this chunk.
        detail: Why the status is not OK.
        messages: The first message of each outcome.
        early_exits: Rows at which a worker ended before it voted, with a description of its end.
        wall_s: Seconds of wall time used.
        cpu_s: Seconds of CPU time used.
    """

    def __init__(
        self,
        rows: int,
        first_row: int,
        limits: Sandbox,
        *,
        timeouts_left: int,
        wall_left_s: float,
        reverse: bool = False,
    ) -> None:
        """Open the account, with no row done."""
        self._first_row = first_row
        self.reverse = reverse
        self._limits = limits
        self._initial_timeouts_left = timeouts_left
        self._initial_wall_left_s = wall_left_s
        self.codes = np.full(rows, NOT_RUN, dtype=np.int8)
        self.masks: npt.NDArray[np.int64] | None = None
        self.lines: npt.NDArray[np.int32] | None = None
        self.status = ProgramStatus.OK
        self.detail = ""
        self.messages: dict[Outcome, str] = {}
        self.early_exits: dict[int, str] = {}
        self.wall_s = self.cpu_s = 0.0

    @property
    def timeouts(self) -> int:
        """Number of rows that timed out."""
        return int((self.codes == protocol.TIMEOUT).sum())

    @property
    def timeouts_left(self) -> int:
        """Number of rows that may still time out before the rest is not run."""
        return self._initial_timeouts_left - self.timeouts

    @property
    def wall_left_s(self) -> float:
        """Seconds of wall time that the program may still use."""
        return self._initial_wall_left_s - self.wall_s

    @property
    def may_continue(self) -> bool:
        """Whether another worker may be started for the remaining rows."""
        within_limits = self.timeouts_left > 0 and len(self.early_exits) <= self._limits.max_restarts
        return within_limits and self.status is ProgramStatus.OK

    def repeats(self, codes: npt.NDArray[np.int8], masks: npt.NDArray[np.int64] | None = None) -> bool:
        """Compare this account with the codes of another run on the same rows, in the same order.

        Args:
            codes: int8 array of shape (rows,).
            masks: int64 array of shape (rows,), for votes for several classes.

        Returns:
            Whether this account has the same code and mask wherever `codes` does not depend on the machine's speed.
        """
        # The comparison is one-sided. Where `codes` has a timeout or a crash, this run may have any code: a slow
        # machine explains the difference. Where only this run has one, they differ: a program could fake a timeout or a
        # crash to hide that it votes otherwise here. Honest programs are seldom flagged for this, because rows are
        # limited by CPU time, which other processes do not affect.
        expected = ~np.isin(codes, _MACHINE_DEPENDENT_CODES)
        same = self.codes == codes
        if masks is not None and self.masks is not None:
            same &= (codes != protocol.SET) | (self.masks == masks)
        return bool(same[expected].all())

    def add_lines(self, start: int, lines: npt.NDArray[np.int32]) -> None:
        """Add the lines that a traced worker reports.

        Args:
            start: Index in the chunk of the worker's first row.
            lines: int32 array, one element per row that the worker was given.
        """
        if self.lines is None:
            self.lines = np.zeros(len(self.codes), dtype=np.int32)
        self.lines[start:] = lines

    def add_time(self, *, wall_s: float, cpu_s: float) -> None:
        """Add the time that a worker has used.

        Args:
            wall_s: Wall time in seconds.
            cpu_s: CPU time in seconds.
        """
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def add_worker(
        self,
        start: int,
        codes: npt.NDArray[np.int8],
        report: WorkerReport,
        stop_reason: StopReason,
        returncode: int,
        n_classes: int,
        masks: npt.NDArray[np.int64] | None = None,
    ) -> int:
        """Judge what one worker has left, and add it to the account.

        Args:
            start: Index in the chunk of the worker's first row.
            codes: Codes it left, int8 array with one element per row it was given.
            report: Its messages.
            stop_reason: Why the parent killed it.
            returncode: Its exit status, or minus the number of the signal that ended it.
            n_classes: Number of classes.
            masks: Masks it left, int64 array of the same shape; None for votes for one class.

        Returns:
            Number of rows that need no other worker: those with a code, and the row at which the worker ended early.
        """
        for kind, message in report.messages.items():
            self.messages.setdefault(Outcome.NOT_RUN if kind == protocol.LOAD_MESSAGE else Outcome(kind), message)
        done = n_leading_codes(codes)
        # The checks go from what cannot be forged to what can. The kernel reports SIGSYS, whatever is in memory.
        if returncode == -signal.SIGSYS:
            index = min(start + done, len(self.codes) - 1)
            row = self._first_row + (len(self.codes) - 1 - index if self.reverse else index)
            where = f"at row {row}" if report.loaded else "while it was loaded"
            # The votes will be void, but the codes may show that a limit was reached at an earlier row.
            if is_well_formed(codes, n_classes, masks):
                self.codes[start : start + done] = codes[:done]
            self._stop(ProgramStatus.VIOLATION, f"it made a forbidden system call {where}", Outcome.VIOLATION)
        elif not report.loaded and stop_reason is not StopReason.WALL:
            detail = report.messages.get(protocol.LOAD_MESSAGE)
            detail = detail or f"loading it ended in {_describe_end(stop_reason, returncode)}"
            self._stop(ProgramStatus.LOAD_ERROR, detail, Outcome.NOT_RUN)
        elif not is_well_formed(codes, n_classes, masks):
            self._stop(
                ProgramStatus.INVALID_OUTPUT, "it wrote over the memory its votes are kept in", Outcome.INVALID_OUTPUT
            )
        else:
            self.codes[start : start + done] = codes[:done]
            if masks is not None:
                self.masks = np.zeros(len(self.codes), dtype=np.int64) if self.masks is None else self.masks
                self.masks[start : start + done] = masks[:done]
            if done < len(codes):
                return done + self._add_early_exit(start + done, stop_reason, returncode)
        return done

    def _add_early_exit(self, row: int, stop_reason: StopReason, returncode: int) -> int:
        """Account for a worker that left `row` without a code; return 1 if this gives the row its code, else 0."""
        if stop_reason is StopReason.WALL:
            self._stop(ProgramStatus.WALL_LIMIT, "")  # ProgramAccount adds how many rows are left
            return 0
        if stop_reason is StopReason.NONE and self.timeouts_left <= 0:
            return 0  # the worker stopped because no timeout was left
        self.early_exits[row] = _describe_end(stop_reason, returncode)
        self.codes[row] = protocol.TIMEOUT if stop_reason is StopReason.STALL else CRASH
        return 1

    def _stop(self, status: ProgramStatus, detail: str, outcome: Outcome | None = None) -> None:
        self.status, self.detail = status, sanitize(detail)
        if outcome is not None:
            self.messages.setdefault(outcome, self.detail)


def _describe_end(stop_reason: StopReason, returncode: int) -> str:
    if stop_reason is StopReason.STALL:
        return "a stall (sandbox.stall_s)"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
