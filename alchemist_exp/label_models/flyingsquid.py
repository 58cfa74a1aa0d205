"""FlyingSquid's triplet method (Fu et al., ICML 2020): accuracies in closed form from the agreements of three.

For two classes, votes as -1 and 1: if programs err independently, the mean of a product of two programs' votes is the
product of their own correlations with the truth, so three such means give each of the three. Every pair of other
programs gives an estimate, and the median of all is taken. More classes are solved one against the rest. Means are
over the rows where both vote, so abstaining is taken to tell nothing of the class.

It fails, as the paper's Table 9 has it (F1 0.0 on sms), where programs vote for one class only: these agree whenever
they meet, whatever they are worth.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel, labels_from_log_weights
from alchemist_exp.label_models.vote_patterns import VotePatterns

_Floats = npt.NDArray[np.float64]


@component("label_model", "flyingsquid")
@dataclass(kw_only=True)
class FlyingSquid(LabelModel):
    """Learns each program's accuracy for each class; `margin` keeps every chance away from 0 and 1."""

    # A triplet.
    min_programs = 3
    margin: float = MISSING

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise ConfigError(f"label_model.margin is {self.margin}; a number between 0 and 0.5 is needed.")

    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Solves each class against the rest. ProgramsError with fewer than three programs."""
        self.require_programs(matrix)
        patterns = VotePatterns.of(matrix)
        signs = [_signs(patterns.votes, c) for c in range(matrix.n_classes)]
        self.log_odds_: _Floats = np.log(class_balance / (1 - class_balance))
        self.weights_ = [
            self._weights(s, patterns.rows, share) for s, share in zip(signs, class_balance.tolist(), strict=True)
        ]
        return self

    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """The chance of each class against the rest given the votes, scaled to sum to 1."""
        scores = np.tile(self.log_odds_, (len(matrix.votes), 1))
        for c, (named, other) in enumerate(self.weights_):
            scores[:, c] += (matrix.votes == c) @ named
            scores[:, c] += ((matrix.votes != c) & (matrix.votes != ABSTAIN)) @ other
        return labels_from_log_weights(-np.logaddexp(0, -scores), matrix.covered)

    def _weights(self, signs: _Floats, rows: _Floats, share: float) -> tuple[_Floats, _Floats]:
        """(m,) each: what a vote for the class, and one for another, adds to the log odds of the class.

        signs: (u, m). share: how frequent the class is. Three known chances, of the vote, of the class and of their
        agreement, fix the four of their joint distribution.
        """
        votes = rows @ np.abs(signs)
        named = np.divide(rows @ (signs > 0), votes, out=np.full(len(votes), 0.5), where=votes > 0)
        right = (1 + correlations(signs, rows, self.margin)) / 2
        both = (named + share + right - 1) / 2
        in_class = np.clip(both / share, self.margin, 1 - self.margin)
        in_rest = np.clip((named - both) / (1 - share), self.margin, 1 - self.margin)
        return np.log(in_class / in_rest), np.log((1 - in_class) / (1 - in_rest))


def correlations(signs: _Floats, rows: _Floats, margin: float) -> _Floats:
    """(m,) means of each program's vote times the truth, in 0..1, from votes -1, 0 (abstaining) and 1 alone.

    signs: (u, m). rows: (u,), how often each pattern occurs. The means leave the sign open: every program is taken to
    be better than chance. One that shares rows with no two others that meet gets the median of the rest; where there
    is none, all are alike.
    """
    voted = np.abs(signs)
    together = voted.T @ (voted * rows[:, np.newaxis])
    means = np.divide(
        signs.T @ (signs * rows[:, np.newaxis]), together, where=together > 0, out=np.full_like(together, np.nan)
    )
    np.fill_diagonal(means, np.nan)
    sizes = np.array([_median_size(means, program) for program in range(len(means))])
    known = np.isfinite(sizes)
    sizes[~known] = np.median(sizes[known]) if known.any() else 0.5
    found: _Floats = np.clip(sizes, margin, 1 - margin)
    return found


def _median_size(means: _Floats, program: int) -> float:
    """The median of |E[ij] E[ik] / E[jk]| over pairs j < k of other programs, rooted; NaN without any."""
    j, k = np.triu_indices(len(means), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.abs(means[program, j] * means[program, k] / means[j, k])
    squares = squares[np.isfinite(squares)]
    return float(np.sqrt(np.median(squares))) if len(squares) else np.nan


def _signs(votes: npt.NDArray[np.int8], c: int) -> _Floats:
    """(u, m): 1 for a vote for class c, -1 for another, 0 for none."""
    signs: _Floats = np.where(votes == ABSTAIN, 0.0, np.where(votes == c, 1.0, -1.0))
    return signs
