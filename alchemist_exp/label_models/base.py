"""What a label model is, and the class balance it is given.

Every model masks uncovered rows: a row that no program voted on gets no label, never the prior.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.component import Component
from alchemist_exp.core.values import IntArray, LabelMatrix, SoftLabels

Balance = npt.NDArray[np.float64]
"""float64 (k,), positive, sums to 1: how frequent each class is."""


@dataclass(kw_only=True)
class LabelModel(Component, ABC):
    """A label_model group member."""

    @abstractmethod
    def fit(self, matrix: LabelMatrix, class_balance: Balance) -> Self:
        """Learns from the votes (n, m) on the training split. ProgramsError when there are too few programs."""

    @abstractmethod
    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Soft labels of the rows of any split with the same programs."""


def balance_of(gold: IntArray, n_classes: int) -> Balance:
    """Shares of the classes in `gold`, each class counted once more than it occurs, so that none is impossible."""
    counts = np.bincount(gold, minlength=n_classes) + 1.0
    balance: Balance = counts / counts.sum()
    return balance


def estimated_balance(matrix: LabelMatrix) -> Balance:
    """Class balance without gold: the mean share of votes over covered rows, each class counted one row more.

    It is the majority vote's own belief, so it leans where the programs lean.
    """
    counts = matrix.counts()[matrix.covered]
    shares = counts / counts.sum(axis=1, keepdims=True)
    mass = shares.sum(axis=0) + 1.0
    balance: Balance = mass / mass.sum()
    return balance


def normalised(weights: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> SoftLabels:
    """Soft labels from non-negative class weights (n, k); covered rows need a positive sum."""
    total = weights.sum(axis=1, keepdims=True)
    probs = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return SoftLabels(probs=probs.astype(np.float32), covered=covered)
