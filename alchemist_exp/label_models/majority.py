"""Majority vote, and majority vote weighted by the class balance; neither learns from the votes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from alchemist_exp.core.component import component
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_weights
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, one_hot


@component("label_model", "majority")
@dataclass(kw_only=True)
class Majority(LabelModel):
    """Gives each class its share of the votes on the row; `SoftLabels.hard` breaks ties at random.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [1, -1, -1], [-1, -1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = Majority().fit(matrix, np.array([0.5, 0.5]))
        >>> print(model.predict_proba(matrix).probs.round(2))
        [[0.67 0.33]
         [0.   1.  ]
         [0.   0.  ]]

    """

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Return the model unchanged: there is nothing to learn."""
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the shares of votes; see `LabelModel.predict_proba`."""
        return labels_from_weights(matrix.counts().astype(float), matrix.covered)

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the shares of votes; see `LabelModel.posterior`."""
        weights = one_hot(np.ones((n_programs, n_classes)))
        return AdditivePosterior(bias=np.zeros(n_classes), weights=weights, link=Link.IDENTITY)


@component("label_model", "weighted_majority")
@dataclass(kw_only=True)
class WeightedMajority(LabelModel):
    """Weights each vote by the frequency of its class, as in the authors' code (WRENCH's weighted vote).

    WRENCH: Zhang et al., NeurIPS Datasets and Benchmarks 2021.

    Example:
        >>> import numpy as np
        >>> matrix = LabelMatrix(votes=np.array([[0, 1, 1]], dtype=np.int8), n_classes=2)
        >>> model = WeightedMajority().fit(matrix, class_balance=np.array([0.8, 0.2]))
        >>> print(model.predict_proba(matrix).probs.round(2))
        [[0.67 0.33]]

    """

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Store the class balance as the weights of the classes; see `LabelModel.fit`."""
        self.weights_ = class_balance
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the shares of weighted votes; see `LabelModel.predict_proba`."""
        return labels_from_weights(matrix.counts() * self.weights_, matrix.covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of the weights of the classes; see `LabelModel.parameter_shapes`."""
        return {"weights_": (n_classes,)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the shares of weighted votes; see `LabelModel.posterior`."""
        weights = one_hot(np.tile(self.weights_, (n_programs, 1)))
        return AdditivePosterior(bias=np.zeros(n_classes), weights=weights, link=Link.IDENTITY)
