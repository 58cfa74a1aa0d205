"""Mixing the label model into the prediction."""

import numpy as np
import pytest

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.types import SoftLabels
from alchemist_exp.end_model.prediction import CombinedPrediction, choose_weight, mix
from alchemist_exp.evaluation.metrics import score

GOLD = np.array([0, 0, 1, 1])
RIGHT = np.eye(2, dtype=np.float32)[GOLD] * 0.6 + 0.2
WRONG = RIGHT[:, ::-1]
ALL = np.ones(4, dtype=bool)


def chosen(distilled: np.ndarray, labels: np.ndarray, metric: str = "accuracy", positive: int | None = None) -> float:
    def own_score(predicted: np.ndarray) -> float:
        found = score(GOLD, predicted, n_classes=2, positive=positive)
        assert found is not None
        return getattr(found, metric)

    return choose_weight(distilled, SoftLabels(probs=labels, covered=ALL), own_score)


def test_rows_without_votes_keep_the_distilled_prediction() -> None:
    labels = SoftLabels(probs=WRONG * np.array([[1], [0], [1], [1]]), covered=np.array([True, False, True, True]))
    mixed = mix(RIGHT, labels, 0.25)
    assert np.allclose(mixed, [[0.65, 0.35], [0.8, 0.2], [0.35, 0.65], [0.35, 0.65]])
    assert np.array_equal(mix(RIGHT, labels, 0), RIGHT)
    assert not mixed.flags.writeable


def test_the_weight_with_the_best_score_is_chosen_and_the_middle_of_equal_ones() -> None:
    assert chosen(RIGHT, RIGHT) == 0.5
    assert chosen(RIGHT, WRONG) == 0.45  # less than a half, the nearest
    assert chosen(WRONG, RIGHT) > 0.5
    assert chosen(WRONG, RIGHT, "f1", 1) > 0.5


def test_a_score_that_is_not_defined_is_an_error_that_says_how_to_fix_it() -> None:
    labels = SoftLabels(probs=RIGHT, covered=ALL)
    with pytest.raises(AlchemistError, match=r"set predict\.weight"):
        choose_weight(RIGHT, labels, lambda _: None)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="expected a number from 0 to 1, or null"):
        CombinedPrediction(name="combine", weight=weight)
