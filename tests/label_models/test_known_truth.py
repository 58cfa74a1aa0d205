"""The iterative label models on votes whose truth is known: few and many programs, balanced classes and others."""

import numpy as np
import pytest

from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import class_balance_from_gold
from tests.support.crowd import biased_crowd, crowd, one_sided_programs

ROWS = 2000
BIASED = {
    "thirty programs, .7/.3": (biased_crowd(ROWS, 30, [0.7, 0.3], 1.0, seed=0), 0.05),
    "thirty programs, .5/.5": (biased_crowd(ROWS, 30, [0.5, 0.5], 1.0, seed=0), 0.03),
    "five programs, .7/.3": (biased_crowd(ROWS, 5, [0.7, 0.3], 1.0, seed=0), 0.0),
    "fifty programs, .87/.13": (biased_crowd(ROWS, 50, [0.87, 0.13], 0.5, seed=0), 0.06),
    "ten programs, four classes": (biased_crowd(ROWS, 10, [0.4, 0.3, 0.2, 0.1], 0.7, seed=0), 0.01),
}
"""Votes and classes, and the accuracy that a label model must gain against the majority vote."""

ONE_SIDED = {
    "twenty programs, .7/.3": (one_sided_programs(ROWS, 20, [0.7, 0.3], seed=0), 0.02),
    "sixty programs, .87/.13": (one_sided_programs(ROWS, 60, [0.87, 0.13], seed=0), 0.02),
}
"""The same for programs that vote for one class only."""


def accuracy_of(make, name: str, matrix: LabelMatrix, truth: np.ndarray, **values: object) -> float:
    model = make(name, **values).fit(matrix, class_balance_from_gold(truth[:300], matrix.n_classes))
    assert model.convergence is None or model.convergence.converged
    labels = model.predict_proba(matrix)
    return float((labels.hard() == truth)[labels.covered].mean())


@pytest.mark.parametrize("name", ["snorkel", "dawid_skene"])
@pytest.mark.parametrize("case", [*BIASED, *ONE_SIDED])
def test_programs_that_favor_a_class_are_weighed(make, name: str, case: str) -> None:
    (matrix, truth), gain = (BIASED | ONE_SIDED)[case]
    assert accuracy_of(make, name, matrix, truth) >= accuracy_of(make, "majority", matrix, truth) + gain


@pytest.mark.parametrize("balance", [[0.9, 0.1], [0.5, 0.5]])
def test_one_coin_needs_the_class_balance(make, balance: list[float]) -> None:
    """A uniform prior loses .08 to .13 of accuracy with classes of .9 and .1."""
    matrix, truth = crowd(ROWS, [0.75, 0.7, 0.65, 0.65, 0.6, 0.6, 0.6], balance, 0.8, seed=0)
    given, uniform = (accuracy_of(make, "one_coin", matrix, truth, class_prior=prior) for prior in ("given", "uniform"))
    assert given >= accuracy_of(make, "majority", matrix, truth)
    assert given >= uniform + (0.08 if balance[0] > 0.5 else -0.01)


def test_a_label_model_without_iterations_has_no_convergence(make) -> None:
    matrix, _ = crowd(100, [0.8] * 3, [0.5, 0.5], 1.0, seed=0)
    assert make("majority").fit(matrix, np.array([0.5, 0.5])).convergence is None
