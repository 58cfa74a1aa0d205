"""Problems of the Snorkel package that our wrapper avoids."""

import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models import snorkel
from alchemist_exp.label_models.snorkel import Snorkel

BALANCE = np.array([0.87, 0.13])


def votes_of(programs: int, rows: int = 2000) -> tuple[LabelMatrix, np.ndarray]:
    """Programs with an accuracy of .97 that share most of their errors, as programs for one task do."""
    rng = np.random.default_rng(0)
    truth = (rng.random(rows) < BALANCE[1]).astype(int)
    shared = rng.random((rows, 1)) < 0.02
    wrong = (rng.random((rows, programs)) < 0.015) | shared
    votes = np.where(wrong, 1 - truth[:, np.newaxis], truth[:, np.newaxis])
    votes[rng.random(votes.shape) < 0.03] = -1
    return LabelMatrix(votes=votes.astype(np.int8), n_classes=2), truth


def fitted(matrix: LabelMatrix, learning_rate: float = 0.01) -> Snorkel:
    model = Snorkel(name="snorkel", epochs=100, learning_rate=learning_rate, l2=0.0, seed=0)
    return model.fit(matrix, BALANCE)


@pytest.mark.parametrize("programs", [10, 41, 60])
def test_many_good_programs_are_as_good_as_ten(programs: int) -> None:
    matrix, truth = votes_of(programs)
    assert (fitted(matrix).predict_proba(matrix).hard() == truth).mean() > 0.97


def test_many_programs_diverge_without_smaller_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snorkel, "STABLE_PROGRAMS", 1000)
    with pytest.raises(ConfigError, match=r"label_model\.learning_rate is 0\.01, which is too large for these votes"):
        fitted(votes_of(41)[0])


def test_uncovered_rows_do_not_alter_the_fit() -> None:
    matrix, _ = votes_of(10)
    empty = np.full((3 * len(matrix.votes), 10), -1, dtype=np.int8)
    padded = LabelMatrix(votes=np.concatenate([matrix.votes, empty]), n_classes=2)
    np.testing.assert_array_equal(
        fitted(padded).predict_proba(matrix).probs, fitted(matrix).predict_proba(matrix).probs
    )
