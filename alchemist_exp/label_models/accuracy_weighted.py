"""Weights each vote by the accuracy of its program on the validation rows. Not in the paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, labels_from_log_weights
from alchemist_exp.label_models.labeled_votes import GoldLabelModel, require_labeled
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, one_hot


@component("label_model", "accuracy_weighted")
@dataclass(kw_only=True)
class AccuracyWeighted(GoldLabelModel):
    """Weights a vote of a program with accuracy p by log(p / (1 - p)) + log(n_classes - 1).

    These are the weights of the optimal weighted majority vote of independent programs (Nitzan and Paroush, 1982),
    extended to several classes with evenly distributed wrong votes. A program worse than chance counts against the
    class that it votes for. The class balance is not added to the scores: the accuracies already reflect it.

    Attributes:
        smoothing: Pseudo-votes added to each program, at the mean accuracy of all programs.

    Example:
        Program 0 is right on all four validation rows, program 1 on two of them:

        >>> import numpy as np
        >>> votes = np.array([[0, 1], [0, 1], [1, 1], [1, 1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> labeled = LabeledVotes(matrix=matrix, gold=np.array([0, 0, 1, 1]))
        >>> model = AccuracyWeighted(use_valid=True, smoothing=1.0)
        >>> model.fit(matrix, np.array([0.5, 0.5]), labeled).predict_proba(matrix).hard().tolist()
        [0, 0, 1, 1]

    """

    smoothing: float = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if not 0 < self.smoothing < np.inf:
            raise ConfigError(f"label_model.smoothing is {self.smoothing}; expected a number above 0, such as 1.")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Learn the weights, of shape (n_programs,), from the votes on the validation split.

        Args:
            matrix: Not used but for the number of classes.
            class_balance: Not used.
            labeled: Votes and gold labels of the validation split.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: `labeled` is None or contains no vote.

        """
        labeled = require_labeled(self, labeled)
        votes, n_classes = labeled.matrix.votes, matrix.n_classes
        correct = np.count_nonzero(votes == labeled.gold[:, np.newaxis], axis=0)
        total = np.count_nonzero(votes != ABSTAIN, axis=0)
        # The mean accuracy of all programs is the prior, so that a program with few votes counts like the others. Its
        # own prior is chance: one correct vote in n_classes.
        mean_accuracy = (correct.sum() + 1) / (total.sum() + n_classes)
        accuracy = (correct + self.smoothing * mean_accuracy) / (total + self.smoothing)
        self.weights_ = np.log(accuracy / (1 - accuracy) * (n_classes - 1))
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the posterior for independent programs and equally frequent classes.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        scores = np.stack([(matrix.votes == c) @ self.weights_ for c in range(matrix.n_classes)], axis=1)
        return labels_from_log_weights(scores, matrix.covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of the weights of the programs; see `LabelModel.parameter_shapes`."""
        return {"weights_": (n_programs,)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the weight of each program's votes; see `LabelModel.posterior`."""
        weights = one_hot(np.tile(self.weights_[:, np.newaxis], (1, n_classes)))
        return AdditivePosterior(bias=np.zeros(n_classes), weights=weights, link=Link.EXP)
