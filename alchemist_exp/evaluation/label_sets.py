"""Scores of sets of classes (dataset.multi_label=true), in the form of the scores of single classes."""

import numpy as np

from alchemist_exp.core.label_sets import members
from alchemist_exp.core.types import ABSTAIN, IntArray
from alchemist_exp.evaluation.metrics import ClassScores, Scores, scores_of_counts


def score_sets(gold: IntArray, predicted: IntArray, *, n_classes: int) -> Scores | None:
    """Score predicted sets of classes; rows predicted as -1 (`ABSTAIN`) are left out.

    Args:
        gold: int64 array of shape (n_rows,), masks.
        predicted: int64 array of shape (n_rows,), masks or -1.
        n_classes: How many classes there are.

    Returns:
        `accuracy` is the subset accuracy, the share of rows whose set is exactly right. `f1` is the micro-F1, over all
        pairs of a row and a class; None if there is no class in gold or predictions. `macro_f1` is the mean F1 of the
        classes that occur in either, 0 if none does. None when no row is left.

    Raises:
        ValueError: The shapes do not match.

    Example:
        >>> result = score_sets(np.array([3, 1, 0]), np.array([1, 1, -1]), n_classes=2)
        >>> result.rows, result.accuracy, result.f1, result.macro_f1
        (2, 0.5, 0.8, 0.5)

    """
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    if gold.ndim != 1 or gold.shape != predicted.shape:
        raise ValueError(f"gold {gold.shape} and predicted {predicted.shape} do not match; expected (n_rows,) for both")
    decided = predicted != ABSTAIN
    if not decided.any():
        return None
    hits, gold_rows, predicted_rows = _counts(gold[decided], predicted[decided], n_classes)
    total = gold_rows + predicted_rows
    occurring = total > 0
    return Scores(
        accuracy=float((gold[decided] == predicted[decided]).mean()),
        f1=float(2 * hits.sum() / total.sum()) if occurring.any() else None,
        macro_f1=float((2 * hits[occurring] / total[occurring]).mean()) if occurring.any() else 0.0,
        rows=int(decided.sum()),
    )


def score_classes(gold: IntArray, predicted: IntArray, *, n_classes: int) -> tuple[ClassScores, ...]:
    """Score each class as a binary task; rows predicted as -1 (`ABSTAIN`) are left out.

    Args:
        gold: int64 array of shape (n_rows,), masks.
        predicted: int64 array of shape (n_rows,), masks or -1.
        n_classes: How many classes there are.

    Returns:
        One entry per class.

    """
    decided = predicted != ABSTAIN
    return scores_of_counts(*_counts(gold[decided], predicted[decided], n_classes))


def most_frequent_share(gold: IntArray) -> float:
    """Return the share of rows that have the most frequent class or set: the accuracy of always predicting it."""
    return float(np.unique(gold, return_counts=True)[1].max() / len(gold))


def _counts(gold: IntArray, predicted: IntArray, n_classes: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return by class the rows with it in both, in gold and in the predictions; int64 arrays of shape (n_classes,)."""
    of_gold, of_predicted = members(gold, n_classes), members(predicted, n_classes)
    return (of_gold & of_predicted).sum(axis=0), of_gold.sum(axis=0), of_predicted.sum(axis=0)
