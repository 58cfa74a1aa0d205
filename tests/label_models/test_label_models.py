"""One contract for every label model on disk, and what is particular to each."""

import random

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.values import LabelMatrix
from alchemist_exp.label_models.base import LabelModel, balance_of, estimated_balance

MODELS = config.members("label_model")
UNIFORM = np.array([0.5, 0.5])


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, composed) -> LabelModel:
    return config.build(composed(f"label_model={request.param}")).label_model


def crowd(
    n: int, accuracies: list[float], balance: list[float], coverage: float, seed: int
) -> tuple[LabelMatrix, np.ndarray]:
    """Votes of independent programs on rows whose true class is known."""
    rng = np.random.default_rng(seed)
    k = len(balance)
    truth = rng.choice(k, size=n, p=balance)
    votes = np.empty((n, len(accuracies)), dtype=np.int8)
    for j, accuracy in enumerate(accuracies):
        wrong = (truth + rng.integers(1, k, size=n)) % k
        votes[:, j] = np.where(rng.random(n) < accuracy, truth, wrong)
    votes[rng.random(votes.shape) > coverage] = -1
    return LabelMatrix(votes=votes, n_classes=k), truth


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_planted_truth_is_recovered(model: LabelModel, k: int) -> None:
    balance = np.full(k, 1 / k)
    matrix, truth = crowd(3000, [0.9, 0.85, 0.8, 0.8, 0.75], balance.tolist(), 0.9, seed=k)
    labels = model.fit(matrix, balance).predict_proba(matrix)
    assert (labels.hard() == truth)[labels.covered].mean() > 0.9


def test_imbalanced_votes_do_not_collapse(model: LabelModel) -> None:
    """Ten programs of accuracy .85 on 13% spam: without a balance Snorkel's model gives .52 to .75."""
    matrix, truth = crowd(4000, [0.85] * 10, [0.87, 0.13], 1.0, seed=1)
    labels = model.fit(matrix, balance_of(truth[:500], 2)).predict_proba(matrix)
    assert (labels.hard() == truth).mean() > 0.93


def test_uncovered_rows_are_masked_never_given_the_prior(model: LabelModel) -> None:
    matrix, _ = crowd(500, [0.8] * 4, [0.9, 0.1], 0.3, seed=2)
    labels = model.fit(matrix, np.array([0.9, 0.1])).predict_proba(matrix)
    assert not labels.covered.all()
    assert np.array_equal(labels.covered, matrix.covered)
    assert not labels.probs[~labels.covered].any()


def test_the_same_votes_give_the_same_labels(model: LabelModel) -> None:
    matrix, _ = crowd(300, [0.8] * 4, [0.5, 0.5], 0.7, seed=3)
    one = model.fit(matrix, UNIFORM).predict_proba(matrix).probs
    np.random.rand(), random.random()  # noqa: NPY002
    assert np.array_equal(one, model.fit(matrix, UNIFORM).predict_proba(matrix).probs)


def test_global_random_state_is_left_as_found(model: LabelModel) -> None:
    import torch

    matrix, _ = crowd(100, [0.8] * 4, [0.5, 0.5], 0.7, seed=3)
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    model.fit(matrix, UNIFORM)
    assert before == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())  # noqa: NPY002


EDGES = {
    "no rows to predict": np.empty((0, 4), dtype=np.int8),
    "all abstain": np.full((5, 4), -1, dtype=np.int8),
    "one class": np.ones((5, 4), dtype=np.int8),
    "one vote": np.array([[-1, -1, 0, -1]] * 3, dtype=np.int8),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edge_cases_give_valid_labels(model: LabelModel, edge: str) -> None:
    matrix, _ = crowd(200, [0.8] * 4, [0.5, 0.5], 0.7, seed=4)
    odd = LabelMatrix(votes=EDGES[edge], n_classes=2)
    labels = model.fit(matrix, UNIFORM).predict_proba(odd)
    assert labels.covered.tolist() == odd.covered.tolist()
    if len(odd.votes):
        refit = model.fit(odd, UNIFORM).predict_proba(odd)
        assert refit.covered.tolist() == odd.covered.tolist()


def test_many_classes(model: LabelModel) -> None:
    matrix, truth = crowd(4000, [0.8] * 6, [0.05] * 20, 0.9, seed=5)
    labels = model.fit(matrix, np.full(20, 0.05)).predict_proba(matrix)
    assert (labels.hard() == truth)[labels.covered].mean() > 0.85


def test_majority_gives_shares_of_votes(composed) -> None:
    majority = config.build(composed("label_model=majority")).label_model
    matrix = LabelMatrix(votes=np.array([[0, 0, 1], [1, -1, -1], [0, 1, -1]], dtype=np.int8), n_classes=2)
    labels = majority.fit(matrix, UNIFORM).predict_proba(matrix)
    assert labels.probs == pytest.approx(np.array([[2 / 3, 1 / 3], [0, 1], [0.5, 0.5]]))


def test_weighted_majority_weighs_by_class_balance(composed) -> None:
    weighted = config.build(composed("label_model=weighted_majority")).label_model
    matrix = LabelMatrix(votes=np.array([[0, 1, 1], [0, 1, -1]], dtype=np.int8), n_classes=2)
    labels = weighted.fit(matrix, np.array([0.8, 0.2])).predict_proba(matrix)
    assert labels.probs == pytest.approx(np.array([[0.8 / 1.2, 0.4 / 1.2], [0.8, 0.2]]))


@pytest.mark.parametrize("programs", [1, 2])
def test_snorkel_needs_three_programs(composed, programs: int) -> None:
    snorkel = config.build(composed()).label_model
    matrix = LabelMatrix(votes=np.zeros((4, programs), dtype=np.int8), n_classes=2)
    with pytest.raises(
        ProgramsError, match=rf"needs 3 accepted programs and {programs} are there.*label_model=majority"
    ):
        snorkel.fit(matrix, UNIFORM)


def test_balance_from_gold_leaves_no_class_impossible() -> None:
    assert balance_of(np.array([0, 0, 0]), 2) == pytest.approx([0.8, 0.2])


def test_balance_without_gold_is_the_majoritys_own_belief() -> None:
    votes = np.array([[0, 0, 1], [1, -1, -1], [-1, -1, -1]], dtype=np.int8)
    expected = np.array([2 / 3 + 1, 1 / 3 + 1 + 1]) / 4
    assert estimated_balance(LabelMatrix(votes=votes, n_classes=2)) == pytest.approx(expected)
    nobody = LabelMatrix(votes=np.full((2, 2), -1, dtype=np.int8), n_classes=2)
    assert estimated_balance(nobody) == pytest.approx([0.5, 0.5])
