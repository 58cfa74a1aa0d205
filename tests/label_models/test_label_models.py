"""One contract for every label model of the configuration, with a table of edge cases."""

import random

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes, LabelModel, class_balance_from_gold, class_balance_from_votes
from tests.support.crowd import crowd, labeled

MODELS = config.members("label_model")
UNIFORM = np.array([0.5, 0.5])
NEED_THREE = ("snorkel", "flyingsquid")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, make) -> LabelModel:
    return make(request.param)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_true_classes_are_recovered(model: LabelModel, k: int) -> None:
    balance = np.full(k, 1 / k)
    matrix, truth = crowd(3000, [0.9, 0.85, 0.8, 0.8, 0.75], balance.tolist(), 0.9, seed=k)
    labels = model.fit(matrix, balance, labeled(matrix, truth)).predict_proba(matrix)
    right = (labels.hard() == truth)[labels.covered].mean()
    majority = matrix.counts().argmax(axis=1)
    assert right > 0.9  # as good as the best program
    assert right > (majority == truth)[labels.covered].mean() - 0.01


def test_imbalanced_votes_do_not_collapse(model: LabelModel) -> None:
    """Ten programs of accuracy .85 on 13% spam: without a balance Snorkel's model gives .52 to .75."""
    matrix, truth = crowd(4000, [0.85] * 10, [0.87, 0.13], 1.0, seed=1)
    labels = model.fit(matrix, class_balance_from_gold(truth[:500], 2), labeled(matrix, truth)).predict_proba(matrix)
    assert (labels.hard() == truth).mean() > 0.93


def test_imbalanced_votes_do_not_collapse_without_gold(model: LabelModel) -> None:
    if model.uses_gold:
        pytest.skip("needs gold")
    matrix, truth = crowd(4000, [0.85] * 10, [0.87, 0.13], 1.0, seed=1)
    labels = model.fit(matrix, class_balance_from_votes(matrix)).predict_proba(matrix)
    assert (labels.hard() == truth).mean() > 0.93


def test_uncovered_rows_are_masked_and_never_get_the_prior(model: LabelModel) -> None:
    matrix, truth = crowd(500, [0.8] * 4, [0.9, 0.1], 0.3, seed=2)
    labels = model.fit(matrix, np.array([0.9, 0.1]), labeled(matrix, truth)).predict_proba(matrix)
    assert not labels.covered.all()
    assert np.array_equal(labels.covered, matrix.covered)
    assert not labels.probs[~labels.covered].any()


def test_the_same_votes_give_the_same_labels(model: LabelModel) -> None:
    matrix, truth = crowd(300, [0.8] * 4, [0.5, 0.5], 0.7, seed=3)
    one = model.fit(matrix, UNIFORM, labeled(matrix, truth)).predict_proba(matrix).probs
    np.random.rand(), random.random()  # noqa: NPY002
    assert np.array_equal(one, model.fit(matrix, UNIFORM, labeled(matrix, truth)).predict_proba(matrix).probs)


def test_the_order_of_rows_and_programs_does_not_matter(model: LabelModel) -> None:
    matrix, truth = crowd(400, [0.9, 0.8, 0.7, 0.65], [0.6, 0.4], 0.8, seed=6)
    rows, programs = np.random.default_rng(0).permutation(400), [2, 0, 3, 1]
    shuffled = LabelMatrix(votes=matrix.votes[rows][:, programs], n_classes=2)
    exam = labeled(matrix, truth)
    other = LabeledVotes(matrix=LabelMatrix(votes=exam.matrix.votes[:, programs], n_classes=2), gold=exam.gold)
    straight = model.fit(matrix, UNIFORM, exam).predict_proba(matrix).probs[rows]
    tolerance = 0.02 if model.name == "snorkel" else 1e-5  # Snorkel starts at random weights
    assert model.fit(shuffled, UNIFORM, other).predict_proba(shuffled).probs == pytest.approx(straight, abs=tolerance)


def test_the_global_random_state_is_restored(model: LabelModel) -> None:
    import torch

    matrix, truth = crowd(100, [0.8] * 4, [0.5, 0.5], 0.7, seed=3)
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    model.fit(matrix, UNIFORM, labeled(matrix, truth))
    assert before == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())  # noqa: NPY002


def votes(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.int8)


EDGES = {
    "no rows": np.empty((0, 4), dtype=np.int8),
    "one row": votes([0, 0, 1, -1]),
    "all abstain": np.full((5, 4), -1, dtype=np.int8),
    "one class": np.ones((5, 4), dtype=np.int8),
    "one vote": votes(*[[-1, -1, 0, -1]] * 3),
    "no two on one row": votes([0, -1, -1, -1], [-1, 1, -1, -1], [-1, -1, 0, -1], [-1, -1, -1, 1]),
    "always opposed": votes(*[[0, 1, 0, 1]] * 4, *[[1, 0, 1, 0]] * 4),
}


