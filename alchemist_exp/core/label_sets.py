"""Sets of classes as bit masks: what a row has when several classes may hold for it (dataset.multi_label=true).

Bit k of a mask is class k; 0 is the empty set, and -1 (`ABSTAIN`) is "not known", as for single classes. So gold labels
have the shape (n_rows,) and votes the shape (n_rows, n_programs) in both cases.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, BoolArray, FloatArray, IntArray, LabelMatrix, SoftLabels, read_only

MAX_SET_CLASSES: Final = 62
"""A mask is an int64 that is not negative."""

SEPARATOR: Final = "|"
"""Is between the class names of a row in a CSV file; alone in a field, it means that no class holds."""

THRESHOLD: Final = 0.5
"""A class is in the predicted set from this probability on."""


def mask_of(classes: Iterable[int]) -> int:
    """Return the mask of a set of classes.

    Args:
        classes: Class indices from 0.

    Example:
        >>> mask_of([0, 2]), mask_of([])
        (5, 0)

    """
    mask = 0
    for index in classes:
        mask |= 1 << index
    return mask


def classes_of(mask: int) -> tuple[int, ...]:
    """Return the classes of a mask, in ascending order.

    Args:
        mask: A mask that is not negative.

    Example:
        >>> classes_of(5)
        (0, 2)

    """
    return tuple(index for index in range(mask.bit_length()) if mask >> index & 1)


def names_of(mask: int, classes: Iterable[str]) -> list[str]:
    """Return the names of the classes of a mask.

    Args:
        mask: A mask that is not negative.
        classes: The class names.

    Example:
        >>> names_of(5, ["red", "green", "blue"])
        ['red', 'blue']

    """
    return [name for index, name in enumerate(classes) if mask >> index & 1]


def members(masks: npt.ArrayLike, n_classes: int) -> BoolArray:
    """Return which classes are in each mask.

    Args:
        masks: int64 array of any shape; -1 (`ABSTAIN`) has no class.
        n_classes: The number of classes.

    Returns:
        Boolean array with one more axis, of length n_classes.

    Example:
        >>> members([5, 0, -1], 3).tolist()
        [[True, False, True], [False, False, False], [False, False, False]]

    """
    of_rows = np.asarray(masks, np.int64)[..., np.newaxis]
    found: BoolArray = ((of_rows >> np.arange(n_classes, dtype=np.int64)) & 1 == 1) & (of_rows != ABSTAIN)
    return found


def to_masks(member: npt.NDArray[np.bool_]) -> IntArray:
    """Return the mask of each row; the inverse of `members` where a mask is not negative.

    Args:
        member: Boolean array of shape (n_rows, n_classes).

    Returns:
        int64 array of shape (n_rows,).

    Example:
        >>> to_masks(np.array([[True, False, True], [False, False, False]])).tolist()
        [5, 0]

    """
    weights = np.int64(1) << np.arange(member.shape[1], dtype=np.int64)
    masks: IntArray = member.astype(np.int64) @ weights
    return masks


def predicted_sets(probs: npt.NDArray[Any]) -> IntArray:
    """Return the classes whose probability is at least `THRESHOLD`.

    Args:
        probs: Array of shape (n_rows, n_classes), each the probability that the class holds.

    Returns:
        int64 array of shape (n_rows,): masks.

    """
    return to_masks(probs >= THRESHOLD)


@dataclass(frozen=True, kw_only=True, eq=False)
class SetMatrix(LabelMatrix):
    """The votes of programs for sets of classes.

    Attributes:
        votes: int64 array of shape (n_rows, n_programs), each a mask or -1 (`ABSTAIN`).
        n_classes: How many classes the dataset has, at most `MAX_SET_CLASSES`.

    Raises:
        ValueError: The votes are not two-dimensional, or one of them is neither a mask of these classes nor -1.

    Example:
        >>> matrix = SetMatrix(votes=np.array([[3, 1], [0, -1], [-1, -1]]), n_classes=2)
        >>> matrix.of_class(1).votes.tolist()
        [[1, 0], [0, -1], [-1, -1]]
        >>> matrix.covered.tolist()
        [True, True, False]

    """

    votes: npt.NDArray[Any]

    def __post_init__(self) -> None:
        """Check the votes and make them read-only."""
        given = np.asarray(self.votes)
        if given.ndim != 2 or not np.issubdtype(given.dtype, np.integer):
            raise ValueError(
                f"votes of type {given.dtype} have shape {given.shape}; expected int64 (n_rows, n_programs)"
            )
        votes = read_only(given, np.int64)
        if votes.size and (votes.min() < ABSTAIN or votes.max() >= 1 << self.n_classes):
            raise ValueError(f"votes are in {votes.min()}..{votes.max()}; expected masks of {self.n_classes} classes")
        object.__setattr__(self, "votes", votes)

    def of_class(self, index: int) -> LabelMatrix:
        """Return the votes on one class as those of a binary task.

        Args:
            index: The class.

        Returns:
            Votes of shape (n_rows, n_programs): 1 where a program names the class, 0 where it answers without it, and
            -1 where it abstains.

        """
        votes = np.where(self.votes == ABSTAIN, np.int64(ABSTAIN), self.votes >> index & 1)
        return LabelMatrix(votes=votes.astype(np.int8), n_classes=2)

    def counts(self) -> IntArray:
        """Count the programs that name each class.

        Returns:
            int64 array of shape (n_rows, n_classes).

        """
        return np.stack([(self.of_class(k).votes == 1).sum(axis=1) for k in range(self.n_classes)], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class SetLabels(SoftLabels):
    """The probability that each class holds, for the rows of one split; the classes are independent.

    Attributes:
        probs: float32 array of shape (n_rows, n_classes), each in 0..1; an uncovered row is all zero.
        covered: Boolean array of shape (n_rows,); False where no program votes.

    Raises:
        ValueError: The shapes do not match, or a probability is not in 0..1.

    Example:
        >>> labels = SetLabels(probs=np.array([[0.9, 0.7], [0.1, 0.2]]), covered=np.array([True, False]))
        >>> labels.hard().tolist()
        [3, -1]

    """

    def _check_values(self, probs: FloatArray, covered: BoolArray) -> None:
        """Raise ValueError for values that are no probabilities of independent classes."""
        if not ((probs >= 0) & (probs <= 1)).all():
            raise ValueError("a probability is not in 0..1")

    @property
    def tied(self) -> BoolArray:
        """Boolean array of shape (n_rows,): covered rows of which a class is as probable as not."""
        tied: BoolArray = self.covered & (self.probs == THRESHOLD).any(axis=1)
        return tied

    def hard(self, rng: np.random.Generator | None = None) -> IntArray:
        """Return the predicted set of each row.

        Args:
            rng: Has no effect: a class with the probability `THRESHOLD` is in the set.

        Returns:
            int64 array of shape (n_rows,): masks, -1 (`ABSTAIN`) where uncovered.

        """
        return np.where(self.covered, predicted_sets(self.probs), ABSTAIN)
