"""Compares confidence with accuracy: the reliability table and the expected calibration error of probabilities."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from alchemist_exp.core.types import FloatArray, IntArray

N_BINS: Final = 10


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The rows whose confidence is in one interval.

    Attributes:
        low: The lower end of the interval, in 0..1; the interval has a width of 1 / `N_BINS`.
        rows: How many rows there are.
        confidence: Their mean confidence.
        accuracy: The share of them whose predicted class is correct.

    """

    low: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well the confidence of predictions fits their accuracy.

    Attributes:
        ece: Expected calibration error: the mean over rows of the difference between confidence and accuracy of the
            row's bin (Guo et al., ICML 2017). 0 is best.
        confidence: Mean confidence of all rows.
        accuracy: Share of correct rows.
        rows: How many rows there are.
        bins: The bins that have rows, by ascending confidence.

    """

    ece: float
    confidence: float
    accuracy: float
    rows: int
    bins: tuple[ReliabilityBin, ...]


def calibration(probs: FloatArray, predicted: IntArray, gold: IntArray) -> Calibration | None:
    """Compare the confidence of predictions with their accuracy. Confidence is the probability of the predicted class.

    Args:
        probs: float32 array of shape (n_rows, n_classes).
        predicted: int64 array of shape (n_rows,): the predicted class, or -1 for a row that is left out.
        gold: int64 array of shape (n_rows,).

    Returns:
        The table; None if no row is left.

    Example:
        >>> found = calibration(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0]), np.array([0, 1]))
        >>> round(found.ece, 2), found.bins[0].accuracy
        (0.45, 0.0)

    """
    rows = np.flatnonzero(predicted >= 0)
    if not len(rows):
        return None
    confidence = probs[rows, predicted[rows]].astype(np.float64)
    correct = (predicted[rows] == gold[rows]).astype(np.float64)
    places = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    counts = np.bincount(places, minlength=N_BINS)
    sums = [np.bincount(places, weights=values, minlength=N_BINS) for values in (confidence, correct)]
    return Calibration(
        ece=float(np.abs(sums[0] - sums[1]).sum() / len(rows)),
        confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
        rows=len(rows),
        bins=tuple(
            ReliabilityBin(
                low=place / N_BINS,
                rows=int(counts[place]),
                confidence=float(sums[0][place] / counts[place]),
                accuracy=float(sums[1][place] / counts[place]),
            )
            for place in np.flatnonzero(counts).tolist()
        ),
    )
