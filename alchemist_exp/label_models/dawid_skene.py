"""The model of Dawid and Skene (Applied Statistics 28(1), 1979) by expectation maximization, and a one-coin variant.

Programs are assumed to vote independently given the row's class. The fit is deterministic: EM starts at the shares of
the votes and climbs to the nearest local optimum, which need not be the global one.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_log_weights
from alchemist_exp.label_models.posterior import AdditivePosterior, Link
from alchemist_exp.label_models.vote_patterns import VotePatterns

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_Floats = npt.NDArray[np.float64]

_MIN_PROBABILITY = 1e-10
"""Lower bound of every probability: with a zero, one vote could decide a row alone."""


class ClassPrior(StrEnum):
    """Where the class prior comes from.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    given = "given"  # the class balance passed to fit
    learned = "learned"  # estimated by EM, starting from the class balance
    uniform = "uniform"  # 1 / n_classes


@dataclass(kw_only=True)
class _EMLabelModel(LabelModel):
    """Expectation maximization over the outcomes of each program: to abstain, or to vote for one of the classes.

    Attributes:
        class_prior: Where the class prior comes from.
        smoothing: Strength of the prior of the outcome probabilities; its unit depends on the model.
        max_iterations: Maximum number of EM steps.
        tolerance: EM stops when the log-likelihood per row (nats) improves by at most this.

    """

    class_prior: ClassPrior = MISSING
    smoothing: float = MISSING
    max_iterations: int = MISSING
    tolerance: float = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if not 0 <= self.smoothing < np.inf:
            raise ConfigError(f"label_model.smoothing is {self.smoothing}; expected 0 or more.")
        if self.max_iterations < 1:
            raise ConfigError(f"label_model.max_iterations is {self.max_iterations}; expected 1 or more.")
        if not 0 <= self.tolerance < np.inf:
            raise ConfigError(f"label_model.tolerance is {self.tolerance}; expected 0 or more.")

    @abstractmethod
    def _outcome_probs(self, expected: _Floats) -> _Floats:
        """Return the probability of each outcome in each class (M step).

        Args:
            expected: Expected counts of shape (n_programs, 1 + n_classes, n_classes), by program, outcome and class;
                outcome 0 is to abstain.

        Returns:
            Probabilities of the same shape, or values proportional to them within a program and class.

        """

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit the outcome probabilities on all rows, uncovered ones too: that no program votes is evidence as well.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,); the prior, or its first value.
            labeled: Not used.

        Returns:
            The model itself, fitted.

        """
        patterns, n_classes = VotePatterns.of(matrix), matrix.n_classes
        outcomes = _one_hot_outcomes(patterns.votes, n_classes)
        n_rows = max(patterns.rows.sum(), 1.0)
        # EM starts at each class's share of the pattern's votes; without a vote, at the class balance.
        counts = LabelMatrix(votes=patterns.votes, n_classes=n_classes).counts()
        total = counts.sum(axis=1, keepdims=True)
        posterior: _Floats = np.where(total > 0, counts / np.maximum(total, 1), class_balance)
        prior = np.full(n_classes, 1 / n_classes) if self.class_prior is ClassPrior.uniform else class_balance
        previous = -np.inf
        for iteration in range(1, self.max_iterations + 1):
            # M step: probabilities from the counts that the posterior expects.
            weighted = posterior * patterns.rows[:, np.newaxis]
            if self.class_prior is ClassPrior.learned:
                prior = weighted.sum(axis=0) / n_rows
            expected = (outcomes.T @ weighted).reshape(-1, n_classes + 1, n_classes)
            outcome_probs = self._outcome_probs(expected)
            self.log_prior_: _Floats = np.log(np.maximum(prior, _MIN_PROBABILITY))
            log_probs: _Floats = np.log(np.maximum(outcome_probs, _MIN_PROBABILITY))
            self.log_outcome_probs_ = log_probs.reshape(-1, n_classes)
            # E step: the posterior of each pattern's class.
            joint = outcomes @ self.log_outcome_probs_ + self.log_prior_
            evidence = np.logaddexp.reduce(joint, axis=1, keepdims=True)
            posterior = np.exp(joint - evidence)
            likelihood = float(patterns.rows @ evidence[:, 0]) / n_rows
            converged = bool(likelihood - previous <= self.tolerance)
            self.convergence_ = Convergence(iterations=iteration, converged=converged)
            if converged:
                break
            previous = likelihood
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the posterior of each covered row's class given the outcomes of all programs.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        joint = _one_hot_outcomes(matrix.votes, matrix.n_classes) @ self.log_outcome_probs_ + self.log_prior_
        return labels_from_log_weights(joint, matrix.covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the logarithms of the prior and of the outcome probabilities."""
        return {"log_prior_": (n_classes,), "log_outcome_probs_": (n_programs * (1 + n_classes), n_classes)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the logarithms of prior and outcome probabilities; see `LabelModel.posterior`."""
        weights = self.log_outcome_probs_.reshape(n_programs, 1 + n_classes, n_classes)
        return AdditivePosterior(bias=self.log_prior_, weights=weights, link=Link.EXP)


@component("label_model", "dawid_skene")
@dataclass(kw_only=True)
class DawidSkene(_EMLabelModel):
    """Learns a confusion matrix per program, of n_classes by 1 + n_classes outcomes: to abstain is an outcome.

    Without that outcome, a program that votes for one class only would carry no information: it would name that class
    with probability 1 whatever the row's class is. Smoothing adds that many pseudo-rows to each class of each program,
    distributed as the program's own outcomes over all rows, so that few votes are weak evidence.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [-1, -1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = DawidSkene(class_prior=ClassPrior.given, smoothing=1.0, max_iterations=200, tolerance=1e-6)
        >>> labels = model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix)
        >>> labels.hard().tolist()
        [0, 0, 1, 1, -1]

    """

    def _outcome_probs(self, expected: _Floats) -> _Floats:
        # The rates of the outcomes over all classes, with one pseudo-count each.
        rates = expected.sum(axis=2, keepdims=True) + 1
        smoothed = expected + self.smoothing * rates / rates.sum(axis=1, keepdims=True)
        probs: _Floats = smoothed / np.maximum(smoothed.sum(axis=1, keepdims=True), _MIN_PROBABILITY)
        return probs


@component("label_model", "one_coin")
@dataclass(kw_only=True)
class OneCoin(_EMLabelModel):
    """Learns one accuracy per program; wrong votes are equally frequent, and to abstain carries no information.

    Smoothing adds that many pseudo-votes at chance accuracy to each program.

    Programs that vote for one class only contradict the model, which expects them to vote for the others as well: if
    their class is rare, they are most likely if they are always wrong. Use `DawidSkene` for these.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = OneCoin(class_prior=ClassPrior.given, smoothing=1.0, max_iterations=200, tolerance=1e-6)
        >>> model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix).hard().tolist()
        [0, 0, 1, 1]

    """

    def _outcome_probs(self, expected: _Floats) -> _Floats:
        programs, _, n_classes = expected.shape
        total = expected[:, 1:].sum(axis=(1, 2)) + self.smoothing
        correct = np.trace(expected[:, 1:], axis1=1, axis2=2) + self.smoothing / n_classes
        accuracy = np.divide(correct, total, out=np.full(programs, 1 / n_classes), where=total > 0)
        accuracy = accuracy[:, np.newaxis, np.newaxis]
        votes = np.where(np.eye(n_classes, dtype=bool), accuracy, (1 - accuracy) / (n_classes - 1))
        # The factor 1 for to abstain in every class: it cancels in the posterior.
        return np.concatenate([np.ones((programs, 1, n_classes)), votes], axis=1)


def _one_hot_outcomes(votes: npt.NDArray[np.int8], n_classes: int) -> "csr_array":
    """Return the outcomes as a sparse matrix of shape (n_rows, n_programs * (1 + n_classes)), a one per program."""
    from scipy.sparse import csr_array

    rows, programs = votes.shape
    columns = votes.astype(np.int32) + 1 + np.arange(programs, dtype=np.int32) * (n_classes + 1)
    starts = np.arange(0, rows * programs + 1, programs) if programs else np.zeros(rows + 1, dtype=np.int64)
    return csr_array((np.ones(columns.size), columns.ravel(), starts), shape=(rows, programs * (n_classes + 1)))
