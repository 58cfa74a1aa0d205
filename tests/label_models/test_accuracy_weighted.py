"""Weights from the validation labels, computed by hand."""

import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.label_models.base import LabeledVotes

EVEN = np.full(3, 1 / 3)


def labeled_votes(*rows: list[int], gold: list[int]) -> LabeledVotes:
    return LabeledVotes(
        matrix=LabelMatrix(votes=np.array(rows, dtype=np.int8), n_classes=3), gold=np.array(gold, dtype=np.int64)
    )


def test_weights_are_smoothed_log_odds(make) -> None:
    """Program 0 is right on 2 of 2, program 1 on 1 of 4, program 2 never votes; overall (3 + 1) / (6 + 3) are right."""
    labeled = labeled_votes([0, 0, -1], [1, 2, -1], [-1, 1, -1], [-1, 1, -1], gold=[0, 1, 0, 2])
    model = make("accuracy_weighted", smoothing=1.0).fit(labeled.matrix, EVEN, labeled)
    pooled = 4 / 9
    accuracy = np.array([(2 + pooled) / 3, (1 + pooled) / 5, pooled])
    assert model.weights_ == pytest.approx(np.log(accuracy / (1 - accuracy) * 2))
    odds = np.exp(model.weights_)
    first = model.predict_proba(LabelMatrix(votes=np.array([[0, 1, -1]], dtype=np.int8), n_classes=3)).probs[0]
    assert first == pytest.approx(np.array([odds[0], odds[1], 1]) / (odds[0] + odds[1] + 1))


def test_a_vote_of_a_program_worse_than_chance_counts_against_its_class(make) -> None:
    labeled = labeled_votes(*[[1, 0]] * 40, gold=[0] * 40)
    model = make("accuracy_weighted").fit(labeled.matrix, EVEN, labeled)
    lone = model.predict_proba(LabelMatrix(votes=np.array([[1, -1]], dtype=np.int8), n_classes=3))
    assert lone.probs[0].argmin() == 1


def test_zero_smoothing_is_refused(make) -> None:
    with pytest.raises(ConfigError, match=r"label_model\.smoothing is 0; expected a number above 0"):
        make("accuracy_weighted", smoothing=0)
