"""Reads what a worker has left in shared memory. A hostile program may have written every byte of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome
from alchemist_exp.sandbox.worker import protocol

# Codes that only the parent gives; a worker that writes one has tampered with its memory.
CRASH: Final = -6
NOT_RUN: Final = -7

OUTCOME_OF_CODE: Final[Mapping[int, Outcome]] = {
    ABSTAIN: Outcome.ABSTAIN,
    protocol.EXCEPTION: Outcome.EXCEPTION,
    protocol.TIMEOUT: Outcome.TIMEOUT,
    protocol.BAD_TYPE: Outcome.BAD_TYPE,
    protocol.OUT_OF_RANGE: Outcome.OUT_OF_RANGE,
    CRASH: Outcome.CRASH,
    NOT_RUN: Outcome.NOT_RUN,
}


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """A worker's flag and messages, without control characters and of bounded length.

    Attributes:
        loaded: Whether the worker claims that the program was loaded.
        messages: The first message of each kind in `protocol.MESSAGE_SLOTS`; one line each.
    """

    loaded: bool
    messages: dict[str, str]


def parse_report(area: bytes) -> WorkerReport:
    """Read a report; any bytes are accepted, because nonsense only gives a nonsensical message.

    Args:
        area: The REPORT_BYTES bytes after the votes.

    Returns:
        The report.
    """
    messages = {}
    for kind, slot in protocol.MESSAGE_SLOTS.items():
        data = area[slot * protocol.SLOT_BYTES : (slot + 1) * protocol.SLOT_BYTES]
        size = min(int.from_bytes(data[:2], "little"), protocol.SLOT_BYTES - 2)
        message = sanitize(data[2 : 2 + size].decode("utf-8", "replace"))
        if message:
            messages[kind] = message
    return WorkerReport(loaded=area[:1] == bytes([protocol.LOADED]), messages=messages)


def is_well_formed(codes: npt.NDArray[np.int8], n_classes: int, masks: npt.NDArray[np.int64] | None = None) -> bool:
    """Return whether an untampered worker can have left these codes.

    Args:
        codes: int8 array of shape (rows,).
        n_classes: Number of classes.
        masks: int64 array of shape (rows,), the masks of votes for several classes; None for votes for one.

    Returns:
        Whether valid codes come first, each vote with a mask of the classes, and then only rows without a code.
    """
    done = n_leading_codes(codes)
    valid = (codes[:done] >= protocol.OUT_OF_RANGE) & (codes[:done] < (n_classes if masks is None else 1))
    if masks is not None:
        valid &= (codes[:done] != protocol.SET) | (masks[:done] >> n_classes == 0)
    return bool(valid.all() and (codes[done:] == protocol.UNSET).all())


def n_leading_codes(codes: npt.NDArray[np.int8]) -> int:
    """Return the number of rows before the first row without a code.

    Args:
        codes: int8 array of shape (rows,).

    Returns:
        The number of rows.
    """
    unset = codes == protocol.UNSET
    return int(unset.argmax()) if unset.any() else len(codes)


def count_outcomes(codes: npt.NDArray[np.int8]) -> dict[Outcome, int]:
    """Count the rows of each outcome.

    Args:
        codes: int8 array of shape (rows,), without UNSET.

    Returns:
        Number of rows by outcome; outcomes without a row are absent.
    """
    counts: dict[Outcome, int] = {}
    for code, rows in zip(*np.unique(codes, return_counts=True), strict=True):
        outcome = Outcome.VOTE if code >= 0 else OUTCOME_OF_CODE[int(code)]
        counts[outcome] = counts.get(outcome, 0) + int(rows)
    return counts
