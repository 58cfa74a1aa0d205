"""Scores compared with values computed by hand, and with scikit-learn on random rows."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from alchemist_exp.core.types import ABSTAIN, IntArray
from alchemist_exp.evaluation.metrics import METRICS, Scores, class_scores, confusion_matrix, score, summarize


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


GOLD = ints(0, 0, 0, 0, 1, 1)
PREDICTED = ints(0, 0, 0, 1, 1, 0)
# Class 0: 3 hits, named 4, true 4, F1 6/8. Class 1: 1 hit, named 2, true 2, F1 2/4.


def test_binary_f1_is_that_of_the_positive_class() -> None:
    scores = score(GOLD, PREDICTED, n_classes=2, positive=1)
    assert scores == Scores(accuracy=4 / 6, f1=0.5, macro_f1=0.625, rows=6)
    other = score(GOLD, PREDICTED, n_classes=2, positive=0)
    assert other is not None
    assert other.f1 == 0.75


def test_weighted_f1_weights_the_classes_by_their_gold_rows() -> None:
    scores = score(GOLD, PREDICTED, n_classes=2, positive=None)
    assert scores is not None
    assert scores.f1 == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)


def test_abstentions_are_left_out_and_counted() -> None:
    predicted = PREDICTED.copy()
    predicted[3] = predicted[5] = ABSTAIN
    assert score(GOLD, predicted, n_classes=2, positive=1) == Scores(accuracy=1.0, f1=1.0, macro_f1=1.0, rows=4)


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_predicted_gives_no_score_instead_of_nan(rows: int) -> None:
    gold, predicted = np.zeros(rows, dtype=np.int64), np.full(rows, ABSTAIN)
    assert score(gold, predicted, n_classes=2, positive=None) is None


def test_a_class_that_never_occurs_is_left_out_of_macro_f1() -> None:
    scores = score(ints(0, 1), ints(0, 1), n_classes=4, positive=3)
    assert scores == Scores(accuracy=1.0, f1=None, macro_f1=1.0, rows=2)


def test_without_a_row_of_the_positive_class_there_is_no_binary_f1() -> None:
    scores = score(ints(0, 0), ints(0, 1), n_classes=2, positive=1)
    assert scores == Scores(accuracy=0.5, f1=None, macro_f1=pytest.approx(1 / 3), rows=2)
    missed = score(ints(0, 1), ints(0, 0), n_classes=2, positive=1)
    assert missed is not None
    assert missed.f1 == 0.0
    summary = summarize([scores, scores])
    assert summary["f1"] is None
    assert summary["accuracy"] is not None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_agrees_with_scikit_learn(seed: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    gold, predicted = rng.integers(0, n_classes, size=(2, 60))
    binary = score(gold, predicted, n_classes=n_classes, positive=1)
    weighted = score(gold, predicted, n_classes=n_classes, positive=None)
    assert binary is not None
    assert weighted is not None
    assert binary.f1 == pytest.approx(f1_score(gold, predicted, labels=[1], average=None, zero_division=0.0)[0])
    assert weighted.f1 == pytest.approx(f1_score(gold, predicted, average="weighted"))
    assert weighted.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro"))


@pytest.mark.parametrize(
    ("gold", "predicted", "positive", "message"),
    [
        (ints(0, 1), ints(0), None, "do not match"),
        (ints(0, 2), ints(0, 1), None, "gold is in 0..2"),
        (ints(0, ABSTAIN), ints(0, 1), None, "gold is in -1..0"),
        (ints(0, 1), ints(0, 2), None, "predicted is in 0..2"),
        (ints(0, 1), ints(-2, 1), None, "predicted is in -2..1"),
        (ints(0, 1), ints(0, 1), 2, "positive class is 2"),
    ],
)
def test_arguments_that_do_not_match_are_refused(
    gold: IntArray, predicted: IntArray, positive: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(gold, predicted, n_classes=2, positive=positive)


def test_a_confusion_matrix_has_gold_classes_as_lines_and_gives_the_scores_of_classes() -> None:
    confusion = confusion_matrix(ints(0, 0, 1, 1, 2), ints(0, 1, 1, -1, 0), 4)
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    first, second, third, absent = class_scores(confusion)
    assert (first.precision, first.recall, first.f1, first.rows) == (0.5, 0.5, 0.5, 2)
    assert (second.precision, second.recall, second.rows) == (0.5, 1.0, 1)
    assert (third.precision, third.recall, third.f1, third.rows) == (None, 0.0, 0.0, 1)
    assert (absent.precision, absent.recall, absent.f1, absent.rows) == (None, None, None, 0)


def test_summary_has_the_mean_and_the_sample_deviation() -> None:
    seeds = [Scores(accuracy=a, f1=0.5, macro_f1=1 - a, rows=4) for a in (0.7, 0.8, 0.9)]
    summary = summarize(seeds)
    assert tuple(summary) == METRICS
    assert summary["accuracy"].mean == pytest.approx(0.8)
    assert summary["accuracy"].std == pytest.approx(0.1)
    assert summary["accuracy"].per_seed == (0.7, 0.8, 0.9)
    assert summary["f1"].std == 0.0


def test_one_seed_has_no_deviation() -> None:
    assert summarize([Scores(accuracy=0.7, f1=0.5, macro_f1=0.3, rows=4)])["accuracy"].std == 0.0
    with pytest.raises(ValueError, match="at least one seed"):
        summarize([])


def test_every_metric_is_a_score() -> None:
    assert set(METRICS) < {field.name for field in dataclasses.fields(Scores)}
