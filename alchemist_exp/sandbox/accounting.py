"""Accounts for one program over all chunks: its votes, what is left of each limit, and why it was stopped."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox, source_lines
from alchemist_exp.sandbox.chunk_account import ChunkAccount
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.worker_report import CRASH, NOT_RUN, count_outcomes

_OUTCOME_WITHOUT_VOTES: Final = {
    ProgramStatus.LOAD_ERROR: Outcome.NOT_RUN,
    ProgramStatus.VIOLATION: Outcome.VIOLATION,
    ProgramStatus.INVALID_OUTPUT: Outcome.INVALID_OUTPUT,
}
"""The statuses of programs that keep no vote, and the outcome of all their rows."""

_ATTACKS: Final = (ProgramStatus.VIOLATION, ProgramStatus.INVALID_OUTPUT)
"""Statuses that only an attack leads to."""

_REPEATABLE: Final = (ProgramStatus.OK, *_ATTACKS)
"""Statuses that a program has on every machine, provided that none of its workers ended early."""


class ProgramAccount:
    """Accounts for one program over all chunks, which several threads may run at once.

    Limits hold for the whole program in the order of the rows: rows after the one that reaches a limit count as not
    run, even if a faster worker has labeled them. So the result does not depend on the number of workers.

    Args:
        source: The program.
        limits: The sandbox's limits.
        used_wall_s: Seconds of wall time that the program has used before, on other rows.

    Attributes:
        source_bytes: The program in UTF-8; empty if it is not valid Unicode.
    """

    def __init__(self, source: str, limits: Sandbox, used_wall_s: float = 0.0) -> None:
        """Open the account; a source that no worker can be given is a load error at once."""
        self._limits = limits
        self._used_wall_s = used_wall_s
        self._source = source
        # Worker threads add chunks while another thread opens one. Each ChunkAccount itself belongs to one thread.
        self._lock = threading.Lock()
        self._chunks: dict[int, ChunkAccount] = {}
        self._repetition: ChunkAccount | None = None
        self._status, self._detail = ProgramStatus.OK, ""
        self._messages: dict[Outcome, str] = {}
        self._restarts = self._timeouts = 0
        self.source_bytes = b""
        try:
            self.source_bytes = source.encode()
        except UnicodeEncodeError:
            self._stop(ProgramStatus.LOAD_ERROR, "the source is not valid Unicode", Outcome.NOT_RUN)
        if len(self.source_bytes) > limits.max_source_bytes:
            detail = (
                f"the source has {len(self.source_bytes)} bytes; sandbox.max_source_bytes is {limits.max_source_bytes}"
            )
            self._stop(ProgramStatus.LOAD_ERROR, detail, Outcome.NOT_RUN)

    def open_chunk(self, first_row: int, rows: int) -> ChunkAccount | None:
        """Open the account of a chunk.

        Args:
            first_row: Row number of its first row.
            rows: Number of its rows.

        Returns:
            The account, with the limits that the chunks before it have left; None when its rows are not to be run.
        """
        with self._lock:
            # Only earlier chunks, so that a later one that was faster changes nothing. Those still running are missing
            # here: `result` applies the limits again, to all chunks in order.
            before = [chunk for first, chunk in self._chunks.items() if first < first_row]
            wall_left_s = self._wall_left_s()
        if self._is_stopped(before):
            return None
        timeouts_left = self._limits.max_timeouts - sum(chunk.timeouts for chunk in before)
        return ChunkAccount(rows, first_row, self._limits, timeouts_left=timeouts_left, wall_left_s=wall_left_s)

    def add_chunk(self, first_row: int, chunk: ChunkAccount) -> None:
        """Add the finished account of a chunk.

        Args:
            first_row: Row number of its first row.
            chunk: The account.
        """
        with self._lock:
            self._chunks[first_row] = chunk

    def open_repetition(self, rows: int) -> ChunkAccount | None:
        """Open the account of the determinism check, in which the first rows are labeled again in reverse order.

        Args:
            rows: Number of rows.

        Returns:
            The account; None for a program that was stopped, which has cost enough.
        """
        # Without the lock, here and below: all chunks are finished, and one thread repeats this program.
        if 0 not in self._chunks or self._is_stopped(list(self._chunks.values())):
            return None
        timeouts, wall_left_s = self._limits.max_timeouts, self._wall_left_s()
        return ChunkAccount(rows, 0, self._limits, timeouts_left=timeouts, wall_left_s=wall_left_s, reverse=True)

    def add_repetition(self, repetition: ChunkAccount) -> None:
        """Add the finished account of the determinism check.

        Args:
            repetition: The account.
        """
        self._repetition = repetition

    def result(self, rows: int, n_classes: int, *, multi_label: bool = False) -> ProgramRun:
        """Return the program's result. To be called once, after the last chunk.

        Args:
            rows: Number of rows of all chunks.
            n_classes: Number of classes.
            multi_label: Whether votes are for several classes.

        Returns:
            The result over all rows.
        """
        codes = np.full(rows, NOT_RUN, dtype=np.int8)
        for first_row in sorted(self._chunks):
            if self._status is ProgramStatus.OK:
                self._take_chunk(first_row, self._chunks[first_row], codes)
        accounts = list(self._chunks.values())
        nondeterministic = False
        if self._repetition is not None:
            repetition = self._repetition
            accounts.append(repetition)
            first, n_rows = self._chunks[0], len(repetition.codes)
            masks_in_order = None if first.masks is None else first.masks[:n_rows]
            nondeterministic = not repetition.repeats(
                first.codes[:n_rows][::-1], None if masks_in_order is None else masks_in_order[::-1]
            )
            # A program that attacks only in the repetition is no better than one that attacks at once.
            if repetition.status in _ATTACKS and self._status not in _OUTCOME_WITHOUT_VOTES:
                detail = f"{repetition.detail}, when the first rows were given in reverse order"
                self._stop(repetition.status, detail, _OUTCOME_WITHOUT_VOTES[repetition.status])
        without_votes = self._status in _OUTCOME_WITHOUT_VOTES
        is_vote = (codes >= 0) & (codes < n_classes) & (not without_votes)
        votes = np.where(is_vote, codes, np.int8(ABSTAIN))
        if multi_label:
            votes = np.where(is_vote, self._masks(rows), np.int64(ABSTAIN))
        outcomes = count_outcomes(codes)
        if without_votes:
            outcomes = {_OUTCOME_WITHOUT_VOTES[self._status]: rows} if rows else {}
        return ProgramRun(
            votes=votes,
            multi_label=multi_label,
            status=self._status,
            outcomes=outcomes,
            messages={kind: text for kind, text in self._messages.items() if kind in outcomes or without_votes},
            detail=self._detail,
            restarts=self._restarts,
            cpu_seconds=sum(account.cpu_s for account in accounts),
            wall_seconds=sum(account.wall_s for account in accounts),
            nondeterministic=nondeterministic,
            lines=None if without_votes else self._checked_lines(rows),
            repeatable=self._status in _REPEATABLE
            and all(account.status in _REPEATABLE and not account.early_exits for account in accounts),
        )

    def _masks(self, rows: int) -> npt.NDArray[np.int64]:
        """Return the masks of all chunks; they count where the code is that of a vote."""
        masks = np.zeros(rows, dtype=np.int64)
        for first, chunk in self._chunks.items():
            if chunk.masks is not None:
                masks[first : first + len(chunk.masks)] = chunk.masks
        return masks

    def _checked_lines(self, rows: int) -> npt.NDArray[np.int32] | None:
        """Return the lines of all chunks; 0 for a number that is not a line of the source."""
        traced = {first: chunk.lines for first, chunk in self._chunks.items() if chunk.lines is not None}
        if not traced:
            return None
        lines = np.zeros(rows, dtype=np.int32)
        for first, found in traced.items():
            lines[first : first + len(found)] = found
        # A hostile program can write any number into its memory.
        lines[(lines < 1) | (lines > len(source_lines(self._source)))] = 0
        return lines

    def _is_stopped(self, chunks: Sequence[ChunkAccount]) -> bool:
        """Whether the program has been stopped, or has reached a limit, in these chunks."""
        timeouts = sum(chunk.timeouts for chunk in chunks)
        early_exits = sum(len(chunk.early_exits) for chunk in chunks)
        stopped = self._status is not ProgramStatus.OK or any(chunk.status is not ProgramStatus.OK for chunk in chunks)
        return stopped or timeouts >= self._limits.max_timeouts or early_exits > self._limits.max_restarts

    def _wall_left_s(self) -> float:
        # All chunks count, also later ones: wall time differs from run to run anyway, and the limit protects the user.
        return self._limits.program_wall_s - self._used_wall_s - sum(chunk.wall_s for chunk in self._chunks.values())

    def _take_chunk(self, first_row: int, chunk: ChunkAccount, codes: npt.NDArray[np.int8]) -> None:
        """Copy a chunk's codes into `codes`, up to and including the row that reaches a limit.

        Replays the chunk's timeouts and early exits in the order of the rows, because the chunk may have run before an
        earlier chunk had used up a limit.
        """
        for kind, message in chunk.messages.items():
            self._messages.setdefault(kind, message)
        target = codes[first_row : first_row + len(chunk.codes)]
        target[:] = chunk.codes
        for row in sorted({*np.flatnonzero(chunk.codes == protocol.TIMEOUT).tolist(), *chunk.early_exits}):
            is_last = first_row + row + 1 == len(codes)  # no rows are left, so no limit stops the program
            if row in chunk.early_exits:
                outcome = Outcome.CRASH if chunk.codes[row] == CRASH else Outcome.TIMEOUT
                self._messages.setdefault(outcome, f"row {first_row + row}: {chunk.early_exits[row]}")
            self._timeouts += int(chunk.codes[row]) == protocol.TIMEOUT
            if not is_last and row in chunk.early_exits and self._restarts >= self._limits.max_restarts:
                end = f"worker {self._restarts + 1} ended in {chunk.early_exits[row]} at row {first_row + row}"
                self._stop(ProgramStatus.QUARANTINED, f"{end} (sandbox.max_restarts)")
            elif not is_last and self._timeouts >= self._limits.max_timeouts:
                detail = f"{self._timeouts} rows ran out of time (sandbox.max_timeouts)"
                self._restarts += row in chunk.early_exits
                self._stop(ProgramStatus.QUARANTINED, detail)
            else:
                self._restarts += not is_last and row in chunk.early_exits
                continue
            target[row + 1 :] = NOT_RUN
            return
        self._status, self._detail = chunk.status, chunk.detail
        if chunk.status is ProgramStatus.WALL_LIMIT:
            rows_left = len(codes) - first_row - int((chunk.codes != NOT_RUN).sum())
            detail = f"{rows_left} rows were left after {self._limits.program_wall_s:g} s (sandbox.program_wall_s)"
            self._stop(ProgramStatus.WALL_LIMIT, detail)

    def _stop(self, status: ProgramStatus, detail: str, outcome: Outcome | None = None) -> None:
        self._status, self._detail = status, detail
        if outcome is not None:
            self._messages.setdefault(outcome, detail)
