"""The weights of stacking, compared with scikit-learn, and votes that need them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from tests.support.crowd import crowd, labeled


@pytest.mark.parametrize("k", [2, 3])
def test_the_probabilities_are_those_of_logistic_regression_with_a_row_per_class(make, k: int) -> None:
    matrix, truth = crowd(300, [0.9, 0.7, 0.6, 0.8], [1 / k] * k, 0.6, seed=1)
    exam = labeled(matrix, truth, 200)
    probs = make("stacked", l2=[2.0]).fit(matrix, np.full(k, 1 / k), exam).predict_proba(matrix).probs
    covered = exam.matrix.covered
    votes = np.concatenate([exam.matrix.votes[covered], np.tile(np.arange(k)[:, np.newaxis], 4)])
    reference = LogisticRegression(C=0.5, tol=1e-8, max_iter=10_000)
    one_hot = [np.concatenate([row == c for c in range(k)]) for row in votes]
    reference.fit(np.array(one_hot, float), np.concatenate([exam.gold[covered], np.arange(k)]))
    expected = reference.predict_proba(np.array([np.concatenate([row == c for c in range(k)]) for row in matrix.votes]))
    assert probs[matrix.covered] == pytest.approx(expected[matrix.covered], abs=1e-4)


def test_a_class_without_a_labeled_row_keeps_its_votes(make) -> None:
    matrix, truth = crowd(400, [0.9, 0.9, 0.9], [1 / 3] * 3, 1.0, seed=2)
    known = np.flatnonzero(truth != 2)
    exam = labeled(matrix.select(known), truth[known], 30)
    fitted = make("stacked", l2=[0.3]).fit(matrix, np.full(3, 1 / 3), exam)
    unanimous = LabelMatrix(votes=np.full((1, 3), 2, np.int8), n_classes=3)
    assert fitted.predict_proba(unanimous).hard().tolist() == [2]


def test_the_penalty_is_chosen_out_of_fold(make) -> None:
    """Programs that vote at random need a strong penalty; one that is always right needs a weak one."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 150)
    noise = rng.integers(0, 2, (150, 30))
    for votes, best in ((noise, 100.0), (np.column_stack([truth, truth]), 0.1)):
        matrix = LabelMatrix(votes=votes.astype(np.int8), n_classes=2)
        exam = labeled(matrix, truth)
        chosen, only = (make("stacked", l2=l2).fit(matrix, np.array([0.5, 0.5]), exam) for l2 in ([0.1, 100.0], [best]))
        assert np.array_equal(chosen.weights_, only.weights_)


@pytest.mark.parametrize("l2", [[], [0.0], [1.0, -1.0], [float("inf")], [float("nan")]])
def test_a_penalty_out_of_range_is_refused(make, l2: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"label_model\.l2 is .*; expected a list of numbers above 0"):
        make("stacked", l2=l2)
