"""What each program's votes look like: coverage, polarity, overlap, conflict and, with gold labels, accuracy."""

from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.label_sets import SetMatrix, classes_of
from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix
from alchemist_exp.evaluation.label_sets import score_sets


@dataclass(frozen=True, kw_only=True)
class ProgramScores:
    """One program over the rows of a split. Shares are of all rows, as in Snorkel's LFAnalysis.

    Attributes:
        coverage: Share of rows on which it votes.
        polarity: The classes that it votes for, or names in a set, in ascending order.
        overlap: Share of rows on which it and another program vote.
        conflict: Share of rows on which it votes and another program votes for another class or set.
        accuracy: Share of its votes that are correct, for sets of classes their micro-F1; None without votes or gold
            labels.

    """

    coverage: float
    polarity: tuple[int, ...]
    overlap: float
    conflict: float
    accuracy: float | None


def program_scores(matrix: LabelMatrix, gold: IntArray | None) -> tuple[ProgramScores, ...]:
    """Score each program.

    Args:
        matrix: Votes of shape (n_rows, n_programs), for classes or for sets of classes (`SetMatrix`).
        gold: int64 array of shape (n_rows,), classes or masks as the votes; None when there are no gold labels.

    Returns:
        One entry per program.

    Raises:
        ValueError: The number of rows differs.

    Example:
        >>> votes = np.array([[0, 1], [0, -1], [-1, 1], [1, 1]], dtype=np.int8)
        >>> first, second = program_scores(LabelMatrix(votes=votes, n_classes=2), np.array([0, 0, 1, 0]))
        >>> first.coverage, first.polarity, first.overlap, first.conflict, round(first.accuracy, 2)
        (0.75, (0, 1), 0.5, 0.25, 0.67)

    """
    votes = matrix.votes
    if gold is not None and gold.shape != votes.shape[:1]:
        raise ValueError(
            f"votes {votes.shape} and gold {gold.shape} do not match; expected (n_rows, n_programs) and (n_rows,)"
        )
    voted = votes != ABSTAIN
    n_voting, n_rows = voted.sum(axis=1), max(len(votes), 1)
    highest = np.iinfo(votes.dtype).max
    # Two votes on a row differ if the lowest is below the highest; the loop over programs would need all pairs.
    differs = np.where(voted, votes, highest).min(axis=1, initial=highest) < votes.max(axis=1, initial=ABSTAIN)
    scores = []
    for column, of_program in zip(votes.T, voted.T, strict=True):
        own, accuracy = column[of_program], None
        if isinstance(matrix, SetMatrix):
            polarity = classes_of(int(np.bitwise_or.reduce(own, initial=0)))
            found = None if gold is None else score_sets(gold, column, n_classes=matrix.n_classes)
            accuracy = None if found is None else found.f1
        else:
            polarity = tuple(np.unique(own).tolist())
            if gold is not None and len(own):
                accuracy = int(np.count_nonzero(own == gold[of_program])) / len(own)
        scores.append(
            ProgramScores(
                coverage=len(own) / n_rows,
                polarity=polarity,
                overlap=int((of_program & (n_voting > 1)).sum()) / n_rows,
                conflict=int((of_program & differs).sum()) / n_rows,
                accuracy=accuracy,
            )
        )
    return tuple(scores)
