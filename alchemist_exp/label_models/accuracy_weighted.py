"""Votes weigh as much as their program was right on the validation rows. Our addition; the paper has no such model."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_log_weights

_CURE = "or use a model that learns from the votes alone, as label_model=dawid_skene does"


@component("label_model", "accuracy_weighted")
@dataclass(kw_only=True)
class AccuracyWeighted(LabelModel):
    """A vote of a program of accuracy p weighs log(p / (1 - p)) + log(k - 1), k being the number of classes.

    The weights of the best weighted majority vote of independent programs (Nitzan and Paroush, 1982), for k classes
    among which a wrong vote errs evenly; a program worse than chance counts against the class it names. The class
    balance is not added: what a program is right on already holds it.
    """

    uses_gold: ClassVar[bool] = True
    use_valid: bool = MISSING
    smoothing: float = MISSING

    def __post_init__(self) -> None:
        if not 0 < self.smoothing < np.inf:
            raise ConfigError(f"label_model.smoothing is {self.smoothing}; a number above 0 is needed, such as 1.")

    def check(self) -> None:
        """ConfigError when no stage may use the validation labels."""
        if not self.use_valid:
            raise ConfigError(
                f"label_model={self.name} weighs programs by the validation labels, which gold=none keeps away; "
                f"use gold=valid, {_CURE}."
            )

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Learns the weights (m,) on the validation votes. ProgramsError when there are none with gold."""
        if labeled is None or not labeled.matrix.covered.any():
            raise ProgramsError(
                f"label_model={self.name} needs votes on labeled validation rows, and there are none; "
                f"give the dataset a labeled valid split that programs vote on, {_CURE}."
            )
        votes, k = labeled.matrix.votes, matrix.n_classes
        hits = np.count_nonzero(votes == labeled.gold[:, np.newaxis], axis=0)
        cast = np.count_nonzero(votes != ABSTAIN, axis=0)
        # A program that hardly votes there is taken to be like the others.
        pooled = (hits.sum() + 1) / (cast.sum() + k)
        accuracy = (hits + self.smoothing * pooled) / (cast + self.smoothing)
        self.weights_ = np.log(accuracy / (1 - accuracy) * (k - 1))
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """The posterior under even odds of the classes, had the programs erred independently."""
        scores = np.stack([(matrix.votes == c) @ self.weights_ for c in range(matrix.n_classes)], axis=1)
        return labels_from_log_weights(scores, matrix.covered)
