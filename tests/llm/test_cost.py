from dataclasses import replace

import pytest

from alchemist_exp import config
from alchemist_exp.llm.base import LLM, Completion, Finish, Request, Usage
from alchemist_exp.llm.cost import cost_of, estimate

METERED = Completion(text="", model="m", finish=Finish.COMPLETE, usage=Usage(input_tokens=1000, output_tokens=2000))
UNMETERED = replace(METERED, usage=None)


class Paid(LLM):
    def request(self, system: str, prompt: str, *, sample: int = 0) -> Request:
        raise AssertionError

    def complete(self, request: Request) -> Completion:
        raise AssertionError


@pytest.fixture
def paid(composed) -> Paid:
    price = config.build(composed()).llm.price
    return Paid(name="paid", model="m", price=price)


def test_spent_is_what_was_asked_and_list_price_what_an_empty_cache_would_have_cost(paid: Paid) -> None:
    cost = cost_of([METERED, replace(METERED, from_cache=True)], paid)
    one = (1000 * 0.5 + 2000 * 1.5) / 1e6
    assert (cost.calls, cost.cached_calls) == (1, 1)
    assert (cost.input_tokens, cost.output_tokens) == (2000, 4000)
    assert cost.spent_usd == pytest.approx(one)
    assert cost.list_price_usd == pytest.approx(2 * one)


def test_what_was_not_metered_is_unknown_never_nothing(paid: Paid) -> None:
    cost = cost_of([METERED, UNMETERED], paid)
    assert (cost.spent_usd, cost.list_price_usd, cost.input_tokens) == (None, None, None)
    cached = cost_of([replace(UNMETERED, from_cache=True)], paid)
    assert (cached.spent_usd, cached.list_price_usd) == (0.0, None)


def test_replaying_costs_nothing(composed) -> None:
    cost = cost_of([UNMETERED], config.build(composed()).llm)
    assert (cost.spent_usd, cost.list_price_usd) == (0.0, None)


def test_estimates_price_characters(paid: Paid) -> None:
    expected = estimate(paid, programs=(10, 4_000_000, 8_000_000), zero_shot=(1_000_000, 400_000_000))
    assert expected.programs_usd == pytest.approx(0.5 + 3.0)
    assert expected.zero_shot_usd == pytest.approx(50.0 + 15.0)
    assert (expected.programs_calls, expected.zero_shot_calls) == (10, 1_000_000)
