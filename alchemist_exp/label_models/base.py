"""What a label model is, and the class balance it is given.

Every model masks uncovered rows: a row that no program voted on gets no label, never the prior.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels, read_only

ClassBalance = npt.NDArray[np.float64]
"""float64 (k,), positive, sums to 1: how frequent each class is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledVotes:
    """Votes on validation rows whose true classes may be used. gold: int64 (n,), each in 0..n_classes-1."""

    matrix: LabelMatrix
    gold: IntArray

    def __post_init__(self) -> None:
        gold = read_only(self.gold, np.int64)
        if gold.shape != self.matrix.votes.shape[:1]:
            raise ValueError(
                f"votes {self.matrix.votes.shape} and gold {gold.shape} do not fit; (n, m) and (n,) are needed"
            )
        object.__setattr__(self, "gold", gold)


@dataclass(kw_only=True)
class LabelModel(Component, ABC):
    """A label_model group member.

    uses_gold: whether `fit` uses its labeled votes; others are not given any. min_programs: with less than
    these `fit` raises.
    """

    uses_gold: ClassVar[bool] = False
    min_programs: ClassVar[int] = 1

    @abstractmethod
    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Learns from the votes (n, m) on the training split. ProgramsError when there are too few programs.

        labeled: the same programs' votes on the validation split and its gold; None where no stage may use that gold,
        or nobody voted there.
        """

    def require_programs(self, matrix: LabelMatrix) -> None:
        """ProgramsError when there are too few."""
        programs = matrix.votes.shape[1]
        if programs < self.min_programs:
            raise ProgramsError(
                f"label_model={self.name} needs {self.min_programs} accepted programs and {programs} are there; "
                "get more programs, or use label_model=majority."
            )

    @abstractmethod
    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Soft labels of the rows of any split with the same programs."""


def class_balance_from_gold(gold: IntArray, n_classes: int) -> ClassBalance:
    """Shares of the classes in `gold`, each class counted once more than it occurs, so that none is impossible."""
    counts = np.bincount(gold, minlength=n_classes) + 1.0
    balance: ClassBalance = counts / counts.sum()
    return balance


def class_balance_from_votes(matrix: LabelMatrix) -> ClassBalance:
    """Class balance without gold: the mean share of votes over covered rows, each class counted one row more.

    It is the majority vote's own belief, so it leans where the programs lean: with the recorded general prompt it
    gives the positive class .62 on yelp (gold .50), neutral .80 on finance (.59), spam .12 on sms (.13).
    """
    counts = matrix.counts()[matrix.covered]
    shares = counts / counts.sum(axis=1, keepdims=True)
    mass = shares.sum(axis=0) + 1.0
    balance: ClassBalance = mass / mass.sum()
    return balance


def labels_from_weights(weights: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> SoftLabels:
    """Soft labels from non-negative class weights (n, k); covered rows need a positive sum."""
    total = weights.sum(axis=1, keepdims=True)
    probs = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return SoftLabels(probs=probs.astype(np.float32), covered=covered)


def labels_from_log_weights(scores: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> SoftLabels:
    """Soft labels from the logs (n, k) of class weights, of any size."""
    return labels_from_weights(np.exp(scores - scores.max(axis=1, keepdims=True)), covered)
