"""Programs whose votes are wrong far more often than by chance, or than those of the other programs."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes

MIN_DEVIATIONS: Final = 4.0
"""How many standard deviations below chance a program must be; among dozens of programs, some have two or three."""

MIN_ADVANTAGE: Final = 0.2
"""The precision of a program's votes for a class, above chance, must be this share of the median of the others. Without
gold labels chance counts as 0, because the others may be wrong; recorded programs then reach .24."""

MIN_ROWS: Final = 20
"""A share of fewer rows than this is not evaluated."""

MIN_SINGLE_DEVIATIONS: Final = 3.0
"""As MIN_DEVIATIONS, for the labels of one label model and for the votes for one class."""


def wrong_programs(matrix: LabelMatrix, labeled: LabeledVotes | None, class_names: Sequence[str]) -> dict[int, str]:
    """Find programs whose votes are wrong far more often than by chance, or for a class than those of the others.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        labeled: Votes of the same programs on rows with gold labels. Without it, each program is compared with the
            majority of the others.
        class_names: A name per class.

    Returns:
        The reason by column, for example "accuracy 0.12, chance 0.50".

    Example:
        >>> import numpy as np
        >>> votes = np.tile([[0, 0, 1], [1, 1, 0]], (20, 1)).astype(np.int8)
        >>> wrong_programs(LabelMatrix(votes=votes, n_classes=2), None, ["ham", "spam"])
        {2: 'accuracy 0.00, chance 0.50'}

    """
    n_programs, n_classes = matrix.votes.shape[1], matrix.n_classes
    counts, found = matrix.counts(), {}
    # By program and class: votes for the class on rows of known truth, and how many of them are right.
    n_votes, n_right = np.zeros((2, n_programs, n_classes))
    for program in range(n_programs):
        if labeled is not None:
            votes, truth = labeled.matrix.votes[:, program], labeled.gold
        else:
            votes = matrix.votes[:, program]
            truth = plurality(without_votes(counts, votes))
        accuracy, chance, rows = accuracy_and_chance(votes, truth, n_classes)
        if is_below_chance(accuracy, chance, rows):
            found[program] = f"accuracy {accuracy:.2f}, chance {chance:.2f}"
        known = votes[(votes != ABSTAIN) & (truth != ABSTAIN)]
        n_votes[program] = np.bincount(known, minlength=n_classes)
        n_right[program] = np.bincount(votes[(votes != ABSTAIN) & (votes == truth)], minlength=n_classes)
    enough = n_votes >= MIN_ROWS
    precision = np.divide(n_right, n_votes, out=np.zeros_like(n_right), where=enough)
    for program, c in np.argwhere(enough).tolist():
        others = enough[:, c] & (np.arange(n_programs) != program)
        if program in found or np.count_nonzero(others) < 2:
            continue
        right, median = precision[program, c], float(np.median(precision[others, c]))
        share = 0.0 if labeled is None else float((labeled.gold == c).mean())
        least = share + (median - share) * MIN_ADVANTAGE
        if is_below_chance(right, least, int(n_votes[program, c]), MIN_SINGLE_DEVIATIONS):
            found[program] = (
                f"right on {right:.2f} of its votes for {class_names[c]}, median of the others {median:.2f}"
            )
    return found


def is_below_chance(accuracy: float, expected: float, rows: int, deviations: float = MIN_DEVIATIONS) -> bool:
    """Whether the number of correct votes, which is about binomial, is that many deviations below the expected one."""
    return accuracy * rows < expected * rows - deviations * math.sqrt(expected * (1 - expected) * rows)


def accuracy_and_chance(
    votes: npt.NDArray[np.signedinteger[Any]], truth: IntArray, n_classes: int
) -> tuple[float, float, int]:
    """Return the share of correct votes, the share expected of the same votes on random rows, and the rows voted on."""
    known = truth != ABSTAIN
    voted = known & (votes != ABSTAIN)
    rows = int(voted.sum())
    if not rows:
        return 0.0, 0.0, 0
    class_shares = np.bincount(truth[known], minlength=n_classes) / known.sum()
    vote_shares = np.bincount(votes[voted], minlength=n_classes) / rows
    return float((votes[voted] == truth[voted]).mean()), float(class_shares @ vote_shares), rows


def plurality(counts: IntArray) -> IntArray:
    """Return the class with the most votes, int64 of shape (n_rows,); ABSTAIN without a vote or in a tie."""
    most = counts.max(axis=1, keepdims=True)
    plurality: IntArray = np.where((counts == most).sum(axis=1) == 1, counts.argmax(axis=1), ABSTAIN)
    return plurality


def without_votes(counts: IntArray, votes: npt.NDArray[np.int8]) -> IntArray:
    """Return the counts, of shape (n_rows, n_classes), without one program's votes, of shape (n_rows,)."""
    rest: IntArray = counts - (votes[:, np.newaxis] == np.arange(counts.shape[1]))
    return rest
