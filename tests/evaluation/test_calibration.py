"""Reliability table and expected calibration error; the temperature that lowers the log loss."""

import numpy as np
import pytest

from alchemist_exp.end_model.temperature import BOUNDS, fit_temperature
from alchemist_exp.evaluation.calibration import calibration


def test_calibrated_probabilities_have_no_error_and_overconfident_ones_do() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 50_000)
    correct = rng.random(50_000) < confidence
    probs = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    predicted, gold = np.zeros(50_000, np.int64), np.where(correct, 0, 1)
    found = calibration(probs, predicted, gold)
    assert found is not None
    assert found.ece < 0.01
    assert sum(one.rows for one in found.bins) == found.rows == 50_000
    assert all(one.low <= one.confidence <= one.low + 0.1 for one in found.bins)
    surer = calibration(np.tile(np.float32([1, 0]), (50_000, 1)), predicted, gold)
    assert surer is not None
    assert surer.ece == pytest.approx(1 - correct.mean())
    assert [one.low for one in surer.bins] == [0.9]


def test_rows_without_a_label_are_left_out() -> None:
    probs = np.float32([[0.8, 0.2], [0, 0]])
    found = calibration(probs, np.array([0, -1]), np.array([0, 1]))
    assert found is not None
    assert (found.rows, found.accuracy) == (1, 1.0)
    assert calibration(probs[1:], np.array([-1]), np.array([1])) is None


def test_the_temperature_undoes_a_scale_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 4000, 3))
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
    gold = (shares.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    assert fit_temperature(5 * logits, gold) == pytest.approx(5, rel=0.1)
    assert fit_temperature(100 * logits, logits[0].argmax(axis=1)) == pytest.approx(BOUNDS[0], rel=0.01)
