"""Which programs vote: the contract of every member, and what each is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import LabelMatrix
from alchemist_exp.programs.selection import ProgramPool, SelectDiverse, SelectMarginal, SelectRandom
from alchemist_exp.programs.types import Program, Provenance


def bank_of(
    votes: np.ndarray, gold: np.ndarray | None = None, strategies: tuple[str, ...] = ("general",)
) -> ProgramPool:
    matrix = LabelMatrix(votes=votes.astype(np.int8), n_classes=2)
    programs = [
        Program(
            source=str(column),
            origin="",
            provenance=Provenance(
                model="",
                prompt_key="",
                response_key="",
                strategy=strategies[column % len(strategies)],
                sample=0,
                version=0,
                list_price_usd=None,
            ),
        )
        for column in range(votes.shape[1])
    ]
    return ProgramPool(programs=programs, train=matrix, valid=None if gold is None else matrix, gold=gold)


@pytest.mark.parametrize("member", config.members("selection"))
def test_columns_are_distinct_ascending_and_repeated_for_the_same_bank(composed, member: str) -> None:
    selection = config.build(composed(f"selection={member}")).selection
    rng = np.random.default_rng(0)
    for shape in [(30, 1), (30, 3), (30, 20), (1, 7)]:
        for gold in (None, rng.integers(0, 2, shape[0])):
            bank = bank_of(rng.integers(-1, 2, shape), gold)
            chosen = selection.choose(bank)
            assert chosen == sorted(set(chosen)) == selection.choose(bank)
            assert 1 <= len(chosen) <= shape[1]
            assert all(0 <= column < shape[1] for column in chosen)


@given(st.integers(0, 50), st.integers(1, 12))
def test_random_draws_so_many_of_each_strategy(seed: int, n: int) -> None:
    bank = bank_of(np.ones((2, 18)), strategies=("general", "rules", "keywords"))
    chosen = SelectRandom(name="random", n=n, seed=seed).choose(bank)
    drawn = [bank.programs[column].strategy for column in chosen]
    assert all(drawn.count(strategy) == min(n, 6) for strategy in ("general", "rules", "keywords"))


def test_another_seed_draws_others() -> None:
    bank = bank_of(np.ones((2, 20)))
    assert len({tuple(SelectRandom(name="random", n=5, seed=seed).choose(bank)) for seed in range(10)}) > 5


def test_diverse_begins_with_the_most_votes_and_leaves_out_twins() -> None:
    a = np.array([1, 1, 1, 1, 0, 0, 0, -1])
    b = np.array([0, 0, 0, 0, 1, 1, -1, -1])
    votes = np.stack([a, a, a, b], axis=1)
    assert SelectDiverse(name="diverse", n=2).choose(bank_of(votes)) == [0, 3]


def test_marginal_takes_what_adds_most_to_the_right_class() -> None:
    gold = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    half, same = np.array([1, 1, 1, 1, -1, -1, -1, -1]), np.array([1, 1, 1, 1, -1, -1, -1, -1])
    rest, wrong = np.array([-1, -1, -1, -1, 0, 0, 0, -1]), 1 - gold
    votes = np.stack([wrong, half, same, rest], axis=1)
    assert SelectMarginal(name="marginal", n=2).choose(bank_of(votes, gold)) == [1, 3]


def test_without_gold_marginal_goes_by_the_majority_of_all() -> None:
    right = np.array([1, 1, 0, 0, 1, 0])
    votes = np.stack([1 - right, right, right, right], axis=1)
    assert SelectMarginal(name="marginal", n=1).choose(bank_of(votes)) == [1]


@pytest.mark.parametrize("override", ["selection.n=0", "selection.seed=-1"])
def test_what_cannot_be_is_refused(composed, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        config.build(composed("selection=random", override))
