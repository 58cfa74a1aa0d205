"""How replies are got: side by side, from the cache where they are, within budget, and never paid for twice."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm import concurrent_calls
from alchemist_exp.llm.budget import BudgetError, BudgetLedger
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, Request, Response, TransientError, Usage

USAGE = Usage(input_tokens=10, output_tokens=10)
PRICE = "llm.price={input_usd_per_million:1000,output_usd_per_million:1000,as_of:today}"


class Scripted(ProviderLLM):
    """Answers each request by `script`: a text, a finish_reason, or an error, in turn; the last for ever."""

    def say(self, *script: str | FinishReason | Exception) -> "Scripted":
        self.scripts = script
        self.asked: list[Request] = []
        self.now = self.most_at_once = 0
        return self

    @asynccontextmanager
    async def connect(self):
        yield self

    async def complete(self, request: Request) -> Response:
        said = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
        self.asked.append(request)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        if isinstance(said, Exception):
            raise said
        if isinstance(said, FinishReason):
            return Response(text="half", model="m", finish_reason=said, usage=USAGE)
        return Response(text=f"{said} {request.sample}", model="m", finish_reason=FinishReason.COMPLETE, usage=USAGE)

    def batches(self, client):
        raise AssertionError


@pytest.fixture
def llm(composed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(concurrent_calls, "_FIRST_BACK_OFF_S", 0.0)

    def build(*overrides: str) -> Scripted:
        server = ("llm=openai_compatible", "llm.base_url=http://127.0.0.1:9/v1", "llm.model=m")
        made = config.build(composed(*server, *overrides)).llm
        return Scripted(**{f.name: getattr(made, f.name) for f in fields(made)})

    return build


@pytest.fixture
def llm_client(tmp_path: Path):
    return lambda llm, cap_usd=None: LLMClient(llm, ResponseCache(tmp_path / "replies"), tmp_path, cap_usd)


def questions(llm: Scripted, count: int) -> RequestBatch:
    requests = [llm.request("system", "How?", sample=sample) for sample in range(count)]
    return RequestBatch(description="asking", requests=requests, response_tokens=10)


def texts(calls) -> list[str]:
    return [call.response.text for call in calls]


def test_requests_go_side_by_side_within_the_cap_and_come_back_in_order(llm, llm_client) -> None:
    model = llm("llm.max_in_flight=4").say("yes")
    seen: list[str] = []
    calls = llm_client(model).complete(questions(model, 12), lambda call: seen.append(call.request.key))
    assert texts(calls) == [f"yes {sample}" for sample in range(12)]
    assert sorted(seen) == sorted(call.request.key for call in calls)
    assert model.most_at_once == 4


def test_the_same_question_is_asked_once(llm, llm_client) -> None:
    model = llm().say("yes")
    ask = questions(model, 1)
    both = RequestBatch(description="asking", requests=[*ask.requests] * 3, response_tokens=10)
    assert texts(llm_client(model).complete(both)) == ["yes 0"] * 3
    assert len(model.asked) == 1


def test_what_is_cached_is_not_asked_and_refresh_asks_anew(llm, llm_client) -> None:
    model = llm().say("old")
    llm_client(model).complete(questions(model, 2))
    again = llm_client(model).complete(questions(model, 3))
    assert [call.response.from_cache for call in again] == [True, True, False]
    anew = llm("llm.cache=refresh").say("new")
    assert texts(llm_client(anew).complete(questions(anew, 2))) == ["new 0", "new 1"]
    only = llm("llm.cache=only").say("never")
    assert texts(llm_client(only).complete(questions(only, 2))) == ["new 0", "new 1"]
    with pytest.raises(LLMError, match=r"responses are missing from the cache \(1\); the first is sample 9 .*'How\?'"):
        llm_client(only).complete(
            RequestBatch(description="", requests=[only.request("system", "How?", sample=9)], response_tokens=1)
        )
    assert only.asked == []


def test_a_fault_that_passes_is_asked_again(llm, llm_client) -> None:
    model = llm().say(TransientError("busy"), TransientError("busy", retry_after_s=0.01), "yes")
    assert texts(llm_client(model).complete(questions(model, 1))) == ["yes 0"]
    assert len(model.asked) == 3


def test_a_fault_that_stays_ends_in_one_sentence(llm, llm_client) -> None:
    model = llm("llm.max_attempts=3").say(TransientError("the server answered 500"))
    with pytest.raises(
        LLMError, match=r"m gave no response in 3 attempts \(the server answered 500\); run again later"
    ):
        llm_client(model).complete(questions(model, 1))
    assert len(model.asked) == 3


@pytest.mark.parametrize("finish_reason", [FinishReason.TRUNCATED, FinishReason.REFUSED, FinishReason.EMPTY])
def test_a_reply_that_is_not_complete_is_paid_asked_again_and_never_kept(
    llm, llm_client, finish_reason: FinishReason
) -> None:
    model = llm("llm.max_attempts=3").say(finish_reason, "yes")
    (call,) = llm_client(model).complete(questions(model, 1))
    assert call.response.text == "yes 0"
    assert [reply.finish_reason for reply in call.incomplete_responses] == [finish_reason]
    never = llm("llm.max_attempts=3", "llm.seed=1").say(finish_reason)
    (call,) = llm_client(never).complete(questions(never, 1))
    assert (call.response.finish_reason, len(call.incomplete_responses)) == (
        finish_reason,
        1 if finish_reason is FinishReason.TRUNCATED else 2,
    )
    assert llm_client(never).cached_response(call.request) is None


def test_after_an_error_what_is_under_way_is_kept_and_nothing_new_is_begun(llm, llm_client) -> None:
    model = llm("llm.max_in_flight=3").say("yes", LLMError("no credit"), "yes")
    with pytest.raises(LLMError, match="no credit"):
        llm_client(model).complete(questions(model, 30))
    assert len(model.asked) == 3
    kept = [request for request in model.asked if llm_client(model).cached_response(request)]
    assert len(kept) == 2


def test_at_the_budget_a_job_stops_and_goes_on_when_it_is_raised(llm, llm_client, tmp_path: Path) -> None:
    # A call reserves about $0.1 (83 bytes or so and 10 tokens) and costs $0.02.
    model = llm(PRICE, "llm.max_output_tokens=10", "llm.max_in_flight=2").say("yes")
    with pytest.raises(BudgetError, match=r"the budget of \$0\.15 is used up .* raise budget\.usd and run again"):
        llm_client(model, 0.15).complete(questions(model, 20))
    paid = len(model.asked)
    assert 1 <= paid < 20
    ledger = BudgetLedger(tmp_path / "budget.jsonl")
    assert ledger.spent_usd == pytest.approx(paid * 0.02)
    assert ledger.spent_usd <= 0.15
    assert ledger.reserved_usd == 0
    llm_client(model, 5.0).complete(questions(model, 20))
    assert len(model.asked) == 20
    assert ledger.spent_usd == pytest.approx(20 * 0.02)


def test_what_may_have_been_paid_counts_in_full(llm, llm_client, tmp_path: Path) -> None:
    model = llm(PRICE, "llm.max_output_tokens=10").say(
        TransientError("late", maybe_billed=True), TransientError("busy"), "yes"
    )
    llm_client(model).complete(questions(model, 1))
    spent = BudgetLedger(tmp_path / "budget.jsonl").spent_usd
    assert spent > 0.02 + 0.01 * 10 / 10  # the late one at its upper bound, the busy one at nothing


def test_without_a_price_nothing_is_booked(llm, llm_client, tmp_path: Path) -> None:
    model = llm().say("yes")
    llm_client(model).complete(questions(model, 1))
    assert not (tmp_path / "budget.jsonl").exists()
