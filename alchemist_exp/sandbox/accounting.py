"""Keeps account of one program: its votes so far, what it has left of each limit, and why it was stopped.

What a worker says is judged here, and only by what it left in memory and how it ended; its exit status proves nothing.
"""

import signal
import threading
from collections.abc import Sequence
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox
from alchemist_exp.sandbox.worker_report import CRASH, NOT_RUN, WorkerReport, count_outcomes, n_done, well_formed

_VOID: Final = {
    ProgramStatus.LOAD_ERROR: Outcome.NOT_RUN,
    ProgramStatus.VIOLATION: Outcome.VIOLATION,
    ProgramStatus.INVALID_OUTPUT: Outcome.INVALID_OUTPUT,
}
"""Programs that keep no vote, and what their rows count as."""


_CAUGHT: Final = (ProgramStatus.VIOLATION, ProgramStatus.INVALID_OUTPUT)
"""What only an attack ends in."""

_OF_THE_MACHINE: Final = (worker.TIMEOUT, CRASH, NOT_RUN)
"""Codes that a slower machine may give where another gives a vote."""

_OWN_DOING: Final = (ProgramStatus.OK, *_CAUGHT)
"""What a program ends in whatever the machine, if no worker of it ended early."""


class StopReason(Enum):
    """Why the parent ended a worker."""

    NONE = "none"
    STALL = "stall"
    WALL = "wall"


class ChunkAccount:
    """The account of one program on one chunk of rows, given in reverse order if so said. For one thread at a time."""

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
        self._first_row = first_row
        self.reverse = reverse
        self._limits = limits
        self._timeouts_left = timeouts_left
        self.codes = np.full(rows, NOT_RUN, dtype=np.int8)
        self.status = ProgramStatus.OK
        self.detail = ""
        self.messages: dict[Outcome, str] = {}
        self.early_ends: dict[int, str] = {}
        """Rows in the middle of which a worker ended, and what it ended in."""
        self._wall_most_s = wall_left_s
        self.wall_s = self.cpu_s = 0.0

    @property
    def timeouts(self) -> int:
        """Rows that ran out of time."""
        return int((self.codes == worker.TIMEOUT).sum())

    @property
    def timeouts_left(self) -> int:
        """Rows that may yet run out of time before the rest is not run."""
        return self._timeouts_left - self.timeouts

    @property
    def wall_left_s(self) -> float:
        """Seconds of wall time left to the program."""
        return self._wall_most_s - self.wall_s

    def may_go_on(self) -> bool:
        """Whether another worker may be started for the rows that are left."""
        within = self.timeouts_left > 0 and len(self.early_ends) <= self._limits.max_restarts
        return within and self.status is ProgramStatus.OK

    def repeats(self, codes: npt.NDArray[np.int8]) -> bool:
        """Whether this account has all that `codes`, int8 (rows,), has, ends for want of time or a process aside."""
        # Such an end in this account does count: a program can feign one to hide that it would vote otherwise. An
        # honest one seldom has one here alone, since rows are timed by their CPU time, whatever else the machine does.
        expected = ~np.isin(codes, _OF_THE_MACHINE)
        return bool((self.codes == codes)[expected].all())

    def spend(self, *, wall_s: float, cpu_s: float) -> None:
        """Book what a worker has used, in seconds."""
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def settle(
        self,
        start: int,
        codes: npt.NDArray[np.int8],
        report: WorkerReport,
        cut: StopReason,
        returncode: int,
        n_classes: int,
    ) -> int:
        """Judge what one worker left for the rows from `start` on, and return how many rows that settles.

        start: counted in the chunk.
        codes: int8, one for each row it was given.
        returncode: the worker's; minus the signal's number if one ended it.
        """
        for kind, message in report.messages.items():
            self.messages.setdefault(Outcome.NOT_RUN if kind == worker.LOAD_MESSAGE else Outcome(kind), message)
        done = n_done(codes)
        if returncode == -signal.SIGSYS:
            where = f"at row {self._row(start + done)}" if report.loaded else "while it was loaded"
            if well_formed(codes, n_classes):  # void, but a budget may have been used up before
                self.codes[start : start + done] = codes[:done]
            self._stop(ProgramStatus.VIOLATION, f"it made a forbidden system call {where}", Outcome.VIOLATION)
        elif not report.loaded and cut is not StopReason.WALL:
            said = report.messages.get(worker.LOAD_MESSAGE)
            self._stop(
                ProgramStatus.LOAD_ERROR, said or f"loading it ended in {_describe(cut, returncode)}", Outcome.NOT_RUN
            )
        elif not well_formed(codes, n_classes):
            self._stop(
                ProgramStatus.INVALID_OUTPUT, "it wrote over the memory its votes are kept in", Outcome.INVALID_OUTPUT
            )
        else:
            self.codes[start : start + done] = codes[:done]
            if done < len(codes):
                return done + self._settle_early_end(start + done, cut, returncode)
        return done

    def _settle_early_end(self, row: int, cut: StopReason, returncode: int) -> int:
        """Account for a worker that left `row` without a vote; 1 if that settles the row, else 0."""
        if cut is StopReason.WALL:
            self._stop(ProgramStatus.WALL_LIMIT, "")  # how many rows are left the program's ledger knows
            return 0
        if cut is StopReason.NONE and self.timeouts_left <= 0:
            return 0  # the worker ended itself for this
        self.early_ends[row] = _describe(cut, returncode)
        self.codes[row] = worker.TIMEOUT if cut is StopReason.STALL else CRASH
        return 1

    def _row(self, index: int) -> int:
        """The number of the row that is kept at `index`, or of the last one."""
        index = min(index, len(self.codes) - 1)
        return self._first_row + (len(self.codes) - 1 - index if self.reverse else index)

    def _stop(self, status: ProgramStatus, detail: str, outcome: Outcome | None = None) -> None:
        self.status, self.detail = status, sanitize(detail)
        if outcome is not None:
            self.messages.setdefault(outcome, self.detail)


