from dataclasses import replace

import pytest

from alchemist_exp import config
from alchemist_exp.llm.cost import break_even, cost_of
from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Price, Request, Response, Usage

METERED = Response(
    text="", model="m", finish_reason=FinishReason.COMPLETE, usage=Usage(input_tokens=1000, output_tokens=2000)
)
UNMETERED = replace(METERED, usage=None)


class Paid(LLM):
    def request(self, system, prompt, *, sample=0, schema=None, max_output_tokens=None) -> Request:
        raise AssertionError

    def connect(self):
        raise AssertionError


def calls(*responses: Response) -> list[LLMCall]:
    return [LLMCall(request=Request(provider="p", model="m", messages=()), response=response) for response in responses]


@pytest.fixture
def paid(composed) -> Paid:
    price = config.build(composed()).llm.price
    return Paid(name="paid", model="m", price=price)


def test_spent_counts_sent_calls_and_list_price_counts_all_calls(paid: Paid) -> None:
    cost = cost_of(calls(METERED, replace(METERED, from_cache=True)), paid)
    one = (1000 * 0.5 + 2000 * 1.5) / 1e6
    assert (cost.calls, cost.cached_calls) == (1, 1)
    assert (cost.input_tokens, cost.output_tokens) == (2000, 4000)
    assert cost.spent_usd == pytest.approx(one)
    assert cost.list_price_usd == pytest.approx(2 * one)


def test_unmetered_costs_are_unknown_and_not_zero(paid: Paid) -> None:
    cost = cost_of(calls(METERED, UNMETERED), paid)
    assert (cost.spent_usd, cost.list_price_usd, cost.input_tokens) == (None, None, None)
    cached = cost_of(calls(replace(UNMETERED, from_cache=True)), paid)
    assert (cached.spent_usd, cached.list_price_usd) == (0.0, None)


def test_replaying_costs_nothing(composed) -> None:
    cost = cost_of(calls(UNMETERED), config.build(composed()).llm)
    assert (cost.spent_usd, cost.list_price_usd) == (0.0, None)


def test_incomplete_responses_are_paid_for_and_counted(paid: Paid) -> None:
    (call,) = calls(METERED)
    cost = cost_of(
        [replace(call, incomplete_responses=(replace(METERED, finish_reason=FinishReason.TRUNCATED),) * 2)], paid
    )
    assert (cost.calls, cost.incomplete) == (3, {"truncated": 2})
    assert cost.spent_usd == pytest.approx(3 * (1000 * 0.5 + 2000 * 1.5) / 1e6)


def test_kinds_of_tokens_have_different_prices() -> None:
    price = Price(
        input_usd_per_million=2,
        output_usd_per_million=8,
        cached_input_usd_per_million=0.5,
        cache_write_usd_per_million=2.5,
        batch_factor=0.5,
        as_of="today",
    )
    usage = Usage(
        input_tokens=1_000_000,
        output_tokens=100_000,
        cached_tokens=400_000,
        cache_write_tokens=100_000,
        reasoning_tokens=9,
    )
    usd = 0.5 * 2 + 0.4 * 0.5 + 0.1 * 2.5 + 0.1 * 8
    assert price.usd(usage) == pytest.approx(usd)
    assert price.usd(usage, batch=True) == pytest.approx(usd / 2)


def test_break_even_is_the_number_of_rows_from_which_programs_are_cheaper() -> None:
    price = Price(input_usd_per_million=1, output_usd_per_million=1, batch_factor=0.5, as_of="today")
    programs, rows = Usage(input_tokens=500, output_tokens=500), Usage(input_tokens=900, output_tokens=100)
    found = break_even(price, programs=(10, programs), zero_shot=(100, rows), basis="b")
    assert (found.programs_usd, found.zero_shot_usd, found.zero_shot_batch_usd) == (0.001, 0.001, 0.0005)
    assert (found.rows_from, found.rows_from_batch) == (101, 201)
    unknown = break_even(None, programs=(10, programs), zero_shot=(100, rows), basis="b")
    assert (unknown.programs_usd, unknown.zero_shot_usd, unknown.rows_from) == (None, None, None)
