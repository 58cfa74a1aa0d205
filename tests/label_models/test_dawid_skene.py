"""Dawid-Skene and one coin: equal to crowd-kit where it applies, and stable where it collapses."""

import numpy as np
import pandas
import pytest
from crowdkit.aggregation.classification import dawid_skene as crowdkit
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import class_balance_from_gold
from alchemist_exp.label_models.dawid_skene import ClassPrior
from alchemist_exp.label_models.vote_patterns import VotePatterns
from tests.support.crowd import crowd, one_sided_crowd

AS_CROWDKIT = {"class_prior": ClassPrior.learned, "smoothing": 0.0, "max_iterations": 20, "tolerance": 0.0}


@pytest.mark.filterwarnings("ignore")  # crowd-kit's use of pandas
@pytest.mark.parametrize(("name", "peer"), [("dawid_skene", "DawidSkene"), ("one_coin", "OneCoinDawidSkene")])
@pytest.mark.parametrize(("k", "balance"), [(2, [0.7, 0.3]), (3, [0.5, 0.3, 0.2])])
def test_crowdkit_gives_the_same_labels(make, name: str, peer: str, k: int, balance: list[float]) -> None:
    """Both take twenty steps from the shares of votes. No program abstains: crowd-kit ignores abstentions."""
    matrix, _ = crowd(200, [0.9, 0.8, 0.75, 0.7, 0.6], balance, 1.0, seed=k)
    rows, programs = np.indices(matrix.votes.shape)
    long = pandas.DataFrame({"task": rows.ravel(), "worker": programs.ravel(), "label": matrix.votes.ravel()})
    theirs = getattr(crowdkit, peer)(n_iter=20, tol=-1.0).fit_predict_proba(long)
    ours = make(name, **AS_CROWDKIT).fit(matrix, np.full(k, 1 / k)).predict_proba(matrix)
    assert ours.probs == pytest.approx(theirs.sort_index()[list(range(k))].to_numpy(), abs=1e-5)


def test_programs_that_vote_for_one_class_only_are_informative(make) -> None:
    matrix, truth = one_sided_crowd(2000, seed=0)
    labels = make("dawid_skene").fit(matrix, class_balance_from_gold(truth[:200], 2)).predict_proba(matrix)
    covered = labels.covered
    majority = (matrix.counts().argmax(axis=1) == truth)[covered].mean()
    assert 0.85 < covered.mean() < 1
    assert (labels.hard() == truth)[covered].mean() > majority + 0.01
    assert labels.hard()[covered].mean() == pytest.approx(truth[covered].mean(), abs=0.05)


def test_the_true_confusion_matrices_are_learned(make) -> None:
    matrix, _ = crowd(20_000, [0.9, 0.8, 0.7, 0.65], [0.6, 0.4], 0.75, seed=1)
    tables = np.exp(make("dawid_skene").fit(matrix, np.array([0.6, 0.4])).log_outcome_probs_).reshape(4, 3, 2)
    assert tables.sum(axis=1) == pytest.approx(np.ones((4, 2)))
    assert tables[:, 0] == pytest.approx(np.full((4, 2), 0.25), abs=0.03)  # abstaining
    accuracy = tables[:, [1, 2], [0, 1]] / (1 - tables[:, 0])
    assert accuracy == pytest.approx(np.array([[0.9] * 2, [0.8] * 2, [0.7] * 2, [0.65] * 2]), abs=0.04)


def test_one_coin_learns_the_true_accuracies(make) -> None:
    matrix, _ = crowd(20_000, [0.9, 0.8, 0.7, 0.6], [0.3, 0.3, 0.4], 0.6, seed=2)
    tables = np.exp(make("one_coin").fit(matrix, np.full(3, 1 / 3)).log_outcome_probs_).reshape(4, 4, 3)
    assert tables[:, 1, 0] == pytest.approx(np.array([0.9, 0.8, 0.7, 0.6]), abs=0.03)
    assert not np.log(tables[:, 0]).any()  # to abstain carries no information


@pytest.mark.parametrize("name", ["dawid_skene", "one_coin"])
def test_no_step_of_em_decreases_the_likelihood(make, name: str) -> None:
    """With the prior learned and nothing smoothed, the likelihood cannot fall."""
    matrix, _ = crowd(300, [0.8, 0.7, 0.6, 0.6], [0.6, 0.4], 0.8, seed=3)

    def log_likelihood(steps: int) -> float:
        fitted = make(name, **AS_CROWDKIT | {"max_iterations": steps}).fit(matrix, np.array([0.5, 0.5]))
        outcomes = fitted.log_outcome_probs_.reshape(4, 3, 2)
        joint = sum(outcomes[j, matrix.votes[:, j] + 1] for j in range(4)) + fitted.log_prior_
        return float(np.logaddexp(joint[:, 0], joint[:, 1]).mean())

    likelihoods = [log_likelihood(steps) for steps in (1, 2, 3, 5, 10, 50)]
    assert np.all(np.diff(likelihoods) > -1e-12)
    assert likelihoods[-1] > likelihoods[0]


@given(
    votes=arrays.arrays(np.int8, st.tuples(st.integers(0, 12), st.integers(1, 70)), elements=st.integers(-1, 4)),
)
def test_patterns_are_the_distinct_rows_and_their_counts(votes: np.ndarray) -> None:
    patterns = VotePatterns.of(LabelMatrix(votes=votes, n_classes=5))
    counted = {tuple(row): int(count) for row, count in zip(patterns.votes.tolist(), patterns.rows, strict=True)}
    expected: dict[tuple[int, ...], int] = {}
    for row in map(tuple, votes.tolist()):
        expected[row] = expected.get(row, 0) + 1
    assert counted == expected


@pytest.mark.parametrize("name", ["dawid_skene", "one_coin"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"smoothing": -1.0}, r"label_model\.smoothing is -1\.0; expected 0 or more"),
        ({"smoothing": float("nan")}, r"label_model\.smoothing is nan"),
        ({"max_iterations": 0}, r"label_model\.max_iterations is 0; expected 1 or more"),
        ({"tolerance": -1e-9}, r"label_model\.tolerance is -1e-09; expected 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(make, name: str, values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(name, **values)