class ProgramAccount:
    """The account of one program over all chunks, which may be open at once, in threads of their own.

    Budgets hold for the whole program, in the order of the rows: what is beyond the row that uses one up counts as not
    run, even if a worker was quicker. So the result does not depend on how many workers there are.
    """

    def __init__(self, source: str, limits: Sandbox) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._chunks: dict[int, ChunkAccount] = {}
        self._trial: ChunkAccount | None = None
        self._nondeterministic = False
        self._status, self._detail = ProgramStatus.OK, ""
        self._messages: dict[Outcome, str] = {}
        self._restarts = self._timeouts = 0
        self.encoded = b""
        self._encode(source)

    def open(self, first_row: int, rows: int) -> ChunkAccount | None:
        """The account of the chunk that begins at `first_row`; None when its rows are not to be run."""
        with self._lock:
            before = [chunk for first, chunk in self._chunks.items() if first < first_row]
            wall_left_s = self._wall_left_s()
        if self._is_over(before):
            return None
        left = self._limits.max_timeouts - sum(chunk.timeouts for chunk in before)
        return ChunkAccount(rows, first_row, self._limits, timeouts_left=left, wall_left_s=wall_left_s)

    def book(self, first_row: int, chunk: ChunkAccount) -> None:
        """Take in the finished account of a chunk."""
        with self._lock:
            self._chunks[first_row] = chunk

    def open_trial(self, rows: int) -> ChunkAccount | None:
        """The account of the first rows in reverse order; None for a program that was stopped: it cost enough."""
        if 0 not in self._chunks or self._is_over(list(self._chunks.values())):
            return None
        timeouts, wall_left_s = self._limits.max_timeouts, self._wall_left_s()
        return ChunkAccount(rows, 0, self._limits, timeouts_left=timeouts, wall_left_s=wall_left_s, reverse=True)

    def book_trial(self, trial: ChunkAccount) -> None:
        """Take in the finished account of the first rows in reverse order."""
        self._trial = trial

    def close(self, rows: int, n_classes: int) -> ProgramRun:
        """Return the program's result over all `rows`."""
        codes = np.full(rows, NOT_RUN, dtype=np.int8)
        for first_row in sorted(self._chunks):
            if self._status is ProgramStatus.OK:
                self._take(first_row, self._chunks[first_row], codes)
        accounts = list(self._chunks.values())
        if self._trial is not None:
            self._judge(self._trial)
            accounts.append(self._trial)
        voters = (codes >= 0) & (codes < n_classes) & (self._status not in _VOID)
        outcomes = count_outcomes(codes)
        if self._status in _VOID:
            outcomes = {_VOID[self._status]: rows} if rows else {}
        return ProgramRun(
            votes=np.where(voters, codes, np.int8(ABSTAIN)),
            status=self._status,
            outcomes=outcomes,
            messages={kind: said for kind, said in self._messages.items() if kind in outcomes or self._status in _VOID},
            detail=self._detail,
            restarts=self._restarts,
            cpu_seconds=sum(account.cpu_s for account in accounts),
            nondeterministic=self._nondeterministic,
            repeatable=self._status in _OWN_DOING
            and all(account.status in _OWN_DOING and not account.early_ends for account in accounts),
        )

    def _is_over(self, chunks: Sequence[ChunkAccount]) -> bool:
        """Whether the program has been stopped, or has used up a budget, on these chunks."""
        timeouts = sum(chunk.timeouts for chunk in chunks)
        ends = sum(len(chunk.early_ends) for chunk in chunks)
        stopped = self._status is not ProgramStatus.OK or any(chunk.status is not ProgramStatus.OK for chunk in chunks)
        return stopped or timeouts >= self._limits.max_timeouts or ends > self._limits.max_restarts

    def _wall_left_s(self) -> float:
        return self._limits.program_wall_s - sum(chunk.wall_s for chunk in self._chunks.values())

    def _judge(self, trial: ChunkAccount) -> None:
        """Flag a program that did not answer the first rows alike; one that attacked only then has no vote either."""
        self._nondeterministic = not trial.repeats(self._chunks[0].codes[: len(trial.codes)][::-1])
        if trial.status in _CAUGHT and self._status not in _VOID:
            detail = f"{trial.detail}, when the first rows were given in reverse order"
            self._stop(trial.status, detail, _VOID[trial.status])

    def _take(self, first_row: int, chunk: ChunkAccount, codes: npt.NDArray[np.int8]) -> None:
        """Copy a chunk's codes up to the row where a budget is used up, or all."""
        for kind, message in chunk.messages.items():
            self._messages.setdefault(kind, message)
        target = codes[first_row : first_row + len(chunk.codes)]
        target[:] = chunk.codes
        for row in sorted({*np.flatnonzero(chunk.codes == worker.TIMEOUT).tolist(), *chunk.early_ends}):
            is_last = first_row + row + 1 == len(codes)
            if row in chunk.early_ends:
                outcome = Outcome.CRASH if chunk.codes[row] == CRASH else Outcome.TIMEOUT
                self._messages.setdefault(outcome, f"row {first_row + row}: {chunk.early_ends[row]}")
            self._timeouts += int(chunk.codes[row]) == worker.TIMEOUT
            if not is_last and row in chunk.early_ends and self._restarts >= self._limits.max_restarts:
                end = f"worker {self._restarts + 1} ended in {chunk.early_ends[row]} at row {first_row + row}"
                self._stop(ProgramStatus.QUARANTINED, f"{end} (sandbox.max_restarts)")
            elif not is_last and self._timeouts >= self._limits.max_timeouts:
                said = f"{self._timeouts} rows ran out of time (sandbox.max_timeouts)"
                self._restarts += row in chunk.early_ends
                self._stop(ProgramStatus.QUARANTINED, said)
            else:
                self._restarts += not is_last and row in chunk.early_ends
                continue
            target[row + 1 :] = NOT_RUN
            return
        self._status, self._detail = chunk.status, chunk.detail
        if chunk.status is ProgramStatus.WALL_LIMIT:
            rest = len(codes) - first_row - int((chunk.codes != NOT_RUN).sum())
            said = f"{rest} rows were left after {self._limits.program_wall_s:g} s (sandbox.program_wall_s)"
            self._stop(ProgramStatus.WALL_LIMIT, said)

    def _stop(self, status: ProgramStatus, detail: str, outcome: Outcome | None = None) -> None:
        self._status, self._detail = status, detail
        if outcome is not None:
            self._messages.setdefault(outcome, detail)

    def _encode(self, source: str) -> None:
        try:
            self.encoded = source.encode()
        except UnicodeEncodeError:
            self._stop(ProgramStatus.LOAD_ERROR, "the source is not valid Unicode", Outcome.NOT_RUN)
        if len(self.encoded) > self._limits.max_source_bytes:
            size, most = len(self.encoded), self._limits.max_source_bytes
            self._stop(
                ProgramStatus.LOAD_ERROR,
                f"the source has {size} bytes; sandbox.max_source_bytes is {most}",
                Outcome.NOT_RUN,
            )


def _describe(cut: StopReason, returncode: int) -> str:
    if cut is StopReason.STALL:
        return "a stall (sandbox.stall_s)"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
