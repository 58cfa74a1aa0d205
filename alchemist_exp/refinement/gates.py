"""Decides which programs of a round join the others, and which of all programs are left out (greedy pruning).

With gold labels of valid, programs are worth what they add to the predictions of a naive Bayes model of the votes,
out of fold: each row is predicted with vote frequencies of the other folds. The label models assume the same, without
labels. Without gold labels, programs are worth the rows whose votes are clear, and a new program has to agree with the
others more often than chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix
from alchemist_exp.evaluation.metrics import score
from alchemist_exp.programs.vetting import agreement, below_chance

N_FOLDS: Final = 5
MIN_COVERAGE_GAIN: Final = 0.005
"""The share of rows that a program has to be the first to vote on, where it improves nothing else."""

_SAME_VOTES: Final = 0.98
_MIN_SHARE: Final = 1e-3
"""A change of the value that counts; a smaller one is a difference of rounding or of a single row in a thousand."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BankVotes:
    """The votes of all programs that may be in the set.

    Attributes:
        train: The votes on train, one column per program.
        valid: The votes on the rows of valid that decide; None when gold labels may not be used.
        gold: int64 array of shape (n_valid_rows,); None when they may not be used.

    """

    train: LabelMatrix
    valid: LabelMatrix | None = None
    gold: IntArray | None = None

    def value(self, columns: Sequence[int]) -> float:
        """Return the value of a set of programs; only differences of values mean something.

        Args:
            columns: The programs.

        Returns:
            With gold labels, the mean of accuracy and macro-F1 on valid, out of fold, where a row without a vote has
            the most frequent class. Else the mean share of votes for the first class; 0 for a row without a vote.

        """
        if self.valid is None or self.gold is None:
            return clear_share(_columns(self.train, columns))
        predicted = predict_out_of_fold(_columns(self.valid, columns), self.gold)
        scores = score(self.gold, predicted, n_classes=self.valid.n_classes, positive=None)
        return 0.0 if scores is None else (scores.accuracy + scores.macro_f1) / 2


def predict_out_of_fold(matrix: LabelMatrix, gold: IntArray) -> IntArray:
    """Predict each row by naive Bayes with the vote frequencies of the other folds.

    Args:
        matrix: The votes.
        gold: int64 array of shape (n_rows,).

    Returns:
        int64 array of shape (n_rows,); the most frequent class of the other folds for a row without a vote.

    Example:
        >>> votes = np.array([[0], [0], [1], [1], [-1]] * 10, dtype=np.int8)
        >>> gold = np.array([1, 1, 0, 0, 1] * 10)
        >>> predict_out_of_fold(LabelMatrix(votes=votes, n_classes=2), gold)[:5].tolist()
        [1, 1, 0, 0, 1]

    """
    n_classes = matrix.n_classes
    # Each fold has its part of each class.
    folds = np.empty(len(gold), dtype=np.int64)
    folds[np.argsort(gold, kind="stable")] = np.arange(len(gold)) % N_FOLDS
    voted = [(matrix.votes == c).astype(np.float64) for c in range(n_classes)]
    of_gold = (gold[:, np.newaxis] == np.arange(n_classes)).astype(np.float64)
    predicted = np.empty(len(gold), dtype=np.int64)
    for fold in range(N_FOLDS):
        rows, others = folds == fold, folds != fold
        balance = of_gold[others].sum(axis=0) + 1.0
        counts = np.stack([of_gold[others].T @ votes[others] for votes in voted])  # (vote, gold, program)
        # The frequency of a vote among the votes of a program on the rows of a class; abstaining says nothing.
        shares = (counts + 1.0 / n_classes) / (counts.sum(axis=0) + 1.0)
        scores = np.log(balance / balance.sum()) + sum(
            votes[rows] @ np.log(shares[vote]).T for vote, votes in enumerate(voted)
        )
        predicted[rows] = scores.argmax(axis=1)
    return predicted


def clear_share(matrix: LabelMatrix) -> float:
    """Return the mean share of a row's votes that are for its first class; 0 for a row without a vote.

    Args:
        matrix: The votes.

    Returns:
        A share from 0 to 1.

    """
    counts = matrix.counts()
    return float((counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)).mean()) if len(counts) else 0.0


def choose(
    votes: BankVotes, present: Sequence[int], added: Sequence[int], min_programs: int = 1
) -> tuple[list[int], dict[int, str]]:
    """Choose the programs of a set after a round.

    Programs join one by one, the most valuable first; then programs without which the value is higher are left out.

    Args:
        votes: The votes of all programs.
        present: The columns of the programs before the round.
        added: The columns of the new programs.
        min_programs: How many programs the label model needs.

    Returns:
        The columns of the chosen programs in ascending order, and why each other program is left out.

    """
    chosen, waiting, left_out = list(present), list[int](), dict[int, str]()
    for column in added:
        if reason := _failure(votes, [*present, *waiting], column):
            left_out[column] = reason
        else:
            waiting.append(column)
    value = votes.value(chosen)
    # Greedy: the value of a program depends on those that are in the set, so all values are computed again each time.
    while waiting:
        values = {column: votes.value([*chosen, column]) for column in waiting}
        best = max(waiting, key=values.__getitem__)
        new_rows = _columns(votes.train, [*chosen, best]).coverage - _columns(votes.train, chosen).coverage
        if values[best] < value + _MIN_SHARE and not (values[best] >= value and new_rows >= MIN_COVERAGE_GAIN):
            left_out |= dict.fromkeys(waiting, "does not make the labels better")
            break
        chosen.append(best)
        waiting.remove(best)
        value = values[best]
    # A program can become useless by those that joined after it; rows that it alone covers keep it.
    while len(chosen) > min_programs:
        values = {column: votes.value([c for c in chosen if c != column]) for column in chosen}
        worst = max(chosen, key=values.__getitem__)
        rest = [c for c in chosen if c != worst]
        lost_rows = _columns(votes.train, chosen).coverage - _columns(votes.train, rest).coverage
        if values[worst] < value + _MIN_SHARE or lost_rows >= MIN_COVERAGE_GAIN:
            break
        chosen, value = rest, values[worst]
        left_out[worst] = "the labels are better without it"
    return sorted(chosen), left_out


def _failure(votes: BankVotes, others: Sequence[int], column: int) -> str | None:
    """Return why a program cannot join the others, whatever its value."""
    of_program = votes.train.votes[:, column]
    for other in others:
        if (share := agreement(of_program, votes.train.votes[:, other])) > _SAME_VOTES:
            return f"votes as an earlier program does on {share:.1%} of the rows either votes on"
    if votes.gold is not None and votes.valid is not None:
        failure = below_chance(votes.valid.votes[:, column], votes.gold, votes.valid.n_classes)
        return failure and failure.reason
    # The first class of the others takes the place of the gold labels.
    reference = _columns(votes.train, others)
    rows = np.flatnonzero(reference.covered & (of_program != ABSTAIN))
    majority = reference.counts()[rows].argmax(axis=1)
    failure = below_chance(of_program[rows], majority, votes.train.n_classes)
    return failure and "agrees with the other programs less often than chance"


def _columns(matrix: LabelMatrix, columns: Sequence[int] | npt.NDArray[np.int64]) -> LabelMatrix:
    return LabelMatrix(votes=matrix.votes[:, list(columns)], n_classes=matrix.n_classes)
