"""Which programs of a round join the others, and which are left out."""

import numpy as np

from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.refinement.gates import BankVotes, choose, predict_out_of_fold

GOLD = np.arange(300) % 3


def noisy(accuracy: float, seed: int, covered: float = 1.0) -> np.ndarray:
    """Return votes that are right with a probability; others are for one of the other classes."""
    rng = np.random.default_rng(seed)
    votes = np.where(rng.random(300) < accuracy, GOLD, (GOLD + rng.integers(1, 3, 300)) % 3)
    return np.where(rng.random(300) < covered, votes, -1).astype(np.int8)


def bank(*columns: np.ndarray, gold: bool = True) -> BankVotes:
    """Return the same votes for train and valid."""
    matrix = LabelMatrix(votes=np.stack(columns, axis=1), n_classes=3)
    return BankVotes(train=matrix, valid=matrix if gold else None, gold=GOLD if gold else None)


def test_a_better_program_joins_and_a_copy_or_a_worse_one_does_not():
    first = [noisy(0.6, 0), noisy(0.6, 1), noisy(0.6, 2)]
    better, wrong = noisy(0.9, 3), noisy(0.1, 4)
    chosen, left_out = choose(bank(*first, better, better.copy(), wrong), [0, 1, 2], [3, 4, 5], min_programs=3)
    assert 3 in chosen
    assert {4, 5}.isdisjoint(chosen)
    assert "votes as an earlier program does" in left_out[4]
    assert "chance" in left_out[5]


def test_a_program_without_which_labels_are_better_is_pruned_but_the_label_model_keeps_enough():
    votes = bank(noisy(0.8, 0), noisy(0.8, 1), noisy(0.8, 2), np.zeros(300, dtype=np.int8), noisy(0.95, 5))
    chosen, left_out = choose(votes, [0, 1, 2, 3], [4])
    assert 4 in chosen
    assert all(reason == "the labels are better without it" for reason in left_out.values())
    kept, _ = choose(votes, [0, 1, 2, 3], [4], min_programs=5)
    assert kept == [0, 1, 2, 3, 4]


def test_without_gold_a_program_joins_for_uncovered_rows_if_it_agrees_with_the_others():
    half = np.arange(300) < 150
    first = [np.where(half, noisy(0.9, seed), -1).astype(np.int8) for seed in range(3)]
    chosen, left_out = choose(bank(*first, noisy(0.9, 7), noisy(0.05, 8), gold=False), [0, 1, 2], [3, 4])
    assert 3 in chosen
    assert left_out[4] == "agrees with the other programs less often than chance"


def test_rows_are_predicted_without_their_own_label():
    votes = np.full((300, 1), -1, dtype=np.int8)
    votes[0] = 0
    gold = np.where(np.arange(300) == 0, 2, 1)
    assert predict_out_of_fold(LabelMatrix(votes=votes, n_classes=3), gold)[0] == 1  # its own fold knows the vote only
