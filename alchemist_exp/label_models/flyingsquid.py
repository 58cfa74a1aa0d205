"""FlyingSquid's triplet method (Fu et al., ICML 2020): accuracies in closed form from the agreements of three programs.

For two classes, with votes written as -1 and 1: if programs err independently, the mean product of two programs' votes
is the product of their correlations with the true class. Three such means determine the three correlations. Each pair
of other programs gives an estimate for a program; the median of all is taken. More than two classes are solved one
against the rest. Means are over the rows where both programs vote, so to abstain is assumed to carry no information.

The method fails where programs vote for one class only, as in the paper's Table 9 (F1 0.0 on sms): such programs agree
on every row where both vote, whatever their accuracy is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_log_weights
from alchemist_exp.label_models.posterior import AdditivePosterior, Link, with_silent_abstain
from alchemist_exp.label_models.vote_patterns import VotePatterns

_Floats = npt.NDArray[np.float64]


@component("label_model", "flyingsquid")
@dataclass(kw_only=True)
class FlyingSquid(LabelModel):
    """Learns each program's accuracy for each class against the rest.

    Attributes:
        margin: Minimum distance of every probability from 0 and 1, so that no single vote decides alone.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [-1, -1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = FlyingSquid(margin=0.01).fit(matrix, np.array([0.5, 0.5]))
        >>> model.predict_proba(matrix).hard().tolist()
        [0, 0, 1, 1, -1]

    """

    min_programs: ClassVar[int] = 3  # a triplet
    margin: float = MISSING

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        if not 0 < self.margin < 0.5:
            raise ConfigError(f"label_model.margin is {self.margin}; expected a number between 0 and 0.5.")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Solve each class against the rest.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,).
            labeled: Not used.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: There are fewer than three programs.

        """
        self.require_programs(matrix)
        patterns = VotePatterns.of(matrix)
        votes = patterns.votes
        self.log_odds_: _Floats = np.log(class_balance / (1 - class_balance))
        self.weights_: _Floats = np.array(
            [
                self._weights(np.where(votes == ABSTAIN, 0.0, np.where(votes == c, 1.0, -1.0)), patterns.rows, share)
                for c, share in enumerate(class_balance.tolist())
            ]
        )
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return the probability of each class against the rest, scaled to sum to 1.

        Args:
            matrix: Votes of shape (n_rows, n_programs).

        Returns:
            Soft labels; rows without a vote are uncovered.

        """
        scores = np.tile(self.log_odds_, (len(matrix.votes), 1))
        for c, (for_class, for_rest) in enumerate(self.weights_):
            scores[:, c] += (matrix.votes == c) @ for_class
            scores[:, c] += ((matrix.votes != c) & (matrix.votes != ABSTAIN)) @ for_rest
        # The log of the sigmoid of the log odds.
        return labels_from_log_weights(-np.logaddexp(0, -scores), matrix.covered)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the log odds of the classes, and of the weights of votes for and against each class."""
        return {"log_odds_": (n_classes,), "weights_": (n_classes, 2, n_programs)}

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the log odds of each class against the rest; see `LabelModel.posterior`."""
        for_class, for_rest = self.weights_.transpose(1, 2, 0)[:, :, np.newaxis, :]
        weights = np.where(np.eye(n_classes, dtype=bool), for_class, for_rest)
        return AdditivePosterior(bias=self.log_odds_, weights=with_silent_abstain(weights), link=Link.SIGMOID)

    def _weights(self, signs: _Floats, rows: _Floats, share: float) -> tuple[_Floats, _Floats]:
        """Return what a vote for the class, and a vote for another, adds to the log odds of the class.

        Three known probabilities, that a program votes for the class, that a row is of the class, and that the two
        agree, determine the joint distribution of vote and class.

        Args:
            signs: Patterns of shape (n_patterns, n_programs), see `correlations`.
            rows: Rows per pattern, of shape (n_patterns,).
            share: The frequency of the class.

        Returns:
            Two arrays of shape (n_programs,).

        """
        total = rows @ np.abs(signs)
        vote_share = np.divide(rows @ (signs > 0), total, out=np.full(len(total), 0.5), where=total > 0)
        agreement = (1 + correlations(signs, rows, self.margin)) / 2
        # They agree where both hold or neither does: agreement = both + (1 - vote_share - share + both).
        both = (vote_share + share + agreement - 1) / 2
        in_class = np.clip(both / share, self.margin, 1 - self.margin)
        in_rest = np.clip((vote_share - both) / (1 - share), self.margin, 1 - self.margin)
        return np.log(in_class / in_rest), np.log((1 - in_class) / (1 - in_rest))


def correlations(signs: _Floats, rows: _Floats, margin: float) -> _Floats:
    """Estimate the mean product of each program's vote and the true class, from the votes alone.

    The estimates leave the sign open: every program is assumed to be better than chance. A program in no usable triplet
    gets the median of the others; when there is no usable triplet at all, every program gets 0.5.

    Args:
        signs: Array of shape (n_patterns, n_programs) of -1 (another class), 0 (abstain) and 1 (the class).
        rows: Rows per pattern, of shape (n_patterns,).
        margin: Minimum distance of an estimate from 0 and 1.

    Returns:
        float64 array of shape (n_programs,), each in margin..1 - margin.

    """
    voted = np.abs(signs)
    together = voted.T @ (voted * rows[:, np.newaxis])
    means = np.divide(
        signs.T @ (signs * rows[:, np.newaxis]), together, where=together > 0, out=np.full_like(together, np.nan)
    )
    # A triplet has three different programs; NaN leaves out a program with itself, and pairs that never vote together.
    np.fill_diagonal(means, np.nan)
    estimates = np.full(len(means), np.nan)
    j, k = np.triu_indices(len(means), 1)
    for i in range(len(means)):
        # The root of the median of |E[ij] E[ik] / E[jk]| over pairs j < k of other programs. A square is NaN where two
        # of the three never vote together, or where i is itself j or k (the diagonal); it is infinite where j and k
        # agree as often as they disagree.
        with np.errstate(divide="ignore", invalid="ignore"):
            squares = np.abs(means[i, j] * means[i, k] / means[j, k])
        squares = squares[np.isfinite(squares)]
        if len(squares):
            estimates[i] = np.sqrt(np.median(squares))
    known = np.isfinite(estimates)
    estimates[~known] = np.median(estimates[known]) if known.any() else 0.5
    clipped: _Floats = np.clip(estimates, margin, 1 - margin)
    return clipped
