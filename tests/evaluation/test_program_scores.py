"""Coverage, polarity, overlap, conflict and accuracy of programs."""

import numpy as np
import pytest

from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.evaluation.program_scores import program_scores

VOTES = LabelMatrix(votes=np.array([[0, -1, -1], [1, 1, -1], [0, -1, -1], [1, 0, -1]], dtype=np.int8), n_classes=2)


def test_a_program_is_scored_on_the_rows_it_votes_on() -> None:
    first, second, silent = program_scores(VOTES, np.array([0, 1, 1, 1]))
    assert (first.coverage, first.polarity, first.overlap, first.conflict, first.accuracy) == (
        1,
        (0, 1),
        0.5,
        0.25,
        0.75,
    )
    assert (second.coverage, second.polarity, second.overlap, second.conflict) == (0.5, (0, 1), 0.5, 0.25)
    assert second.accuracy == 0.5
    assert (silent.coverage, silent.polarity, silent.overlap, silent.conflict, silent.accuracy) == (0, (), 0, 0, None)


def test_the_shares_are_those_of_snorkel() -> None:
    from snorkel.labeling import LFAnalysis

    votes = np.random.default_rng(0).integers(-1, 3, (500, 6)).astype(np.int8)
    scores = program_scores(LabelMatrix(votes=votes, n_classes=3), None)
    theirs = LFAnalysis(votes.astype(int))
    assert np.allclose([score.coverage for score in scores], theirs.lf_coverages())
    assert np.allclose([score.overlap for score in scores], theirs.lf_overlaps())
    assert np.allclose([score.conflict for score in scores], theirs.lf_conflicts())
    assert [list(score.polarity) for score in scores] == theirs.lf_polarities()


def test_without_gold_there_is_no_accuracy() -> None:
    scores = program_scores(VOTES, None)
    assert [score.accuracy for score in scores] == [None, None, None]
    assert [score.coverage for score in scores] == [1.0, 0.5, 0.0]


def test_no_rows_and_no_programs() -> None:
    no_rows = LabelMatrix(votes=np.empty((0, 2), dtype=np.int8), n_classes=2)
    assert [(score.coverage, score.accuracy) for score in program_scores(no_rows, np.array([], int))] == [(0, None)] * 2
    assert program_scores(LabelMatrix(votes=np.empty((3, 0), dtype=np.int8), n_classes=2), None) == ()
    with pytest.raises(ValueError, match="do not match"):
        program_scores(VOTES, np.array([0, 1]))
