"""How much each program decides, by what changes without its votes. It means the same for every label model."""

from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, LabelMatrix
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.label_models.fit import predict_labels
from alchemist_exp.label_models.vote_patterns import VotePatterns

MAX_PATTERNS: Final = 20_000
"""Different rows of votes that are looked at, the most frequent ones; ten programs have fewer on a million rows."""


def program_influence(model: LabelModel, matrix: LabelMatrix) -> npt.NDArray[np.float64]:
    """Measure how many labels depend on each program.

    The label model is not fitted again. A weight that a label model has learned can be compared only with the other
    weights of that model; this share can be compared between label models.

    Args:
        model: The fitted label model.
        matrix: Votes of shape (n_rows, n_programs).

    Returns:
        float64 array of shape (n_programs,): the share of covered rows that have another label, or none, when the
        program abstains everywhere.

    Example:
        >>> from alchemist_exp import load_component
        >>> votes = np.array([[0, 0, 1], [1, -1, -1], [1, 1, 1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = load_component("label_model=majority").fit(matrix, np.array([0.5, 0.5]))
        >>> program_influence(model, matrix).round(2).tolist()
        [0.67, 0.33, 0.0]

    """
    patterns = VotePatterns.of(matrix)
    order = np.argsort(-patterns.rows, kind="stable")[:MAX_PATTERNS]
    votes, rows = patterns.votes[order], patterns.rows[order]
    labels = predict_labels(model, LabelMatrix(votes=votes, n_classes=matrix.n_classes))
    influence = np.zeros(votes.shape[1])
    if not (n_covered := rows[labels.covered].sum()):
        return influence
    for program in range(votes.shape[1]):
        voted = np.flatnonzero((votes[:, program] != ABSTAIN) & labels.covered)
        without = votes[voted].copy()
        without[:, program] = ABSTAIN
        others = predict_labels(model, LabelMatrix(votes=without, n_classes=matrix.n_classes))
        probs, kept = others.probs, others.covered
        # A tie counts as a change: the row had one most probable class, and has none without the program.
        same = kept & (probs.argmax(axis=1) == labels.probs[voted].argmax(axis=1)) & (others.tied == labels.tied[voted])
        influence[program] = rows[voted][~same].sum() / n_covered
    return influence
