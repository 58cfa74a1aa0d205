"""Majority vote and the class-balance-weighted one: vectorised, nothing to learn from the votes."""

from dataclasses import dataclass
from typing import Self

from alchemist_exp.core.component import component
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_weights


@component("label_model", "majority")
@dataclass(kw_only=True)
class Majority(LabelModel):
    """Each class gets its share of the votes on the row. Equal shares stay equal; `hard` takes the first of them."""

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Nothing is learned."""
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Shares of votes."""
        return labels_from_weights(matrix.counts().astype(float), matrix.covered)


@component("label_model", "weighted_majority")
@dataclass(kw_only=True)
class WeightedMajority(LabelModel):
    """Votes for a class weigh as much as the class is frequent, as in the authors' code (WRENCH's weighted vote)."""

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Takes the class balance as the weights."""
        self.weights_ = class_balance
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Shares of weighted votes."""
        return labels_from_weights(matrix.counts() * self.weights_, matrix.covered)
