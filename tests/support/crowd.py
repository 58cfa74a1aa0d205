"""Simulated votes of programs with known accuracies on rows with known classes."""

import numpy as np

from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes


def crowd(
    n: int, accuracies: list[float], balance: list[float], coverage: float, seed: int
) -> tuple[LabelMatrix, np.ndarray]:
    """Simulate independent programs.

    Args:
        n: How many rows.
        accuracies: One per program.
        balance: Frequency of each class.
        coverage: Probability that a program votes on a row.
        seed: Random seed.

    Returns:
        Votes of shape (n, n_programs), and the true classes of shape (n,).

    """
    rng = np.random.default_rng(seed)
    k = len(balance)
    truth = rng.choice(k, size=n, p=balance)
    votes = np.empty((n, len(accuracies)), dtype=np.int8)
    for j, accuracy in enumerate(accuracies):
        wrong = (truth + rng.integers(1, k, size=n)) % k
        votes[:, j] = np.where(rng.random(n) < accuracy, truth, wrong)
    votes[rng.random(votes.shape) > coverage] = -1
    return LabelMatrix(votes=votes, n_classes=k), truth


def one_sided_crowd(n: int, seed: int) -> tuple[LabelMatrix, np.ndarray]:
    """Simulate eight programs that vote for one class each, as human-crafted functions do; four have many errors."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(2, size=n, p=[0.7, 0.3])
    votes = np.full((n, 8), -1, dtype=np.int8)
    for program in range(8):
        own, false_alarms = program % 2, 0.03 if program < 4 else 0.3
        fires = rng.random(n) < np.where(truth == own, 0.5, false_alarms)
        votes[fires, program] = own
    return LabelMatrix(votes=votes, n_classes=2), truth


def labeled(matrix: LabelMatrix, truth: np.ndarray, rows: int = 500) -> LabeledVotes:
    """Return the first rows as a labeled validation split."""
    return LabeledVotes(matrix=LabelMatrix(votes=matrix.votes[:rows], n_classes=matrix.n_classes), gold=truth[:rows])
