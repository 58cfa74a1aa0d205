"""Sets of classes as bit masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.label_sets import (
    MAX_SET_CLASSES,
    SetLabels,
    SetMatrix,
    classes_of,
    mask_of,
    members,
    names_of,
    to_masks,
)
from alchemist_exp.core.types import ABSTAIN

SETS = st.sets(st.integers(0, MAX_SET_CLASSES - 1))


@given(SETS)
def test_a_mask_is_its_set(classes: set[int]) -> None:
    mask = mask_of(classes)
    assert classes_of(mask) == tuple(sorted(classes))
    assert np.int64(mask) >= 0
    assert names_of(mask, [str(i) for i in range(MAX_SET_CLASSES)]) == [str(i) for i in sorted(classes)]


@given(st.lists(SETS, min_size=1, max_size=5))
def test_arrays_of_masks_are_members(rows: list[set[int]]) -> None:
    masks = np.array([mask_of(row) for row in rows])
    found = members(masks, MAX_SET_CLASSES)
    assert [set(np.flatnonzero(row).tolist()) for row in found] == rows
    assert to_masks(found).tolist() == masks.tolist()


@given(st.lists(st.lists(st.integers(ABSTAIN, 7), min_size=2, max_size=2), min_size=1, max_size=6))
def test_votes_of_a_class_are_those_of_a_binary_task(votes: list[list[int]]) -> None:
    matrix = SetMatrix(votes=np.array(votes), n_classes=3)
    for index in range(3):
        expected = [[vote if vote == ABSTAIN else int(index in classes_of(vote)) for vote in row] for row in votes]
        binary = matrix.of_class(index)
        assert binary.votes.tolist() == expected
        assert binary.covered.tolist() == matrix.covered.tolist()
        assert matrix.counts()[:, index].tolist() == [row.count(1) for row in expected]
    assert type(matrix.select(np.array([0]))) is type(matrix.take_programs([1])) is SetMatrix


@pytest.mark.parametrize("votes", [[[8]], [[-2]], [[0.5]], [0, 1]])
def test_other_votes_are_refused(votes: list[object]) -> None:
    with pytest.raises(ValueError, match="votes"):
        SetMatrix(votes=np.array(votes), n_classes=3)


@pytest.mark.parametrize("probs", [[[1.1, 0.0]], [[-0.1, 0.0]], [[np.nan, 0.0]], [0.5]])
def test_other_probabilities_are_refused(probs: list[object]) -> None:
    with pytest.raises(ValueError, match="prob"):
        SetLabels(probs=np.array(probs), covered=np.array([True]))


def test_labels_are_the_classes_of_at_least_one_half() -> None:
    labels = SetLabels(probs=np.array([[0.5, 0.9], [0.4, 0.1], [1.0, 1.0]]), covered=np.array([True, True, False]))
    assert labels.hard().tolist() == [3, 0, ABSTAIN]
    assert labels.tied.tolist() == [True, False, False]
    assert labels.probs[2].tolist() == [0, 0]
