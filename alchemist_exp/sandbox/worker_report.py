"""Reads what a worker left behind. Every byte of it may have been written by a hostile program."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.base import Outcome

# Codes only the parent gives; a worker that writes one has tampered.
CRASH: Final = -6
NOT_RUN: Final = -7

OUTCOME_OF_CODE: Final[Mapping[int, Outcome]] = {
    ABSTAIN: Outcome.ABSTAIN,
    worker.EXCEPTION: Outcome.EXCEPTION,
    worker.TIMEOUT: Outcome.TIMEOUT,
    worker.BAD_TYPE: Outcome.BAD_TYPE,
    worker.OUT_OF_RANGE: Outcome.OUT_OF_RANGE,
    CRASH: Outcome.CRASH,
    NOT_RUN: Outcome.NOT_RUN,
}


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """A worker's own account, made harmless.

    loaded: whether the program's module ran to its end.
    messages: the first message of each kind in `worker.MESSAGE_SLOTS`; one line each, of a bounded length.
    """

    loaded: bool
    messages: dict[str, str]


def parse_report(area: bytes) -> WorkerReport:
    """Read the report in `area`, whatever it holds: bytes that make no sense make an odd message, never an error."""
    messages = {}
    for kind, slot in worker.MESSAGE_SLOTS.items():
        data = area[slot * worker.SLOT_BYTES : (slot + 1) * worker.SLOT_BYTES]
        size = min(int.from_bytes(data[:2], "little"), worker.SLOT_BYTES - 2)
        message = sanitize(data[2 : 2 + size].decode("utf-8", "replace"))
        if message:
            messages[kind] = message
    return WorkerReport(loaded=area[:1] == bytes([worker.LOADED]), messages=messages)


def well_formed(codes: npt.NDArray[np.int8], n_classes: int) -> bool:
    """Whether `codes`, int8 (rows,), can be an honest worker's: known codes in order, then rows without a vote."""
    done = n_done(codes)
    known = (codes[:done] >= worker.OUT_OF_RANGE) & (codes[:done] < n_classes)
    return bool(known.all() and (codes[done:] == worker.UNSET).all())


def n_done(codes: npt.NDArray[np.int8]) -> int:
    """Rows before the first that has no vote."""
    unset = codes == worker.UNSET
    return int(unset.argmax()) if unset.any() else len(codes)


def count_outcomes(codes: npt.NDArray[np.int8]) -> dict[Outcome, int]:
    """Rows by outcome; only outcomes that occur."""
    counts: dict[Outcome, int] = {}
    for code, rows in zip(*np.unique(codes, return_counts=True), strict=True):
        outcome = Outcome.VOTE if code >= 0 else OUTCOME_OF_CODE[int(code)]
        counts[outcome] = counts.get(outcome, 0) + int(rows)
    return counts
