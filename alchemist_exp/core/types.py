"""The values that the stages pass to each other.

Each checks its shapes when it is made, and its arrays are read-only from then on: a stage can rely on its arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

ABSTAIN: Final = -1
"""The vote of a program that does not decide (paper, Section 3.1)."""

MAX_CLASSES: Final = 100
"""Votes are int8, and the sandbox uses the other negative values as codes."""

TIE: Final = 1e-6
"""Largest difference of equal values: sums in another order differ by about 1e-7 in float32."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Split(StrEnum):
    """The three splits of a dataset."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


def read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the array as a read-only view; the caller's own array stays writable.

    Args:
        array: An array, or a nested sequence of numbers.
        dtype: The type of the result; values are copied only when their type differs.

    Returns:
        A view of the same shape that cannot be written.

    """
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def tied_rows(values: npt.NDArray[Any]) -> BoolArray:
    """Return which rows have their largest value more than once.

    Args:
        values: Array of shape (n_rows, n_classes).

    Returns:
        Boolean array of shape (n_rows,).

    """
    tied: BoolArray = (values >= values.max(axis=1, keepdims=True) - TIE).sum(axis=1) > 1
    return tied


def largest_class(values: npt.NDArray[Any], rng: np.random.Generator | None = None) -> IntArray:
    """Return the class with the largest value in each row; ties are broken at random, without favour of a class.

    Args:
        values: Array of shape (n_rows, n_classes), such as probabilities or counts of votes.
        rng: Breaks ties. One that is passed from part to part gives the classes of the whole; None begins with seed 0.

    Returns:
        int64 array of shape (n_rows,). Equal arrays have equal results, and the first rows do not depend on the others.

    Example:
        >>> classes = largest_class(np.array([[0.2, 0.8]] + [[0.5, 0.5]] * 1000))
        >>> int(classes[0]), 450 < int(classes[1:].sum()) < 550
        (1, True)

    """
    classes: IntArray = values.argmax(axis=1).astype(np.int64)
    rows = np.flatnonzero(tied_rows(values))
    order = (rng or np.random.default_rng(0)).random((len(rows), values.shape[1]))
    largest = values[rows] >= values[rows].max(axis=1, keepdims=True) - TIE
    classes[rows] = np.where(largest, order, -1.0).argmax(axis=1)
    return classes


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMatrix:
    """The votes of programs over the rows of one split.

    Attributes:
        votes: int8 array of shape (n_rows, n_programs), each a class in 0..n_classes-1 or -1 (`ABSTAIN`).
        n_classes: How many classes the dataset has, also those that no program votes for.

    Raises:
        ValueError: The votes are not two-dimensional, or one of them is neither a class nor -1.

    Example:
        >>> import numpy as np
        >>> matrix = LabelMatrix(votes=np.array([[0, 0], [1, -1], [-1, -1]], dtype=np.int8), n_classes=2)
        >>> matrix.counts().tolist()
        [[2, 0], [0, 1], [0, 0]]
        >>> matrix.covered.tolist()
        [True, True, False]

    """

    votes: npt.NDArray[np.int8]
    n_classes: int

    def __post_init__(self) -> None:
        """Check the votes and make them read-only."""
        given = np.asarray(self.votes)
        with np.errstate(invalid="ignore"):  # NaN is found by the comparison below
            votes = read_only(given, np.int8)
        if votes.ndim != 2:
            raise ValueError(f"votes have shape {votes.shape}; expected (n_rows, n_programs)")
        if given.dtype != np.int8 and not np.array_equal(given, votes):
            raise ValueError(f"votes of type {given.dtype} are not all whole numbers in -1..{self.n_classes - 1}")
        if votes.size and (votes.min() < ABSTAIN or votes.max() >= self.n_classes):
            raise ValueError(f"votes are in {votes.min()}..{votes.max()}; expected -1..{self.n_classes - 1}")
        object.__setattr__(self, "votes", votes)

    @property
    def covered(self) -> BoolArray:
        """Boolean array of shape (n_rows,): whether at least one program votes on the row."""
        covered: BoolArray = (self.votes != ABSTAIN).any(axis=1)
        return covered

    @property
    def coverage(self) -> float:
        """Share of rows with at least one vote (paper, Section 4.1); 0 when there are no rows."""
        return float(self.covered.mean()) if len(self.votes) else 0.0

    def select(self, rows: IntArray) -> Self:
        """Return the votes on some rows.

        Args:
            rows: int64 array of shape (n_selected,): row numbers.

        Returns:
            The votes of the same programs, a row for each number.

        """
        return replace(self, votes=self.votes[rows])

    def take_programs(self, columns: Sequence[int]) -> Self:
        """Return the votes of some programs.

        Args:
            columns: The columns of the programs, in the order of the result.

        Returns:
            The votes on the same rows.

        """
        return replace(self, votes=self.votes[:, list(columns)])

    def counts(self) -> IntArray:
        """Count the votes of each row by class.

        Returns:
            int64 array of shape (n_rows, n_classes); abstentions are not counted.

        """
        classes = range(self.n_classes)
        return np.stack([np.count_nonzero(self.votes == c, axis=1) for c in classes], axis=1).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftLabels:
    """Class probabilities of the rows of one split.

    Attributes:
        probs: float32 array of shape (n_rows, n_classes); a covered row sums to 1, an uncovered row is all zero.
        covered: Boolean array of shape (n_rows,); False where no program votes. Such rows never get the prior.

    Raises:
        ValueError: The shapes do not match, a probability is negative, or those of a covered row do not sum to 1
            within 0.001.

    Example:
        >>> import numpy as np
        >>> labels = SoftLabels(probs=np.array([[0.75, 0.25], [0.5, 0.5]]), covered=np.array([True, False]))
        >>> labels.hard().tolist()
        [0, -1]

    """

    probs: FloatArray
    covered: BoolArray

    def __post_init__(self) -> None:
        """Check the arrays, set uncovered rows to zero, make both read-only."""
        covered = read_only(self.covered, np.bool_)
        probs = np.array(self.probs, dtype=np.float32)
        if probs.ndim != 2 or covered.shape != probs.shape[:1]:
            raise ValueError(
                f"probs {probs.shape} and covered {covered.shape} do not match; "
                "expected (n_rows, n_classes) and (n_rows,)"
            )
        probs[~covered] = 0.0
        self._check_values(probs, covered)
        object.__setattr__(self, "probs", read_only(probs, np.float32))
        object.__setattr__(self, "covered", covered)

    def _check_values(self, probs: FloatArray, covered: BoolArray) -> None:
        """Raise ValueError for values that are no probabilities of classes that exclude each other."""
        if not np.isfinite(probs).all() or not np.allclose(probs[covered].sum(axis=1), 1.0, atol=1e-3):
            raise ValueError("the probabilities of a covered row do not sum to 1")
        if (probs < 0).any():
            raise ValueError("a probability is negative")

    @property
    def tied(self) -> BoolArray:
        """Boolean array of shape (n_rows,): covered rows of which no single class is the most probable."""
        return self.covered & tied_rows(self.probs)

    def select(self, rows: IntArray) -> Self:
        """Return the labels of some rows.

        Args:
            rows: int64 array of shape (n_selected,): row numbers.

        Returns:
            The labels, a row for each number.

        """
        return replace(self, probs=self.probs[rows], covered=self.covered[rows])

    def hard(self, rng: np.random.Generator | None = None) -> IntArray:
        """Return the most probable class of each row.

        Args:
            rng: Breaks ties, see `largest_class`.

        Returns:
            int64 array of shape (n_rows,): a random one of equally probable classes, the same each time; -1 (`ABSTAIN`)
            where uncovered.

        """
        return np.where(self.covered, largest_class(self.probs, rng), ABSTAIN)
