"""The triplet method on cases computed by hand."""

import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.flyingsquid import correlations
from tests.support.crowd import crowd

# Three programs whose votes, times the truth, have means .8, .6, .5: each pattern's chance is
# (1 + .48 ab + .40 ac + .30 bc) / 8, here in four-hundredths.
PATTERNS = {(1, 1, 1): 109, (1, 1, -1): 39, (1, -1, 1): 31, (-1, 1, 1): 21}
SIGNS = np.array([[s * vote for vote in pattern] for pattern in PATTERNS for s in (1, -1)], dtype=float)
ROWS = np.array([count for count in PATTERNS.values() for _ in (1, -1)], dtype=float)


def test_three_programs_correlations_follow_from_their_agreements() -> None:
    assert correlations(SIGNS, ROWS, 0.01) == pytest.approx([0.8, 0.6, 0.5])


def test_rows_with_an_abstention_count_for_the_other_programs() -> None:
    """The first abstains on rows on which the other two agree as often as elsewhere: 65 times in a hundred."""
    signs = np.vstack([SIGNS, [[0, 1, 1], [0, -1, -1], [0, 1, -1], [0, -1, 1]]])
    rows = np.concatenate([ROWS, [65, 65, 35, 35]])
    assert correlations(signs, rows, 0.01) == pytest.approx([0.8, 0.6, 0.5])


def test_the_median_ignores_one_wrong_triplet() -> None:
    """A fourth program, a copy of the third: only triplets with both are wrong."""
    signs = np.hstack([SIGNS, SIGNS[:, [2]]])
    first, second, *_ = correlations(signs, ROWS, 0.01)
    assert first == pytest.approx(0.8)  # triplets (2,3), (2,4) and the wrong (3,4)
    assert second == pytest.approx(0.6)


def test_programs_without_a_triplet_get_the_median() -> None:
    signs = np.zeros((len(SIGNS) + 1, 4))
    signs[:-1, :3], signs[-1, 3] = SIGNS, 1
    assert correlations(signs, np.append(ROWS, 9), 0.01) == pytest.approx([0.8, 0.6, 0.5, 0.6])
    assert correlations(np.eye(3), np.ones(3), 0.01) == pytest.approx([0.5] * 3)


def test_votes_are_combined_as_independent_evidence(make) -> None:
    """Accuracies .9, .8, .75: a vote of each for a class multiplies its odds by 9, 4 and 3."""
    votes = np.repeat((SIGNS > 0).astype(np.int8), ROWS.astype(int), axis=0)
    fitted = make("flyingsquid").fit(LabelMatrix(votes=votes, n_classes=2), np.array([0.5, 0.5]))
    rows = np.array([[1, 1, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0]], dtype=np.int8)
    spam = [108 / 109, 9 / 21, 4 / 7, 1 / 4]
    assert fitted.predict_proba(LabelMatrix(votes=rows, n_classes=2)).probs[:, 1] == pytest.approx(spam, abs=1e-5)


def test_accuracies_are_learned_in_spite_of_abstentions() -> None:
    matrix, truth = crowd(40_000, [0.9, 0.8, 0.7, 0.65], [0.5, 0.5], 0.6, seed=0)
    signs = np.where(matrix.votes < 0, 0, 2 * matrix.votes - 1).astype(float)
    found = (1 + correlations(signs, np.ones(len(truth)), 0.01)) / 2
    assert found == pytest.approx([0.9, 0.8, 0.7, 0.65], abs=0.02)


@pytest.mark.parametrize("margin", [0.0, 0.5, float("nan")])
def test_a_margin_out_of_range_is_refused(make, margin: float) -> None:
    with pytest.raises(ConfigError, match=r"label_model\.margin is .*; expected a number between 0 and 0\.5"):
        make("flyingsquid", margin=margin)
