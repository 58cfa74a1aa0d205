"""Accuracy and F1 of predictions, coverage and accuracy of programs, mean and deviation over seeds.

A score is never NaN: where none can be computed, there is None instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix

METRICS: Final = ("accuracy", "f1", "macro_f1")
"""The fields of `Scores` that are summarized over seeds."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well classes were predicted.

    Attributes:
        accuracy: Share of correct predictions, in 0..1.
        f1: Binary F1 of the positive class, or the weighted mean over classes, see `score`; None if no scored row is of
            the positive class.
        macro_f1: Unweighted mean of the F1 of the classes that occur in gold or predictions.
        rows: How many rows were scored.

    """

    accuracy: float
    f1: float | None
    macro_f1: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class ProgramScores:
    """One program against gold labels.

    Attributes:
        coverage: Share of rows on which it votes.
        accuracy: Share of its votes that are correct; None without votes or gold labels.

    """

    coverage: float
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class SeedSummary:
    """One metric over seeds.

    Attributes:
        mean: Mean over the seeds.
        std: Sample standard deviation (divisor n - 1); 0 for a single seed.
        per_seed: The values, in the order of the seeds.

    """

    mean: float
    std: float
    per_seed: tuple[float, ...]


def score(gold: IntArray, predicted: IntArray, *, n_classes: int, positive: int | None) -> Scores | None:
    """Score predicted classes; rows predicted as -1 (`ABSTAIN`) are left out.

    Args:
        gold: int64 array of shape (n_rows,), each a class in 0..n_classes-1.
        predicted: int64 array of shape (n_rows,), each a class or -1.
        n_classes: How many classes there are.
        positive: The class whose F1 is reported as `f1` (paper, Section 4.1: spam on SMS). None reports the mean F1
            weighted by the classes' gold rows.

    Returns:
        The scores; None when no row is left. A class that occurs neither in gold nor in the predictions is not part of
        the mean F1.

    Raises:
        ValueError: The shapes do not match, or a class is out of range.

    Example:
        >>> result = score(np.array([0, 1, 1, 1]), np.array([0, 1, 0, -1]), n_classes=2, positive=1)
        >>> result.rows, round(result.accuracy, 3), round(result.f1, 3)
        (3, 0.667, 0.667)

    """
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    if gold.ndim != 1 or gold.shape != predicted.shape:
        raise ValueError(f"gold {gold.shape} and predicted {predicted.shape} do not match; expected (n_rows,) for both")
    if positive is not None and not 0 <= positive < n_classes:
        raise ValueError(f"the positive class is {positive}; expected 0..{n_classes - 1}")
    for name, classes, lowest in (("gold", gold, 0), ("predicted", predicted, ABSTAIN)):
        if classes.size and not lowest <= classes.min() <= classes.max() < n_classes:
            raise ValueError(f"{name} is in {classes.min()}..{classes.max()}; expected {lowest}..{n_classes - 1}")
    decided = predicted != ABSTAIN
    rows = int(decided.sum())
    if not rows:
        return None
    # Confusion matrix (n_classes, n_classes): rows by gold class, then by predicted class.
    cells = np.bincount(gold[decided].astype(np.int64) * n_classes + predicted[decided], minlength=n_classes**2)
    confusion = cells.reshape(n_classes, n_classes)
    gold_rows, predicted_rows = confusion.sum(axis=1), confusion.sum(axis=0)
    occurring = gold_rows + predicted_rows > 0
    # F1 = 2 hits / (gold rows + predicted rows), the same as the harmonic mean of precision and recall.
    f1 = np.divide(2.0 * np.diag(confusion), gold_rows + predicted_rows, out=np.zeros(n_classes), where=occurring)
    binary_f1 = None if positive is None or not gold_rows[positive] else float(f1[positive])
    return Scores(
        accuracy=float(np.trace(confusion) / rows),
        f1=float(f1 @ gold_rows / rows) if positive is None else binary_f1,
        macro_f1=float(f1[occurring].mean()),
        rows=rows,
    )


def program_scores(matrix: LabelMatrix, gold: IntArray | None) -> tuple[ProgramScores, ...]:
    """Score each program over the rows on which it votes.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        gold: int64 array of shape (n_rows,); None when there are no gold labels.

    Returns:
        One entry per program.

    Raises:
        ValueError: The number of rows differs.

    """
    votes = matrix.votes
    if gold is not None and gold.shape != votes.shape[:1]:
        raise ValueError(
            f"votes {votes.shape} and gold {gold.shape} do not match; expected (n_rows, n_programs) and (n_rows,)"
        )
    counts = (votes != ABSTAIN).sum(axis=0)
    hits = None if gold is None else (votes == gold[:, np.newaxis]).sum(axis=0)  # gold is never ABSTAIN
    return tuple(
        ProgramScores(
            coverage=float(count / len(votes)) if len(votes) else 0.0,
            accuracy=float(hits[program] / count) if hits is not None and count else None,
        )
        for program, count in enumerate(counts)
    )


def summarize(scores: Sequence[Scores]) -> dict[str, SeedSummary | None]:
    """Summarize each metric over seeds.

    Args:
        scores: The scores of each seed.

    Returns:
        A summary for each name in `METRICS`; None for a metric that is not defined on these rows.

    Raises:
        ValueError: There are no scores.

    """
    if not scores:
        raise ValueError("no scores to summarize; at least one seed is needed")
    summaries: dict[str, SeedSummary | None] = {}
    for name in METRICS:
        values = tuple(getattr(seed, name) for seed in scores)
        if None in values:  # for all seeds, since it depends on the gold labels
            summaries[name] = None
            continue
        summaries[name] = summarize_values(values)
    return summaries


def summarize_values(values: Sequence[float]) -> SeedSummary:
    """Summarize one metric over seeds.

    Args:
        values: The value of each seed; at least one.

    Returns:
        Mean, sample standard deviation and the values.

    """
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SeedSummary(mean=float(np.mean(values)), std=std, per_seed=tuple(values))
