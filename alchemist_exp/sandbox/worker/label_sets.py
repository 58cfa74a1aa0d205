"""Checks votes that are lists of classes, for `WorkerJob.multi_label`; other jobs do not use this module."""

import operator
from functools import partial
from typing import Final

from alchemist_exp.sandbox.worker.protocol import ABSTAINED, BAD_TYPE, OUT_OF_RANGE, SET, WorkerJob
from alchemist_exp.sandbox.worker.report_writer import ReportWriter

MAX_ITEMS: Final = 1000
"""Items of a list, which may name a class more than once."""

_LISTS: Final = (list, tuple, set, frozenset)


def check_set(vote: object, row: int, job: WorkerJob, report: ReportWriter, *, masks: memoryview) -> int:
    """Return the code of a vote, after its mask was stored.

    Args:
        vote: What the program returned. A list, tuple or set of class indices is a vote, and so is one index; -1, a
            list of -1 alone and None abstain. Subclasses of the containers and generators are not valid.
        row: Index of the row.
        job: The job, which has the number of classes.
        report: Receives a message about an invalid vote.
        masks: int64 values, one per row; element `row` receives the mask of a valid vote.

    Returns:
        SET, ABSTAINED, BAD_TYPE or OUT_OF_RANGE.
    """
    if vote is None:
        return ABSTAINED
    # A tuple, so that nothing that an item does changes what is checked.
    items = tuple(vote) if type(vote) in _LISTS else (vote,)  # type: ignore[arg-type]
    if len(items) > MAX_ITEMS:
        report.write("bad_type", row, lambda: f"the vote has {len(items)} items; at most {MAX_ITEMS} are allowed")
        return BAD_TYPE
    mask = 0
    for item in items:
        try:
            if isinstance(item, bool):
                raise TypeError
            number = int(operator.index(item))  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001
            report.write("bad_type", row, partial(_describe_type, item, "is" if item is vote else "has"))
            return BAD_TYPE
        if number == -1 and len(items) == 1:
            return ABSTAINED
        if not 0 <= number < job.n_classes:
            report.write("out_of_range", row, partial(_describe_number, number, job.n_classes))
            return OUT_OF_RANGE
        mask |= 1 << number
    masks[row] = mask
    return SET


def _describe_type(item: object, verb: str) -> str:
    return f"the vote {verb} a {type(item).__name__}; a list of integers is needed"


def _describe_number(number: int, n_classes: int) -> str:
    shown = str(number) if abs(number) < 10**9 else "a huge number"
    return f"the vote has {shown}; 0..{n_classes - 1} is allowed, or -1 to abstain"
