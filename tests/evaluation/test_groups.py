"""Scores of groups compared with values computed by hand, and the intervals with scipy."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from alchemist_exp.core.hashing import canonical_json, to_jsonable
from alchemist_exp.core.types import ABSTAIN, IntArray
from alchemist_exp.evaluation.groups import GroupScores, score_groups, summarize_groups, wilson_interval

NAMES = ("landbird, land", "landbird, water", "waterbird, land", "waterbird, water")
SHARES = (0.73, 0.04, 0.01, 0.22)


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


GROUPS = ints(0, 0, 0, 0, 1, 1, 2, 2, 3, 3)
GOLD = GROUPS // 2
PREDICTED = ints(0, 0, 0, 1, 0, 1, 0, 0, 1, 1)
# Hits: 3 of 4, 1 of 2, 0 of 2, 2 of 2.


def scored(
    predicted: IntArray = PREDICTED,
    *,
    gold: IntArray = GOLD,
    groups: IntArray = GROUPS,
    names: tuple[str, ...] = NAMES,
    train_shares: tuple[float, ...] | None = SHARES,
) -> GroupScores:
    scores = score_groups(gold, predicted, groups, names=names, train_shares=train_shares)
    assert scores is not None
    return scores


def test_average_worst_group_and_gap() -> None:
    scores = scored()
    assert scores.n == (4, 2, 2, 2)
    assert scores.accuracy == (0.75, 0.5, 0.0, 1.0)
    assert scores.coverage == (1.0,) * 4
    assert scores.average == pytest.approx(0.6)
    assert (scores.worst_group, scores.worst_accuracy, scores.worst_n) == ("waterbird, land", 0.0, 2)
    assert scores.worst_interval == wilson_interval(0, 2)
    assert scores.gap == pytest.approx(0.6)


def test_the_adjusted_average_has_the_weights_of_train() -> None:
    scores = scored()
    adjusted = 0.73 * 0.75 + 0.04 * 0.5 + 0.22
    assert scores.adjusted_average == pytest.approx(adjusted)
    assert scores.adjusted_gap == pytest.approx(adjusted)
    even = scored(train_shares=(0.4, 0.2, 0.2, 0.2))  # the shares of the scored rows
    assert even.adjusted_average == pytest.approx(even.average)


def test_without_groups_in_train_there_is_no_adjusted_average() -> None:
    scores = scored(train_shares=None)
    assert (scores.adjusted_average, scores.adjusted_gap) == (None, None)
    assert scores.average == pytest.approx(0.6)


def test_a_row_without_a_prediction_counts_only_for_the_coverage() -> None:
    predicted = PREDICTED.copy()
    predicted[[0, 3, 6, 7]] = ABSTAIN  # a hit and an error of group 0, both rows of group 2
    scores = scored(predicted)
    assert scores.n == (2, 2, 0, 2)
    assert scores.accuracy == (1.0, 0.5, None, 1.0)
    assert scores.coverage == (0.5, 1.0, 0.0, 1.0)
    assert scores.average == pytest.approx(5 / 6)
    assert scores.worst_group == "landbird, water"
    assert scores.adjusted_average is None  # group 2 has a train share and no accuracy


def test_a_group_without_rows_has_neither_accuracy_nor_coverage() -> None:
    scores = scored(ints(0, 1), gold=ints(0, 1), groups=ints(0, 3), train_shares=(0.5, 0.0, 0.0, 0.5))
    assert scores.accuracy == scores.coverage == (1.0, None, None, 1.0)
    assert scores.adjusted_average == 1.0  # the empty groups have no train share


def test_of_equally_bad_groups_the_first_is_named() -> None:
    assert scored(1 - GOLD).worst_group == "landbird, land"


def test_without_a_prediction_there_are_no_scores() -> None:
    nothing = np.full(len(GOLD), ABSTAIN)
    assert score_groups(GOLD, nothing, GROUPS, names=NAMES, train_shares=SHARES) is None
    assert score_groups(ints(), ints(), ints(), names=NAMES, train_shares=None) is None


@pytest.mark.parametrize(
    ("gold", "predicted", "groups", "shares", "message"),
    [
        (ints(0, 1), ints(0), ints(0, 1), None, "do not match"),
        (ints(0, 1), ints(0, 1), ints(0), None, "do not match"),
        (ints(0, -1), ints(0, 1), ints(0, 1), None, "gold has the value -1"),
        (ints(0, 1), ints(0, -2), ints(0, 1), None, "predicted has the value -2"),
        (ints(0, 1), ints(0, 1), ints(0, -1), None, "groups has the value -1"),
        (ints(0, 1), ints(0, 1), ints(0, 4), None, "groups is in 0..4; expected 0..3"),
        (ints(0, 1), ints(0, 1), ints(0, 1), (0.5, 0.5), "2 train shares for 4 groups"),
        (ints(0, 1), ints(0, 1), ints(0, 1), (0.5, 0.5, 0.5, 0.5), "are not shares"),
        (ints(0, 1), ints(0, 1), ints(0, 1), (1.5, -0.5, 0.0, 0.0), "are not shares"),
        (ints(0, 1), ints(0, 1), ints(0, 1), (float("nan"), 0.5, 0.5, 0.0), "are not shares"),
    ],
)
def test_arguments_that_do_not_match_are_refused(
    gold: IntArray, predicted: IntArray, groups: IntArray, shares: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_groups(gold, predicted, groups, names=NAMES, train_shares=shares)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 20), (37, 642), (350, 642)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_agrees_with_scipy(hits: int, n: int, confidence: float) -> None:
    expected = binomtest(hits, n).proportion_ci(confidence_level=confidence, method="wilson")
    assert wilson_interval(hits, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_ends_at_the_bounds_of_a_share() -> None:
    lower, upper = wilson_interval(0, 10)
    assert lower == 0.0
    assert upper == pytest.approx(0.2775, abs=1e-4)  # z^2 / (n + z^2)
    assert wilson_interval(10, 10) == (pytest.approx(1 - upper), 1.0)


@pytest.mark.parametrize(
    ("hits", "n", "confidence"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 0.0), (1, 2, 1.0)]
)
def test_an_interval_of_no_rows_or_too_many_hits_is_refused(hits: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(hits, n, confidence)


def test_the_summary_finds_the_worst_group_of_each_seed() -> None:
    other = PREDICTED.copy()
    other[[5, 6, 7, 8, 9]] = [0, 1, 1, 0, 1]  # hits: 3 of 4, 2 of 2, 2 of 2, 1 of 2
    summary = summarize_groups([scored(), scored(other)])
    assert summary.n == (4, 2, 2, 2)
    assert summary.accuracy == (0.75, 0.75, 0.5, 0.75)
    assert summary.worst_group == ("waterbird, land", "waterbird, water")
    assert summary.worst_n == (2, 2)
    assert summary.worst_interval == (wilson_interval(0, 2), wilson_interval(1, 2))
    assert summary.worst_accuracy.per_seed == (0.0, 0.5)
    assert summary.worst_accuracy.std == pytest.approx(0.5 / 2**0.5)
    assert summary.average.mean == pytest.approx(0.7)
    assert summary.gap.per_seed == pytest.approx((0.6, 0.3))
    assert summary.adjusted_average is not None
    assert summary.adjusted_average.per_seed == (scored().adjusted_average, scored(other).adjusted_average)


def test_one_seed_has_no_deviation_and_missing_values_stay_missing() -> None:
    scores = scored(ints(0, 1), gold=ints(0, 1), groups=ints(0, 3), train_shares=None)
    summary = summarize_groups([scores])
    assert summary.average.std == summary.gap.std == summary.worst_accuracy.std == 0.0
    assert summary.accuracy == (1.0, None, None, 1.0)
    assert (summary.adjusted_average, summary.adjusted_gap) == (None, None)


def test_no_seeds_and_seeds_on_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        summarize_groups([])
    fewer = scored(ints(0, 1), gold=ints(0, 1), groups=ints(0, 3))
    with pytest.raises(ValueError, match="expected the same for all seeds"):
        summarize_groups([scored(), fewer])


def test_scores_and_summaries_have_a_json_form() -> None:
    scores = scored(train_shares=None)
    assert json.loads(canonical_json(scores)) == to_jsonable(scores)
    stored = to_jsonable(summarize_groups([scores]))
    assert json.loads(canonical_json(stored)) == stored
    assert stored["gap"] == {"mean": scores.gap, "std": 0.0, "per_seed": [scores.gap]}
