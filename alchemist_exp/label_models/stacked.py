"""Stacking: logistic regression on the votes, fitted on the labeled validation rows. Not in the paper."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, labels_from_log_weights
from alchemist_exp.label_models.labeled_votes import GoldLabelModel, log_loss, out_of_fold_labels, require_labeled
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, with_silent_abstain

_MAX_ITERATIONS = 10_000
"""Steps of the solver (L-BFGS). The loss is convex, so the fit converges; most fits need fewer than 100."""

_TOLERANCE = 1e-7
"""Largest gradient at which the solver stops; the labels then do not depend on the order of rows and programs."""


@component("label_model", "stacked")
@dataclass(kw_only=True)
class Stacked(GoldLabelModel):
    """Learns a weight for each program, vote and class by logistic regression (stacking; Wolpert, 1992).

    The features of a row are its votes, one-hot: n_programs * n_classes columns; to abstain is all zeros. In addition
    to the labeled rows there is one row for each class, on which all programs vote for it. So each class occurs, and a
    vote that does not occur on labeled rows counts for its class. Labels of the validation rows themselves must be made
    out of fold, see `out_of_fold_labels`.

    Attributes:
        l2: Strengths of the L2 penalty on the weights (1 / C of scikit-learn), in rows. The one whose out-of-fold
            labels have the smallest log loss is used.

    Example:
        Program 1 votes for class 0 on rows of class 1, and the opposite:

        >>> import numpy as np
        >>> votes = np.array([[0, 1], [-1, 1], [-1, 0], [1, 0]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=np.repeat(votes, 20, axis=0), n_classes=2)
        >>> labeled = LabeledVotes(matrix=matrix, gold=np.repeat([0, 0, 1, 1], 20))
        >>> model = Stacked(use_valid=True, l2=[1.0]).fit(matrix, np.array([0.5, 0.5]), labeled)
        >>> model.predict_proba(LabelMatrix(votes=votes, n_classes=2)).hard().tolist()
        [0, 0, 1, 1]

    """

    l2: list[float] = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if not self.l2 or not all(0 < strength < np.inf for strength in self.l2):
            raise ConfigError(f"label_model.l2 is {[*self.l2]}; expected a list of numbers above 0, such as [1].")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Fit the weights on the validation rows with a vote.

        Args:
            matrix: Votes on train; only the number of classes is used.
            class_balance: Not used: the validation rows have it.
            labeled: Votes and gold labels of the validation split.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: `labeled` is None or contains no vote.

        """
        from sklearn.linear_model import LogisticRegression

        labeled = require_labeled(self, labeled)
        covered, n_classes = labeled.matrix.covered, matrix.n_classes
        strength = self.l2[0]
        if len(self.l2) > 1:
            strength = min(
                self.l2,
                key=lambda l2: log_loss(
                    out_of_fold_labels(replace(self, l2=[l2]), matrix, class_balance, labeled), labeled.gold
                ),
            )
        n_programs = labeled.matrix.votes.shape[1]
        classes = np.arange(n_classes)
        one_row_per_class = np.repeat(classes[:, np.newaxis], n_programs, axis=1).astype(np.int8)
        votes = np.concatenate([labeled.matrix.votes[covered], one_row_per_class])
        gold = np.concatenate([labeled.gold[covered], classes])
        regression = LogisticRegression(C=1 / strength, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)
        regression.fit((votes[:, :, np.newaxis] == classes).astype(np.float64).reshape(len(votes), -1), gold)
        weights, intercepts = regression.coef_, regression.intercept_
        if n_classes == 2:  # scikit-learn then has one row, the score of class 1
            weights, intercepts = np.pad(weights, ((1, 0), (0, 0))), np.pad(intercepts, (1, 0))
        self.weights_ = weights.T.reshape(n_programs, n_classes, n_classes)
        self.intercepts_ = intercepts
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the probabilities of the regression.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        scores = np.tile(self.intercepts_, (len(matrix.votes), 1))
        for c in range(matrix.n_classes):
            scores += (matrix.votes == c) @ self.weights_[:, c]
        return labels_from_log_weights(scores, matrix.covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the weights, by program, vote and class, and of the intercepts of the classes."""
        return {"weights_": (n_programs, n_classes, n_classes), "intercepts_": (n_classes,)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the weights of the regression; see `LabelModel.posterior`."""
        return AdditivePosterior(bias=self.intercepts_, weights=with_silent_abstain(self.weights_), link=Link.EXP)
