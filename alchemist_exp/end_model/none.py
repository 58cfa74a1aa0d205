"""No end model: a run ends with the labels of the programs or of the method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.types import FloatArray, SoftLabels
from alchemist_exp.end_model.base import EndModel, FittedEndModel, ValidationData


class NoFittedModel(FittedEndModel):
    """A model without seeds: it predicts nothing and writes nothing."""

    curves = ()
    device = "cpu"

    def __init__(self, n_classes: int) -> None:
        """Keep the number of classes, for the shape of the predictions."""
        self._n_classes = n_classes

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Return an array of shape (0, n_rows, n_classes)."""
        return np.zeros((0, len(features), self._n_classes), dtype=np.float32)

    def save(self, directory: Path) -> None:
        """Write nothing, because there are no weights."""


@component("end_model", "none")
@dataclass(kw_only=True)
class NoEndModel(EndModel):
    """A member that trains no model."""

    trains = False
    supports_multi_label = True

    def fit(
        self,
        features: FloatArray,
        labels: SoftLabels,
        *,
        seeds: Sequence[int],
        validation: ValidationData | None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> NoFittedModel:
        """Return a model without seeds."""
        return NoFittedModel(labels.probs.shape[1])

    def load(self, directory: Path) -> NoFittedModel:
        """Raise StoreError: there is no model."""
        raise StoreError("this run has end_model=none and so no distilled model; run it again with end_model=mlp.")
