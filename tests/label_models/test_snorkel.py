"""The loss is the package's, its minimum is reached, and problems of the package are avoided."""

from dataclasses import replace

import numpy as np
import pytest

from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.snorkel import SnorkelLoss
from tests.support.crowd import crowd

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


@pytest.mark.parametrize("programs", [10, 60])
def test_many_good_programs_are_as_good_as_ten(make, programs: int) -> None:
    matrix, truth = votes_of(programs)
    model = make("snorkel").fit(matrix, BALANCE)
    assert (model.predict_proba(matrix).hard() == truth).mean() > 0.97
    assert model.convergence.converged


def test_the_loss_is_that_of_the_package() -> None:
    matrix, _ = crowd(300, [0.9, 0.8, 0.7, 0.6], [0.5, 0.3, 0.2], 0.7, seed=0)
    problem = SnorkelLoss.of(matrix, np.array([0.5, 0.3, 0.2]))
    package_model, mu = problem.package_model, np.random.default_rng(0).uniform(size=problem.prior.shape)
    package_model.mu.data[:] = package_model.mu.data.new_tensor(mu)
    loss = package_model._loss_mu()
    loss.backward()
    value, gradient = problem.value_and_gradient(mu, 0.0)
    assert value == pytest.approx(loss.item(), rel=1e-5)
    assert gradient == pytest.approx(package_model.mu.grad.numpy().ravel(), abs=1e-4)


def test_the_gradient_is_that_of_the_loss_with_its_pull() -> None:
    matrix, _ = crowd(300, [0.9, 0.8, 0.7], [0.6, 0.4], 0.7, seed=1)
    problem = SnorkelLoss.of(matrix, np.array([0.6, 0.4]))
    mu, step = np.random.default_rng(0).uniform(size=problem.prior.size), 1e-6
    _, gradient = problem.value_and_gradient(mu, 3.0)
    for i, direction in enumerate(np.eye(len(mu)) * step):
        above, below = (problem.value_and_gradient(mu + sign * direction, 3.0)[0] for sign in (1, -1))
        assert (above - below) / (2 * step) == pytest.approx(gradient[i], abs=1e-6)


def test_a_long_training_of_the_package_ends_at_the_same_labels(make) -> None:
    from snorkel.labeling.model import LabelModel as SnorkelModel

    matrix, _ = crowd(1000, [0.9, 0.8, 0.7, 0.65], [0.6, 0.4], 1.0, seed=2)
    balance = np.array([0.6, 0.4])
    theirs = SnorkelModel(cardinality=2, verbose=False)
    theirs.fit(
        np.array(matrix.votes), class_balance=balance.tolist(), n_epochs=1500, lr=0.05, seed=0, progress_bar=False
    )
    ours = make("snorkel", prior_strengths=[0.0]).fit(matrix, balance)
    assert ours.predict_proba(matrix).probs == pytest.approx(theirs.predict_proba(np.array(matrix.votes)), abs=0.01)


@pytest.mark.parametrize("balance", [[0.6, 0.4], [0.5, 0.3, 0.2]])
def test_the_labels_do_not_depend_on_the_start(make, balance: list[float]) -> None:
    matrix, _ = crowd(2000, [0.9, 0.8, 0.7, 0.7, 0.6], balance, 0.6, seed=3)
    models = [make("snorkel", starts=starts).fit(matrix, np.array(balance)) for starts in (1, 2, 7)]
    labels = [model.predict_proba(matrix).probs for model in models]
    assert labels[0] == pytest.approx(labels[1], abs=0.005)
    assert labels[0] == pytest.approx(labels[2], abs=0.005)


def test_the_mirrored_solution_is_worse_than_chance() -> None:
    """Such a fit is kept only if there is no other; with two classes it fits the agreements as well as the true one."""
    matrix, _ = crowd(2000, [0.9, 0.8, 0.7, 0.7], [0.52, 0.48], 1.0, seed=4)
    problem = SnorkelLoss.of(matrix, np.array([0.52, 0.48]))
    mirrored = replace(problem, prior=problem.prior[:, ::-1].copy())
    fits = [start.minimize(1.0, 0.0, max_iterations=2000, tolerance=1e-6) for start in (problem, mirrored)]
    assert [fit.better_than_chance for fit in fits] == [True, False]
    assert fits[0].likelihood == pytest.approx(fits[1].likelihood, abs=0.05)


def test_a_fit_that_was_stopped_has_not_converged(make) -> None:
    model = make("snorkel", max_iterations=2).fit(votes_of(10)[0], BALANCE)
    assert model.convergence == Convergence(iterations=2, converged=False)


def test_uncovered_rows_do_not_alter_the_fit(make) -> None:
    matrix, _ = votes_of(10)
    empty = np.full((3 * len(matrix.votes), 10), -1, dtype=np.int8)
    padded = LabelMatrix(votes=np.concatenate([matrix.votes, empty]), n_classes=2)
    probs = [make("snorkel").fit(given, BALANCE).predict_proba(matrix).probs for given in (padded, matrix)]
    np.testing.assert_array_equal(*probs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prior_strengths": []}, r"label_model\.prior_strengths is \[\]; expected numbers of 0 or more"),
        ({"prior_strengths": [-1.0]}, r"label_model\.prior_strengths is \[-1\.0\]"),
        ({"starts": 0}, r"label_model\.starts is 0; expected 1 or more"),
        ({"max_iterations": 0}, r"label_model\.max_iterations is 0; expected 1 or more"),
        ({"tolerance": 0.0}, r"label_model\.tolerance is 0\.0; expected a number above 0"),
    ],
)
def test_values_out_of_range_are_refused(make, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("snorkel", **values)
