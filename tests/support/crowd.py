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


def biased_crowd(
    n: int, programs: int, balance: list[float], coverage: float, seed: int
) -> tuple[LabelMatrix, np.ndarray]:
    """Simulate programs that favor a class: each has a separate accuracy, from .4 to .9, on the rows of each class."""
    rng = np.random.default_rng(seed)
    k = len(balance)
    truth = rng.choice(k, size=n, p=balance)
    accuracies = rng.uniform(0.4, 0.9, size=(programs, k))
    wrong = (truth[:, np.newaxis] + rng.integers(1, k, size=(n, programs))) % k
    votes = np.where(rng.random((n, programs)) < accuracies[:, truth].T, truth[:, np.newaxis], wrong)
    votes[rng.random(votes.shape) > coverage] = -1
    return LabelMatrix(votes=votes.astype(np.int8), n_classes=k), truth


def one_sided_programs(n: int, programs: int, balance: list[float], seed: int) -> tuple[LabelMatrix, np.ndarray]:
    """Simulate programs that vote for one class each: on 5% to 50% of its rows, and less often on the others."""
    rng = np.random.default_rng(seed)
    k = len(balance)
    truth = rng.choice(k, size=n, p=balance)
    recall, false_alarms = rng.uniform(0.05, 0.5, size=programs), rng.uniform(0.01, 0.6, size=programs)
    own = np.arange(programs) % k
    fires = rng.random((n, programs)) < recall * np.where(truth[:, np.newaxis] == own, 1.0, false_alarms)
    return LabelMatrix(votes=np.where(fires, own, -1).astype(np.int8), n_classes=k), truth
