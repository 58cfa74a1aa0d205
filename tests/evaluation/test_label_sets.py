"""Scores of sets of classes, compared with scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from alchemist_exp.core.label_sets import SetMatrix, members
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.evaluation.label_sets import most_frequent_share, score_classes, score_sets
from alchemist_exp.evaluation.program_scores import program_scores

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(ABSTAIN, 7)), min_size=1, max_size=12)


@given(PAIRS)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(pairs).T
    decided = predicted != ABSTAIN
    found = score_sets(gold, predicted, n_classes=3)
    if not decided.any():
        assert found is None
        return
    of_gold, of_predicted = members(gold[decided], 3), members(predicted[decided], 3)
    occurring = (of_gold | of_predicted).any(axis=0)
    assert found is not None
    assert found.rows == decided.sum()
    assert found.accuracy == pytest.approx(accuracy_score(of_gold, of_predicted))
    by_class = f1_score(of_gold, of_predicted, average=None, zero_division=0)
    if occurring.any():
        assert found.f1 == pytest.approx(f1_score(of_gold, of_predicted, average="micro", zero_division=0))
        assert found.macro_f1 == pytest.approx(by_class[occurring].mean())
    else:
        assert (found.f1, found.macro_f1) == (None, 0.0)
    of_classes = score_classes(gold, predicted, n_classes=3)
    assert [one.f1 for one in of_classes] == [
        pytest.approx(f1) if occurs else None for f1, occurs in zip(by_class, occurring, strict=True)
    ]


def test_programs_are_scored_on_the_rows_they_answer() -> None:
    votes = np.array([[3, 1], [0, ABSTAIN], [ABSTAIN, ABSTAIN], [1, 1]])
    first, second = program_scores(SetMatrix(votes=votes, n_classes=2), np.array([3, 0, 3, 2]))
    assert (first.coverage, first.overlap, first.conflict, first.polarity) == (0.75, 0.5, 0.25, (0, 1))
    assert (first.accuracy, second.accuracy) == (pytest.approx(4 / 6), pytest.approx(2 / 5))


def test_the_most_frequent_share_is_a_baseline() -> None:
    assert most_frequent_share(np.array([3, 3, 0, 1 << 61])) == 0.5
