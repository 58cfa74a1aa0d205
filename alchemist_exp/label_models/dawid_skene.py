"""Dawid and Skene's model (Applied Statistics 28(1), 1979) by expectation maximisation, and its one-coin variant.

Programs are taken to vote independently once the row's class is known. Nothing is random: EM starts at the shares of
votes, and climbs to the optimum nearest to them, which need not be the best one.
"""

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_log_weights
from alchemist_exp.label_models.vote_patterns import VotePatterns

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_Floats = npt.NDArray[np.float64]

_LEAST = 1e-10
"""No answer and no class is impossible, or one row could decide all."""


class ClassPrior(StrEnum):
    """Where the classes' shares come from: the class balance as given, learned by EM, or all alike.

    Members are in lower case because a configuration names them, and OmegaConf goes by the member's name.
    """

    given = "given"
    learned = "learned"
    uniform = "uniform"


@dataclass(kw_only=True)
class _ByExpectationMaximisation(LabelModel):
    """What both share: an answer table per program, over the m(k + 1) answers it can give, abstaining first."""

    class_prior: ClassPrior = MISSING
    smoothing: float = MISSING
    max_iterations: int = MISSING
    tolerance: float = MISSING

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < np.inf:
            raise ConfigError(f"label_model.smoothing is {self.smoothing}; 0 or a number above it is needed.")
        if self.max_iterations < 1:
            raise ConfigError(f"label_model.max_iterations is {self.max_iterations}; 1 or more is needed.")
        if not 0 <= self.tolerance < np.inf:
            raise ConfigError(f"label_model.tolerance is {self.tolerance}; 0 or a number above it is needed.")

    @abstractmethod
    def _answer_table(self, expected: _Floats) -> _Floats:
        """(m, k + 1, k) chances of each answer in each class, from the expected counts of the same shape."""

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fits on all rows, those that nobody voted on too: that nobody did is evidence of their class."""
        patterns, k = VotePatterns.of(matrix), matrix.n_classes
        answers = _one_hot(patterns.votes, k)
        belief = _shares_of_votes(patterns.votes, class_balance)
        prior = np.full(k, 1 / k) if self.class_prior is ClassPrior.uniform else class_balance
        reached = -np.inf
        for _ in range(self.max_iterations):
            weighed = belief * patterns.rows[:, np.newaxis]
            if self.class_prior is ClassPrior.learned:
                prior = weighed.sum(axis=0) / max(patterns.rows.sum(), 1.0)
            table = self._answer_table((answers.T @ weighed).reshape(-1, k + 1, k))
            self.log_prior_: _Floats = np.log(np.maximum(prior, _LEAST))
            self.log_answers_: _Floats = np.log(np.maximum(table, _LEAST)).reshape(-1, k)
            joint = answers @ self.log_answers_ + self.log_prior_
            evidence = np.logaddexp.reduce(joint, axis=1, keepdims=True)
            belief = np.exp(joint - evidence)
            likelihood = float(patterns.rows @ evidence[:, 0]) / max(patterns.rows.sum(), 1.0)
            if likelihood - reached <= self.tolerance:
                break
            reached = likelihood
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """The posterior of each covered row's class given its answers."""
        joint = _one_hot(matrix.votes, matrix.n_classes) @ self.log_answers_ + self.log_prior_
        return labels_from_log_weights(joint, matrix.covered)


@component("label_model", "dawid_skene")
@dataclass(kw_only=True)
class DawidSkene(_ByExpectationMaximisation):
    """A confusion matrix per program, k classes by k + 1 answers: abstaining is an answer of its own.

    Without that, programs that vote for one class only would tell nothing: each would be sure of its class whatever
    the row. Smoothing adds rows to each class of each program, answered at the program's own rates, so that little
    evidence means no evidence.
    """

    def _answer_table(self, expected: _Floats) -> _Floats:
        rates = expected.sum(axis=2, keepdims=True) + 1
        smoothed = expected + self.smoothing * rates / rates.sum(axis=1, keepdims=True)
        table: _Floats = smoothed / np.maximum(smoothed.sum(axis=1, keepdims=True), _LEAST)
        return table


@component("label_model", "one_coin")
@dataclass(kw_only=True)
class OneCoin(_ByExpectationMaximisation):
    """One accuracy per program, its wrong votes spread evenly over the other classes; abstaining tells nothing.

    Smoothing adds votes at chance to each program.
    """

    def _answer_table(self, expected: _Floats) -> _Floats:
        programs, _, k = expected.shape
        cast = expected[:, 1:].sum(axis=(1, 2)) + self.smoothing
        right = np.trace(expected[:, 1:], axis1=1, axis2=2) + self.smoothing / k
        accuracy = np.divide(right, cast, out=np.full(programs, 1 / k), where=cast > 0)[:, np.newaxis, np.newaxis]
        votes = np.where(np.eye(k, dtype=bool), accuracy, (1 - accuracy) / (k - 1))
        return np.concatenate([np.ones((programs, 1, k)), votes], axis=1)


def _one_hot(votes: npt.NDArray[np.int8], k: int) -> "csr_array":
    """(n, m(k + 1)): a one for each program's answer."""
    from scipy.sparse import csr_array

    rows, programs = votes.shape
    columns = votes.astype(np.int32) + 1 + np.arange(programs, dtype=np.int32) * (k + 1)
    starts = np.arange(0, rows * programs + 1, programs) if programs else np.zeros(rows + 1, dtype=np.int64)
    return csr_array((np.ones(columns.size), columns.ravel(), starts), shape=(rows, programs * (k + 1)))


def _shares_of_votes(votes: npt.NDArray[np.int8], class_balance: ClassBalance) -> _Floats:
    """(u, k): each class's share of the row's votes, the class balance where nobody voted."""
    counts = np.stack([np.count_nonzero(votes == c, axis=1) for c in range(len(class_balance))], axis=1)
    cast = counts.sum(axis=1, keepdims=True)
    shares: _Floats = np.where(cast > 0, counts / np.maximum(cast, 1), class_balance)
    return shares
