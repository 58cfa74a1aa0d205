import numpy as np
import pytest

from alchemist_exp.core.types import LabelMatrix, SoftLabels, largest_class


def test_label_matrix_covers_rows_with_a_vote_and_counts_them() -> None:
    matrix = LabelMatrix(votes=np.array([[0, -1, 2], [-1, -1, -1], [2, 2, 0]], dtype=np.int8), n_classes=3)
    assert matrix.covered.tolist() == [True, False, True]
    assert matrix.coverage == pytest.approx(2 / 3)
    assert matrix.counts().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 2]]


@pytest.mark.parametrize("vote", [-2, 3, 127])
def test_label_matrix_refuses_votes_outside_the_classes(vote: int) -> None:
    with pytest.raises(ValueError, match=r"expected -1\.\.2"):
        LabelMatrix(votes=np.array([[vote]], dtype=np.int8), n_classes=3)


def test_label_matrix_is_read_only_and_leaves_the_callers_array_writable() -> None:
    votes = np.zeros((2, 2), dtype=np.int8)
    matrix = LabelMatrix(votes=votes, n_classes=2)
    with pytest.raises(ValueError, match="read-only"):
        matrix.votes[0, 0] = 1
    votes[0, 0] = 1


def test_label_matrix_without_rows_or_programs() -> None:
    assert LabelMatrix(votes=np.empty((0, 3), dtype=np.int8), n_classes=2).coverage == 0.0
    assert LabelMatrix(votes=np.empty((3, 0), dtype=np.int8), n_classes=2).coverage == 0.0


def test_soft_labels_mask_uncovered_rows() -> None:
    labels = SoftLabels(probs=np.array([[0.3, 0.7], [0.9, 0.1]]), covered=np.array([True, False]))
    assert labels.probs[1].tolist() == [0.0, 0.0]
    assert labels.hard().tolist() == [1, -1]


def test_ties_are_counted_and_broken_without_favour_of_a_class() -> None:
    probs = np.array([[0.4, 0.4, 0.2]] * 600 + [[0.2, 0.5, 0.3], [1 / 3] * 3])
    covered = np.array([True] * 601 + [False])
    labels = SoftLabels(probs=probs, covered=covered)
    hard = labels.hard()
    assert labels.tied.tolist() == [True] * 600 + [False, False]
    assert set(hard[:600].tolist()) == {0, 1}
    assert 250 < (hard[:600] == 0).sum() < 350
    assert hard[600:].tolist() == [1, -1]
    assert np.array_equal(hard, labels.hard())
    assert np.array_equal(hard[:10], SoftLabels(probs=probs[:10], covered=covered[:10]).hard())


def test_counts_and_rounding_errors_are_ties_too() -> None:
    assert set(largest_class(np.array([[2, 2]] * 50)).tolist()) == {0, 1}
    assert set(largest_class(np.array([[0.5 + 1e-7, 0.5 - 1e-7]] * 50)).tolist()) == {0, 1}
    assert set(largest_class(np.array([[0.51, 0.49]] * 50)).tolist()) == {0}


@pytest.mark.parametrize("row", [[0.3, 0.3], [np.nan, 1.0], [2.0, 0.0]])
def test_soft_labels_refuse_rows_that_are_not_distributions(row: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        SoftLabels(probs=np.array([row]), covered=np.array([True]))


def test_soft_labels_refuse_shapes_that_do_not_match() -> None:
    with pytest.raises(ValueError, match="do not match"):
        SoftLabels(probs=np.ones((2, 1)), covered=np.array([True]))
