"""A score of label models without gold labels: how well the labels predict the votes of left-out programs."""

from copy import copy
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix
from alchemist_exp.label_models.base import ClassBalance, LabelModel

MAX_GROUPS: Final = 5
"""Groups of programs that are left out in turn; one program each where there are no more."""

MAX_ROWS: Final = 5_000
"""Rows that are used, the first ones: more change the score little and cost time."""


def held_out_vote_gain(model: LabelModel, matrix: LabelMatrix, class_balance: ClassBalance) -> float:
    """Measure how much the labels made of some programs tell of the votes of the others.

    The model is fitted without a group of programs. Each vote of the group is then predicted from the label of the row,
    through a table of votes by class that is estimated on the other half of the rows. Labels of one class only tell
    nothing. No gold label is used, and an error that all programs share is not found.

    Args:
        model: The label model; it is not changed.
        matrix: Votes of shape (n_rows, n_programs).
        class_balance: float64 array of shape (n_classes,).

    Returns:
        The mean gain of log-likelihood per vote, in nats, against the shares of the program's votes alone; 0 when no
        row has votes of two groups.

    Example:
        >>> from alchemist_exp import load_component
        >>> matrix = LabelMatrix(votes=np.repeat([[0, 0, 0], [1, 1, 1]], 50, axis=0).astype(np.int8), n_classes=2)
        >>> model = load_component("label_model=majority")
        >>> round(held_out_vote_gain(model, matrix, np.array([0.5, 0.5])), 2)  # at most log(2) = 0.69
        0.67

    """
    votes = matrix.votes[:MAX_ROWS]
    n_programs = votes.shape[1]
    n_groups = min(MAX_GROUPS, n_programs)
    gain, n_votes = 0.0, 0
    for group in range(n_groups):
        left_out = np.arange(n_programs) % n_groups == group
        rest = LabelMatrix(votes=votes[:, ~left_out], n_classes=matrix.n_classes)
        hard = copy(model).fit(rest, class_balance).predict_proba(rest).hard()
        for program in np.flatnonzero(left_out):
            rows = np.flatnonzero((hard != ABSTAIN) & (votes[:, program] != ABSTAIN))
            gain += _gain(hard[rows], votes[rows, program].astype(np.int64), matrix.n_classes)
            n_votes += len(rows)
    return gain / max(n_votes, 1)


def most_left_out(n_programs: int) -> int:
    """Return the largest number of programs that `held_out_vote_gain` leaves out at once."""
    return -(-n_programs // MAX_GROUPS)


def _gain(labels: IntArray, votes: IntArray, n_classes: int) -> float:
    """Return the gain of log-likelihood, in nats, over the votes of one program; both arrays have shape (n_rows,)."""
    total = 0.0
    # Even and odd rows in turn, so that no vote is in the table by which it is predicted.
    for half in (0, 1):
        fitted_on, scored_on = slice(half, None, 2), slice(1 - half, None, 2)
        shares = np.bincount(votes[fitted_on], minlength=n_classes) + 1.0
        shares /= shares.sum()
        # Each class of the labels has one pseudo-row, distributed as the program's votes are.
        table = np.tile(shares, (n_classes, 1))
        np.add.at(table, (labels[fitted_on], votes[fitted_on]), 1)
        table /= table.sum(axis=1, keepdims=True)
        total += float(np.log(table[labels[scored_on], votes[scored_on]] / shares[votes[scored_on]]).sum())
    return total
