"""Keeps account of one program: its votes so far, what it has left of each limit, and why it was stopped.

What a worker says is judged here, and only by what it left in memory and how it ended; its exit status proves nothing.
"""

import signal
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.values import ABSTAIN
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.base import Outcome, ProgramRun, Sandbox, Status
from alchemist_exp.sandbox.report import CRASH, NOT_RUN, Report, count_outcomes, harmless, n_done, well_formed

_VOID: Final = {
    Status.LOAD_ERROR: Outcome.NOT_RUN,
    Status.VIOLATION: Outcome.VIOLATION,
    Status.INVALID_OUTPUT: Outcome.INVALID_OUTPUT,
}
"""Programs that keep no vote, and what their rows count as."""


class Cut(Enum):
    """Why the parent ended a worker."""

    NONE = "none"
    STALL = "stall"
    WALL = "wall"


class Ledger:
    """One program's account. Used by one thread at a time."""

    def __init__(self, source: str, rows: int, limits: Sandbox) -> None:
        self._limits = limits
        self._codes = np.full(rows, NOT_RUN, dtype=np.int8)
        self._status = Status.OK
        self._detail = ""
        self._messages: dict[Outcome, str] = {}
        self._timeouts = 0
        self._restarts = 0
        self._wall_s = 0.0
        self._cpu_s = 0.0
        self.encoded = b""
        self._encode(source)

    @property
    def timeouts_left(self) -> int:
        """Rows that may yet run out of time before the rest is not run."""
        return self._limits.max_timeouts - self._timeouts

    @property
    def wall_left_s(self) -> float:
        """Seconds of wall time left to the program."""
        return self._limits.program_wall_s - self._wall_s

    def may_go_on(self) -> bool:
        """Whether another worker may be started for the program."""
        if self._status is Status.OK and self.timeouts_left <= 0:
            self._stop(Status.QUARANTINED, f"{self._timeouts} rows ran out of time (sandbox.max_timeouts)")
        return self._status is Status.OK

    def spend(self, *, wall_s: float, cpu_s: float) -> None:
        """Book what a worker has used, in seconds."""
        self._wall_s += wall_s
        self._cpu_s += cpu_s

    def settle(
        self, start: int, codes: npt.NDArray[np.int8], report: Report, cut: Cut, returncode: int, n_classes: int
    ) -> int:
        """Judge what one worker left for the rows from `start` on, and return how many rows that settles.

        codes: int8, one for each row it was given.
        returncode: the worker's; minus the signal's number if one ended it.
        """
        for kind, message in report.messages.items():
            self._messages.setdefault(Outcome.NOT_RUN if kind == worker.LOAD_MESSAGE else Outcome(kind), message)
        done = n_done(codes)
        if returncode == -signal.SIGSYS:
            row = min(start + done, len(self._codes) - 1)
            where = f"at row {row}" if report.loaded else "while it was loaded"
            self._stop(Status.VIOLATION, f"it made a forbidden system call {where}", Outcome.VIOLATION)
        elif not report.loaded and cut is not Cut.WALL:
            said = report.messages.get(worker.LOAD_MESSAGE)
            self._stop(Status.LOAD_ERROR, said or f"loading it ended in {_describe(cut, returncode)}", Outcome.NOT_RUN)
        elif not well_formed(codes, n_classes):
            self._stop(Status.INVALID_OUTPUT, "it wrote over the memory its votes are kept in", Outcome.INVALID_OUTPUT)
        else:
            self._codes[start : start + done] = codes[:done]
            self._timeouts += int((codes[:done] == worker.TIMEOUT).sum())
            if done < len(codes):
                return done + self._settle_early_end(start + done, cut, returncode)
        return done

    def close(self, n_classes: int) -> ProgramRun:
        """Return the program's result."""
        codes = self._codes
        voters = (codes >= 0) & (codes < n_classes) & (self._status not in _VOID)
        outcomes = count_outcomes(codes)
        if self._status in _VOID:
            outcomes = {_VOID[self._status]: len(codes)} if len(codes) else {}
        return ProgramRun(
            votes=np.where(voters, codes, np.int8(ABSTAIN)),
            status=self._status,
            outcomes=outcomes,
            messages=dict(self._messages),
            detail=self._detail,
            restarts=self._restarts,
            cpu_seconds=self._cpu_s,
        )

    def _settle_early_end(self, row: int, cut: Cut, returncode: int) -> int:
        """Account for a worker that left `row` without a vote; 1 if that settles the row, else 0."""
        if cut is Cut.WALL:
            rest = len(self._codes) - row
            self._stop(
                Status.WALL_LIMIT,
                f"{rest} rows were left after {self._limits.program_wall_s:g} s (sandbox.program_wall_s)",
            )
            return 0
        if cut is Cut.NONE and self.timeouts_left <= 0:
            return 0  # the worker ended itself for this; `may_go_on` says so
        end = _describe(cut, returncode)
        outcome = Outcome.TIMEOUT if cut is Cut.STALL else Outcome.CRASH
        self._codes[row] = worker.TIMEOUT if cut is Cut.STALL else CRASH
        self._timeouts += cut is Cut.STALL
        self._messages.setdefault(outcome, f"row {row}: {end}")
        if row + 1 < len(self._codes):
            if self._restarts >= self._limits.max_restarts:
                self._stop(
                    Status.QUARANTINED,
                    f"worker {self._restarts + 1} ended in {end} at row {row} (sandbox.max_restarts)",
                )
            else:
                self._restarts += 1
        return 1

    def _stop(self, status: Status, detail: str, outcome: Outcome | None = None) -> None:
        self._status, self._detail = status, harmless(detail)
        if outcome is not None:
            self._messages.setdefault(outcome, self._detail)

    def _encode(self, source: str) -> None:
        try:
            self.encoded = source.encode()
        except UnicodeEncodeError:
            self._stop(Status.LOAD_ERROR, "the source is not valid Unicode", Outcome.NOT_RUN)
        if len(self.encoded) > self._limits.max_source_bytes:
            size, most = len(self.encoded), self._limits.max_source_bytes
            self._stop(
                Status.LOAD_ERROR, f"the source has {size} bytes; sandbox.max_source_bytes is {most}", Outcome.NOT_RUN
            )


def _describe(cut: Cut, returncode: int) -> str:
    if cut is Cut.STALL:
        return "a stall (sandbox.stall_s)"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
