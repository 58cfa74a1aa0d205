"""Each label model on votes whose truth is known: programs that favor a class, of many kinds and numbers."""

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import class_balance_from_gold
from tests.support.crowd import biased_crowd, labeled, one_sided_programs

ITERATIVE = ("dawid_skene", "one_coin", "snorkel")
LEARNING = ("accuracy_weighted", "dawid_skene", "flyingsquid", "one_coin", "snorkel")

TWO_SIDED = {
    "thirty programs, .7/.3": (30, [0.7, 0.3], 1.0),
    "thirty programs, .5/.5": (30, [0.5, 0.5], 1.0),
    "five programs, .7/.3": (5, [0.7, 0.3], 1.0),
    "fifty programs, .87/.13": (50, [0.87, 0.13], 0.5),
    "ten programs, four classes": (10, [0.4, 0.3, 0.2, 0.1], 0.7),
}
"""Number of programs, class balance, share of rows on which a program votes."""


def accuracy_of(make, name: str, matrix: LabelMatrix, truth: np.ndarray) -> float:
    balance = class_balance_from_gold(truth[:300], matrix.n_classes)
    model = make(name).fit(matrix, balance, labeled(matrix, truth))
    if name in ITERATIVE:
        assert model.convergence.converged
    labels = model.predict_proba(matrix)
    return float((labels.hard() == truth)[labels.covered].mean())
