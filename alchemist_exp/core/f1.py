"""The F1 of each class, by which label models and class offsets are chosen."""

from typing import Any

import numpy as np
import numpy.typing as npt


def f1_by_class(gold: npt.NDArray[Any], predicted: npt.NDArray[Any], n_classes: int) -> npt.NDArray[np.float64]:
    """Return the F1 of each class; the mean of those that are not NaN is the macro-F1.

    Args:
        gold: Integer array of shape (n_rows,), each a class in 0..n_classes-1.
        predicted: Integer array of the same shape.
        n_classes: The number of classes.

    Returns:
        float64 array of shape (n_classes,); NaN for a class that occurs in neither.

    Example:
        >>> f1_by_class(np.array([0, 0, 1]), np.array([0, 1, 1]), 3).round(3).tolist()
        [0.667, 0.667, nan]

    """
    hits = np.bincount(gold[gold == predicted], minlength=n_classes)
    rows = np.bincount(gold, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    f1: npt.NDArray[np.float64] = np.where(rows > 0, 2 * hits / np.maximum(rows, 1), np.nan)
    return f1