@pytest.fixture(scope="module", params=MODELS)
def fitted(request: pytest.FixtureRequest, make) -> tuple[LabelModel, LabeledVotes]:
    """A model that is fitted on usual votes, which tests only read, and its labeled votes."""
    matrix, truth = crowd(200, [0.8] * 4, [0.5, 0.5], 0.7, seed=4)
    exam = labeled(matrix, truth)
    return make(request.param).fit(matrix, UNIFORM, exam), exam


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_edge_cases_give_valid_labels(fitted: tuple[LabelModel, LabeledVotes], make, edge: str) -> None:
    (usual, exam), odd = fitted, LabelMatrix(votes=EDGES[edge], n_classes=2)
    labels, model = usual.predict_proba(odd), make(usual.name)
    assert labels.covered.tolist() == odd.covered.tolist()
    if edge == "no rows" and model.name in ("snorkel", "auto"):
        return  # nothing to fit; the pipeline refuses a split without rows
    refit = model.fit(odd, np.array([0.8, 0.2]), exam).predict_proba(odd)
    assert refit.covered.tolist() == odd.covered.tolist()


@pytest.mark.parametrize("programs", [1, 2])
def test_one_or_two_programs_give_labels_or_an_error_of_one_sentence(model: LabelModel, programs: int) -> None:
    matrix, truth = crowd(300, [0.9] * programs, [0.5, 0.5], 0.8, seed=7)
    if model.name in NEED_THREE:
        message = rf"needs 3 accepted programs, but there are {programs}; .*label_model=majority"
        with pytest.raises(ProgramsError, match=message):
            model.fit(matrix, UNIFORM, labeled(matrix, truth))
        return
    labels = model.fit(matrix, UNIFORM, labeled(matrix, truth)).predict_proba(matrix)
    assert (labels.hard() == truth)[labels.covered].mean() > 0.8


def test_an_outcome_that_occurs_only_on_another_split_is_handled(model: LabelModel) -> None:
    matrix, truth = crowd(300, [0.9] * 4, [0.5, 0.5], 0.8, seed=8)
    known = matrix.votes.copy()
    known[known[:, 0] == 1, 0] = -1
    fitted = model.fit(LabelMatrix(votes=known, n_classes=2), UNIFORM, labeled(matrix, truth))
    labels = fitted.predict_proba(LabelMatrix(votes=votes([1, 1, 1, 1], [1, 0, 0, 0]), n_classes=2))
    assert labels.hard().tolist() == [1, 0]


def test_a_program_worse_than_chance_does_not_harm_the_labels(model: LabelModel) -> None:
    matrix, truth = crowd(2000, [0.9, 0.85, 0.85, 0.8, 0.8, 0.2], [0.5, 0.5], 0.9, seed=9)
    labels = model.fit(matrix, UNIFORM, labeled(matrix, truth)).predict_proba(matrix)
    assert (labels.hard() == truth)[labels.covered].mean() > 0.88


def test_labels_are_better_than_a_duplicated_program(model: LabelModel) -> None:
    """The worst of five programs is duplicated, so that the programs are not independent."""
    matrix, truth = crowd(2000, [0.9, 0.9, 0.9, 0.9, 0.65], [0.5, 0.5], 1.0, seed=10)
    copied = LabelMatrix(votes=matrix.votes[:, [0, 1, 2, 3, 4, 4]], n_classes=2)
    labels = model.fit(copied, UNIFORM, labeled(copied, truth)).predict_proba(copied)
    assert (labels.hard() == truth).mean() > 0.9


def test_many_classes(model: LabelModel) -> None:
    matrix, truth = crowd(4000, [0.8] * 6, [0.05] * 20, 0.9, seed=5)
    labels = model.fit(matrix, np.full(20, 0.05), labeled(matrix, truth)).predict_proba(matrix)
    assert (labels.hard() == truth)[labels.covered].mean() > 0.85


def test_majority_gives_shares_of_votes(make) -> None:
    majority = make("majority")
    matrix = LabelMatrix(votes=np.array([[0, 0, 1], [1, -1, -1], [0, 1, -1]], dtype=np.int8), n_classes=2)
    labels = majority.fit(matrix, UNIFORM).predict_proba(matrix)
    assert labels.probs == pytest.approx(np.array([[2 / 3, 1 / 3], [0, 1], [0.5, 0.5]]))


def test_weighted_majority_weighs_by_class_balance(make) -> None:
    weighted = make("weighted_majority")
    matrix = LabelMatrix(votes=np.array([[0, 1, 1], [0, 1, -1]], dtype=np.int8), n_classes=2)
    labels = weighted.fit(matrix, np.array([0.8, 0.2])).predict_proba(matrix)
    assert labels.probs == pytest.approx(np.array([[0.8 / 1.2, 0.4 / 1.2], [0.8, 0.2]]))


def test_class_balance_from_gold_gives_no_class_probability_zero() -> None:
    assert class_balance_from_gold(np.array([0, 0, 0]), 2) == pytest.approx([0.8, 0.2])


def test_class_balance_from_votes_is_the_mean_majority_vote() -> None:
    votes = np.array([[0, 0, 1], [1, -1, -1], [-1, -1, -1]], dtype=np.int8)
    expected = np.array([2 / 3 + 1, 1 / 3 + 1 + 1]) / 4
    assert class_balance_from_votes(LabelMatrix(votes=votes, n_classes=2)) == pytest.approx(expected)
    uncovered = LabelMatrix(votes=np.full((2, 2), -1, dtype=np.int8), n_classes=2)
    assert class_balance_from_votes(uncovered) == pytest.approx([0.5, 0.5])


def test_labeled_votes_check_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"votes \(2, 2\) and gold \(3,\) do not match"):
        LabeledVotes(matrix=LabelMatrix(votes=votes([0, 1], [1, 1]), n_classes=2), gold=np.array([0, 1, 1]))
