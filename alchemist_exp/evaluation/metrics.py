"""Accuracy and F1 of predictions, also by class; mean and deviation over seeds.

A score is never NaN: where none can be computed, there is None instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray

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
class ClassScores:
    """How well one class was predicted, over the rows with a prediction.

    Attributes:
        precision: Share of the predictions of this class that are correct; None without such a prediction.
        recall: Share of the gold rows of this class that were predicted so; None without such a row.
        f1: Harmonic mean of both; None if the class occurs neither in gold nor in the predictions.
        rows: Gold rows of the class.

    """

    precision: float | None
    recall: float | None
    f1: float | None
    rows: int


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
    confusion = confusion_matrix(gold, predicted, n_classes)
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


def confusion_matrix(gold: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Count rows by gold class and predicted class; rows predicted as -1 (`ABSTAIN`) are left out.

    Args:
        gold: int64 array of shape (n_rows,), each a class in 0..n_classes-1.
        predicted: int64 array of shape (n_rows,), each a class or -1.
        n_classes: How many classes there are.

    Returns:
        int64 array of shape (n_classes, n_classes): a line for each gold class, a column for each predicted class.

    """
    decided = predicted != ABSTAIN
    cells = np.bincount(gold[decided].astype(np.int64) * n_classes + predicted[decided], minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def class_scores(confusion: IntArray) -> tuple[ClassScores, ...]:
    """Score each class.

    Args:
        confusion: A confusion matrix as of `confusion_matrix`.

    Returns:
        One entry per class.

    Example:
        >>> class_scores(np.array([[3, 1], [0, 0]]))[0]
        ClassScores(precision=1.0, recall=0.75, f1=0.8571428571428571, rows=4)

    """
    return scores_of_counts(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))


def scores_of_counts(hits: IntArray, gold_rows: IntArray, predicted_rows: IntArray) -> tuple[ClassScores, ...]:
    """Score each class from its numbers of rows.

    Args:
        hits: int64 array of shape (n_classes,): rows that have the class in gold and in the predictions.
        gold_rows: int64 array of shape (n_classes,): rows that have it in gold.
        predicted_rows: int64 array of shape (n_classes,): rows that have it in the predictions.

    Returns:
        One entry per class.

    """
    counts = (hits.tolist(), gold_rows.tolist(), predicted_rows.tolist())
    return tuple(
        ClassScores(
            precision=hit / predicted if predicted else None,
            recall=hit / gold if gold else None,
            f1=2 * hit / (gold + predicted) if gold + predicted else None,
            rows=gold,
        )
        for hit, gold, predicted in zip(*counts, strict=True)
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
