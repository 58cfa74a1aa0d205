"""What each program's votes look like: coverage, polarity, overlap, conflict and, with gold labels, accuracy."""

from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix


@dataclass(frozen=True, kw_only=True)
class ProgramScores:
    """One program over the rows of a split. Shares are of all rows, as in Snorkel's LFAnalysis.

    Attributes:
        coverage: Share of rows on which it votes.
        polarity: The classes that it votes for, in ascending order.
        overlap: Share of rows on which it and another program vote.
        conflict: Share of rows on which it votes and another program votes for another class.
        accuracy: Share of its votes that are correct; None without votes or gold labels.

    """

    coverage: float
    polarity: tuple[int, ...]
    overlap: float
    conflict: float
    accuracy: float | None


def program_scores(matrix: LabelMatrix, gold: IntArray | None) -> tuple[ProgramScores, ...]:
    """Score each program.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        gold: int64 array of shape (n_rows,); None when there are no gold labels.

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
    counts = matrix.counts()
    n_votes = counts.sum(axis=1)
    scores = []
    for column in votes.T:
        voted = np.flatnonzero(column != ABSTAIN)
        own, total = column[voted], n_votes[voted]
        hits = None if gold is None else np.count_nonzero(own == gold[voted])
        n_rows = max(len(votes), 1)
        scores.append(
            ProgramScores(
                coverage=len(voted) / n_rows,
                polarity=tuple(np.unique(own).tolist()),
                overlap=int(np.count_nonzero(total > 1)) / n_rows,
                conflict=int(np.count_nonzero(counts[voted, own] < total)) / n_rows,
                accuracy=None if hits is None or not len(voted) else int(hits) / len(voted),
            )
        )
    return tuple(scores)
