"""What a run predicts: the mean over seeds of the distilled model, or a mixture of it with the label model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels, read_only

WEIGHTS: Final = tuple(step / 20 for step in range(21))
"""The weights of the label model that `choose_weight` tries."""


@component("predict", "distilled")
@dataclass(kw_only=True)
class Prediction(Component):
    """A member of the configuration group predict; this one predicts with the distilled model alone."""

    combines: ClassVar[bool] = False


@component("predict", "combine")
@dataclass(kw_only=True)
class CombinedPrediction(Prediction):
    """The distilled model, mixed with the label model on rows with votes.

    Attributes:
        weight: The weight of the label model, 0 to 1; None to choose it on valid.

    """

    combines = True

    weight: float | None = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a weight out of range."""
        if self.weight is not None and not is_weight(self.weight):
            raise ConfigError(f"predict.weight is {self.weight}; expected a number from 0 to 1, or null.")


def is_weight(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return type(value) in (int, float) and not math.isnan(value) and 0 <= value <= 1


def mix(distilled: FloatArray, labels: SoftLabels, weight: float) -> FloatArray:
    """Return the weighted mean of two predictions on covered rows, and the distilled one on all others.

    Args:
        distilled: float32 array of shape (n_rows, n_classes), the probabilities of the distilled model.
        labels: The soft labels of the label model.
        weight: The weight of the label model, 0 to 1.

    Returns:
        Read-only float32 array of shape (n_rows, n_classes).

    Example:
        >>> labels = SoftLabels(probs=np.array([[1.0, 0.0], [0.0, 0.0]]), covered=np.array([True, False]))
        >>> mix(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32), labels, 0.5).tolist()
        [[0.75, 0.25], [0.25, 0.75]]

    """
    of_labels = np.where(labels.covered, np.float32(weight), np.float32(0))[:, np.newaxis]
    return read_only(of_labels * labels.probs + (1 - of_labels) * distilled, np.float32)


def choose_weight(distilled: FloatArray, labels: SoftLabels, score: Callable[[IntArray], float | None]) -> float:
    """Return the weight of the label model whose mixture scores best.

    Args:
        distilled: float32 array of shape (n_rows, n_classes), the probabilities of the distilled model.
        labels: The soft labels of the same rows.
        score: Scores classes, an int64 array of shape (n_rows,); None for a score that is not defined on these rows.

    Returns:
        One of `WEIGHTS`; of several with the same score the one closest to 0.5.

    Raises:
        AlchemistError: The score is not defined on these rows.

    """
    scores = {}
    for weight in WEIGHTS:
        if (value := score(mix(distilled, labels, weight).argmax(axis=1).astype(np.int64))) is None:
            raise AlchemistError(
                "predict=combine chooses the weight by the score on valid, which has no row to compute it on; set "
                "predict.weight, for example predict.weight=0.5."
            )
        scores[weight] = value
    return max(WEIGHTS, key=lambda weight: (scores[weight], -abs(weight - 0.5)))
