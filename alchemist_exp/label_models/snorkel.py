"""Snorkel's generative label model (Ratner et al., AAAI 2019), which the paper uses.

The package fits the model. This module avoids three problems of it: the class balance is always given (without it the
model collapses on imbalanced votes), the global random state is restored, and uncovered rows are masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.random_state import preserve_global_random_state
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, with_silent_abstain

_Floats = npt.NDArray[np.float64]

STABLE_PROGRAMS = 10
"""With more programs the loss becomes steeper in proportion, and steps of the usual size move the fit to the solution
with all accuracies inverted: 41 programs of sms that are right on 98% of their votes gave an accuracy of .02."""


@component("label_model", "snorkel")
@dataclass(kw_only=True)
class Snorkel(LabelModel):
    """Learns the accuracies of each program from the agreements between programs.

    Attributes:
        epochs: Number of gradient descent steps.
        learning_rate: Step size with up to `STABLE_PROGRAMS` programs; reduced in proportion with more.
        l2: Strength of the pull of the accuracies towards their initial values.
        seed: Random seed of the fit.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [-1, -1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = Snorkel(epochs=100, learning_rate=0.01, l2=0.0, seed=0)
        >>> model.fit(matrix, np.array([0.5, 0.5])).predict_proba(matrix).hard().tolist()
        [0, 0, 1, 1, -1]

    """

    # The agreements of three programs identify their accuracies; the package refuses fewer.
    min_programs: ClassVar[int] = 3
    epochs: int = MISSING
    learning_rate: float = MISSING
    l2: float = MISSING
    seed: int = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if self.epochs < 1:
            raise ConfigError(f"label_model.epochs is {self.epochs}; expected 1 or more.")
        if not 0 < self.learning_rate < np.inf:
            raise ConfigError(f"label_model.learning_rate is {self.learning_rate}; expected a number above 0.")
        if not 0 <= self.l2 < np.inf:
            raise ConfigError(f"label_model.l2 is {self.l2}; expected 0 or more.")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit the accuracies on the covered rows.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,).
            labeled: Not used.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: There are fewer than three programs.
            ConfigError: The fit diverged, so the learning rate is too large.

        """
        from snorkel.labeling.model import LabelModel as SnorkelModel

        self.require_programs(matrix)
        # An uncovered row carries no information, and where most rows are uncovered the fit explains those: with the 73
        # human-crafted functions of sms, which cover 41%, it labeled train with an F1 of .44, without those rows .87.
        votes = np.array(matrix.votes[matrix.covered] if matrix.covered.any() else matrix.votes)
        with preserve_global_random_state():
            model = SnorkelModel(cardinality=matrix.n_classes, verbose=False)
            try:
                model.fit(
                    votes,
                    class_balance=class_balance.tolist(),
                    n_epochs=self.epochs,
                    lr=self.learning_rate * min(1.0, STABLE_PROGRAMS / matrix.votes.shape[1]),
                    l2=self.l2,
                    seed=self.seed,
                    progress_bar=False,
                )
            except Exception as error:
                # The package raises a bare Exception for a loss that is NaN.
                if "NaN" not in str(error):
                    raise
                raise ConfigError(
                    f"label_model.learning_rate is {self.learning_rate:g}, which is too large for these votes: the fit "
                    "diverged; use a smaller value."
                ) from error
        self.vote_probs_: _Floats = model.mu.cpu().detach().numpy().astype(np.float64)
        self.class_balance_: _Floats = np.array(model.p, np.float64)
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the posterior of each covered row's class given its votes.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        covered = matrix.covered
        probs = np.zeros((len(covered), matrix.n_classes))
        if covered.any():
            # As in the package's predict_proba: the logarithms are in float32, as mu is, and to abstain says nothing.
            votes = matrix.votes[covered][:, :, np.newaxis] == np.arange(matrix.n_classes)
            log_probs = np.log(self.vote_probs_.astype(np.float32))
            joint = np.exp(votes.reshape(len(votes), -1).astype(float) @ log_probs + np.log(self.class_balance_))
            probs[covered] = joint / joint.sum(axis=1, keepdims=True)
        return SoftLabels(probs=probs.astype(np.float32), covered=covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the probabilities of each program's votes by class, and of the class balance."""
        return {"vote_probs_": (n_programs * n_classes, n_classes), "class_balance_": (n_classes,)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the logarithms that `predict_proba` adds up; see `LabelModel.posterior`."""
        log_probs = np.log(self.vote_probs_.astype(np.float32)).reshape(n_programs, n_classes, n_classes)
        return AdditivePosterior(
            bias=np.log(self.class_balance_), weights=with_silent_abstain(log_probs), link=Link.EXP
        )
