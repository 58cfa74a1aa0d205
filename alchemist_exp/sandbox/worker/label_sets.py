"""Checks votes that are lists of classes, for `WorkerJob.multi_label`; other jobs do not use this module."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Final

from alchemist_exp.sandbox.worker.protocol import ABSTAINED, BAD_TYPE, OUT_OF_RANGE, SET

MAX_ITEMS: Final = 1000
"""Items of a list, which may name a class more than once."""

_LISTS: Final = (list, tuple, set, frozenset)


def check_set(
    vote: object, n_classes: int, store: Callable[[int], None], explain: Callable[[str, Callable[[], str]], None]
) -> int:
    """Return the code of a vote, after its mask was stored.

    Args:
        vote: What the program returned. A list, tuple or set of class indices is a vote, and so is one index; -1, a
            list of -1 alone and None abstain. Subclasses of the containers and generators are not valid.
        n_classes: Number of classes.
        store: Receives the mask of a valid vote.
        explain: Receives the kind of an invalid vote and a function that describes it.

    Returns:
        SET, ABSTAINED, BAD_TYPE or OUT_OF_RANGE.
    """
    if vote is None:
        return ABSTAINED
    # A tuple, so that nothing that an item does changes what is checked.
    items = tuple(vote) if type(vote) in _LISTS else (vote,)  # type: ignore[arg-type]
    if len(items) > MAX_ITEMS:
        explain("bad_type", lambda: f"the vote has {len(items)} items; at most {MAX_ITEMS} are allowed")
        return BAD_TYPE
    mask = 0
    for item in items:
        try:
            if isinstance(item, bool):
                raise TypeError
            number = int(operator.index(item))  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001
            explain("bad_type", partial(_describe_type, item, "is" if item is vote else "has"))
            return BAD_TYPE
        if number == -1 and len(items) == 1:
            return ABSTAINED
        if not 0 <= number < n_classes:
            explain("out_of_range", partial(_describe_number, number, n_classes))
            return OUT_OF_RANGE
        mask |= 1 << number
    store(mask)
    return SET


def _describe_type(item: object, verb: str) -> str:
    return f"the vote {verb} a {type(item).__name__}; a list of integers is needed"


def _describe_number(number: int, n_classes: int) -> str:
    shown = str(number) if abs(number) < 10**9 else "a huge number"
    return f"the vote has {shown}; 0..{n_classes - 1} is allowed, or -1 to abstain"
