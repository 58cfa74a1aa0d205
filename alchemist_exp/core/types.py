"""The values stages hand to one another.

Each checks its shapes when it is made, and its arrays are read-only from then on: a stage can rely on what it is given.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ABSTAIN: Final = -1
"""A program's vote when it does not decide (paper, Section 3.1)."""

MAX_CLASSES: Final = 100
"""Votes are int8, and the sandbox needs the negative codes."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Split(StrEnum):
    """The three parts of a dataset."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


def read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """`array` as a read-only array of `dtype`; the caller's own array stays writable."""
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMatrix:
    """The votes of m programs over n rows.

    votes: int8 (n, m), a class in 0..n_classes-1 or `ABSTAIN`.
    """

    votes: npt.NDArray[np.int8]
    n_classes: int

    def __post_init__(self) -> None:
        votes = read_only(self.votes, np.int8)
        if votes.ndim != 2:
            raise ValueError(f"votes have shape {votes.shape}; (rows, programs) is needed")
        if votes.size and (votes.min() < ABSTAIN or votes.max() >= self.n_classes):
            raise ValueError(f"votes lie in {votes.min()}..{votes.max()}; -1..{self.n_classes - 1} is allowed")
        object.__setattr__(self, "votes", votes)

    @property
    def covered(self) -> BoolArray:
        """(n,): rows with at least one vote."""
        covered: BoolArray = (self.votes != ABSTAIN).any(axis=1)
        return covered

    @property
    def coverage(self) -> float:
        """Share of rows with at least one vote (paper, Section 4.1); 0 when there are no rows."""
        return float(self.covered.mean()) if len(self.votes) else 0.0

    def counts(self) -> IntArray:
        """int64 (n, n_classes): how many programs vote for each class."""
        classes = range(self.n_classes)
        return np.stack([np.count_nonzero(self.votes == c, axis=1) for c in classes], axis=1).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftLabels:
    """What a labeler believes about n rows.

    probs: float32 (n, k); each covered row sums to 1, an uncovered row is all zero.
    covered: bool (n,); rows that nobody labeled are never given the prior.
    """

    probs: FloatArray
    covered: BoolArray

    def __post_init__(self) -> None:
        covered = read_only(self.covered, np.bool_)
        probs = np.array(self.probs, dtype=np.float32)
        if probs.ndim != 2 or covered.shape != probs.shape[:1]:
            raise ValueError(f"probs {probs.shape} and covered {covered.shape} do not fit; (n, k) and (n,) are needed")
        probs[~covered] = 0.0
        if not np.isfinite(probs).all() or not np.allclose(probs[covered].sum(axis=1), 1.0, atol=1e-3):
            raise ValueError("the probabilities of a covered row do not sum to 1")
        object.__setattr__(self, "probs", read_only(probs, np.float32))
        object.__setattr__(self, "covered", covered)

    def hard(self) -> IntArray:
        """int64 (n,): the likeliest class, the first of equals, `ABSTAIN` where uncovered."""
        return np.where(self.covered, self.probs.argmax(axis=1), ABSTAIN)
