"""How responses are obtained: concurrently, from the cache if possible, within the budget, never paid for twice."""

import asyncio
import errno
import json
import re
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.atomic_io import ReservedFile
from alchemist_exp.core.errors import LLMError, StoreError
from alchemist_exp.llm import concurrent_calls
from alchemist_exp.llm.budget import BudgetError, BudgetLedger
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, Request, RequestRefusedError, Response, TransientError, Usage

USAGE = Usage(input_tokens=10, output_tokens=10)
PRICE = "llm.price={input_usd_per_million:1000,output_usd_per_million:1000,as_of:today}"


class Scripted(ProviderLLM):
    """Answers each request by `script`: a text, a finish_reason, or an error, in turn; the last for ever."""

    def say(self, *script: str | FinishReason | Exception) -> "Scripted":
        self.scripts = script
        self.sent: list[Request] = []
        self.now = self.most_at_once = 0
        return self

    @asynccontextmanager
    async def connect(self):
        yield self

    async def complete(self, request: Request) -> Response:
        item = self.scripts[min(len(self.sent), len(self.scripts) - 1)]
        self.sent.append(request)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        if isinstance(item, Exception):
            raise item
        if isinstance(item, FinishReason):
            return Response(text="half", model="m", finish_reason=item, usage=USAGE)
        return Response(text=f"{item} {request.sample}", model="m", finish_reason=FinishReason.COMPLETE, usage=USAGE)

    async def send(self, session, request):
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


def request_batch(llm: Scripted, count: int) -> RequestBatch:
    requests = [llm.request("system", "How?", sample=sample) for sample in range(count)]
    return RequestBatch(description="asking", requests=requests, response_tokens=10)


def texts(calls) -> list[str]:
    return [call.response.text for call in calls]


def test_requests_are_sent_concurrently_within_the_limit_and_returned_in_order(llm, llm_client) -> None:
    model = llm("llm.max_in_flight=4").say("yes")
    seen: list[str] = []
    calls = llm_client(model).complete(request_batch(model, 12), lambda call: seen.append(call.request.key))
    assert texts(calls) == [f"yes {sample}" for sample in range(12)]
    assert sorted(seen) == sorted(call.request.key for call in calls)
    assert model.most_at_once == 4


def test_equal_requests_are_sent_once(llm, llm_client) -> None:
    model = llm().say("yes")
    batch = request_batch(model, 1)
    both = RequestBatch(description="asking", requests=[*batch.requests] * 3, response_tokens=10)
    assert texts(llm_client(model).complete(both)) == ["yes 0"] * 3
    assert len(model.sent) == 1


def test_cached_responses_are_used_and_refresh_requests_them_again(llm, llm_client) -> None:
    model = llm().say("old")
    llm_client(model).complete(request_batch(model, 2))
    again = llm_client(model).complete(request_batch(model, 3))
    assert [call.response.from_cache for call in again] == [True, True, False]
    refreshing = llm("llm.cache=refresh").say("new")
    assert texts(llm_client(refreshing).complete(request_batch(refreshing, 2))) == ["new 0", "new 1"]
    only = llm("llm.cache=only").say("never")
    assert texts(llm_client(only).complete(request_batch(only, 2))) == ["new 0", "new 1"]
    with pytest.raises(LLMError, match=r"responses are missing from the cache \(1\); the first is sample 9 .*'How\?'"):
        llm_client(only).complete(
            RequestBatch(description="", requests=[only.request("system", "How?", sample=9)], response_tokens=1)
        )
    assert only.sent == []


def test_a_transient_error_is_retried(llm, llm_client) -> None:
    model = llm().say(TransientError("busy"), TransientError("busy", retry_after_s=0.01), "yes")
    assert texts(llm_client(model).complete(request_batch(model, 1))) == ["yes 0"]
    assert len(model.sent) == 3


def test_a_transient_error_that_stays_is_one_error(llm, llm_client) -> None:
    model = llm("llm.max_attempts=3").say(TransientError("the server answered 500"))
    with pytest.raises(
        LLMError, match=r"m gave no response in 3 attempts \(the server answered 500\); run again later"
    ):
        llm_client(model).complete(request_batch(model, 1))
    assert len(model.sent) == 3


@pytest.mark.parametrize("finish_reason", [FinishReason.TRUNCATED, FinishReason.REFUSED, FinishReason.EMPTY])
def test_an_incomplete_response_is_paid_retried_and_never_cached(llm, llm_client, finish_reason: FinishReason) -> None:
    model = llm("llm.max_attempts=3").say(finish_reason, "yes")
    (call,) = llm_client(model).complete(request_batch(model, 1))
    assert call.response.text == "yes 0"
    assert [response.finish_reason for response in call.incomplete_responses] == [finish_reason]
    never = llm("llm.max_attempts=3", "llm.seed=1").say(finish_reason)
    (call,) = llm_client(never).complete(request_batch(never, 1))
    assert (call.response.finish_reason, len(call.incomplete_responses)) == (finish_reason, 1)
    assert llm_client(never).cached_response(call.request) is None


def test_after_an_error_calls_in_flight_are_kept_and_no_new_ones_start(llm, llm_client) -> None:
    model = llm("llm.max_in_flight=3").say("yes", LLMError("no credit"), "yes")
    with pytest.raises(LLMError, match="no credit"):
        llm_client(model).complete(request_batch(model, 30))
    # On a busy machine the first call can end, and a fourth begin, before the second one fails.
    assert 3 <= len(model.sent) <= 5
    kept = [request for request in model.sent if llm_client(model).cached_response(request)]
    assert len(kept) == len(model.sent) - 1


def test_a_run_stops_at_the_budget_and_continues_when_it_is_raised(llm, llm_client, tmp_path: Path) -> None:
    # A call reserves about $0.1 (83 bytes or so and 10 tokens) and costs $0.02.
    model = llm(PRICE, "llm.max_output_tokens=10", "llm.max_in_flight=2").say("yes")
    with pytest.raises(BudgetError, match=r"the budget of \$0\.15 is used up .* raise budget\.usd and run again"):
        llm_client(model, 0.15).complete(request_batch(model, 20))
    paid = len(model.sent)
    assert 1 <= paid < 20
    ledger = BudgetLedger(tmp_path / "budget.jsonl")
    assert ledger.totals().spent == pytest.approx(paid * 0.02)
    assert ledger.totals().spent <= 0.15
    assert ledger.totals().reserved == 0
    llm_client(model, 5.0).complete(request_batch(model, 20))
    assert len(model.sent) == 20
    assert ledger.totals().spent == pytest.approx(20 * 0.02)


def test_a_call_that_was_possibly_paid_counts_in_full(llm, llm_client, tmp_path: Path) -> None:
    model = llm(PRICE, "llm.max_output_tokens=10").say(
        TransientError("late", maybe_billed=True), TransientError("busy"), "yes"
    )
    llm_client(model).complete(request_batch(model, 1))
    spent = BudgetLedger(tmp_path / "budget.jsonl").totals().spent
    assert spent > 0.02 + 0.01 * 10 / 10  # the late one at its upper bound, the busy one at nothing


def test_without_a_price_there_is_no_ledger(llm, llm_client, tmp_path: Path) -> None:
    model = llm().say("yes")
    llm_client(model).complete(request_batch(model, 1))
    assert not (tmp_path / "budget.jsonl").exists()


OLD_ENTRY = """{
  "request": {
    "provider": "openai_compatible",
    "model": "m",
    "messages": [
      {
        "role": "system",
        "text": "You are an annotator."
      },
      {
        "role": "user",
        "text": "Check out my channel! ü"
      }
    ],
    "parameters": {
      "max_output_tokens": 40,
      "temperature": 0.7,
      "base_url": "http://127.0.0.1:46571/v1"
    },
    "sample": 1
  },
  "reply": "{\\"class\\": \\"spam\\"} ü",
  "sha256": "0845fc1661d99df885bde3428b877f9041bcfabd8863c604e0ce8223d40a5956",
  "model": "m",
  "usage": {
    "input_tokens": 90,
    "output_tokens": 10,
    "cached_tokens": 40,
    "cache_write_tokens": 0,
    "reasoning_tokens": 2
  },
  "time": "2026-11-30T03:34:38+00:00",
  "batch": false
}
"""
"""An entry as version 0.1.0 wrote it, byte for byte."""


def test_an_entry_written_by_an_older_version_is_used(llm, llm_client, tmp_path: Path) -> None:
    path = tmp_path / "replies" / "32" / "3228dc937513965b615a79ca.json"
    path.parent.mkdir(parents=True)
    path.write_text(OLD_ENTRY, encoding="utf-8")
    model = llm("llm.base_url=http://127.0.0.1:46571/v1").say(LLMError("the cache was not used"))
    request = model.request("You are an annotator.", "Check out my channel! ü", sample=1, max_output_tokens=40)
    (call,) = llm_client(model).complete(RequestBatch(description="", requests=[request], response_tokens=1))
    assert call.response == Response(
        text='{"class": "spam"} ü',
        model="m",
        finish_reason=FinishReason.COMPLETE,
        usage=Usage(input_tokens=90, output_tokens=10, cached_tokens=40, reasoning_tokens=2),
        from_cache=True,
    )


def test_an_entry_is_written_in_the_place_and_form_of_older_versions(llm, llm_client, tmp_path: Path) -> None:
    model = llm("llm.base_url=http://127.0.0.1:46571/v1").say("yes")
    request = model.request("You are an annotator.", "Check out my channel! ü", sample=1, max_output_tokens=40)
    llm_client(model).complete(RequestBatch(description="", requests=[request], response_tokens=1))
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    entry = "replies/32/3228dc937513965b615a79ca.json"
    assert {entry, "replies/locks/322.lock"} <= files
    old, new = json.loads(OLD_ENTRY), json.loads((tmp_path / entry).read_text(encoding="utf-8"))
    assert (list(new), list(new["usage"]), new["request"]) == (list(old), list(old["usage"]), old["request"])


class Disk:
    """Files may be reserved until their sizes exceed `free` bytes; a closed one gives its bytes back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.free = free
        monkeypatch.setattr("alchemist_exp.core.atomic_io.os.posix_fallocate", self.allocate)

    def allocate(self, file: int, offset: int, n_bytes: int) -> None:
        if n_bytes > self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free -= n_bytes


def test_nothing_is_asked_without_disk_space_for_the_response(llm, llm_client, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, free=1000)
    model = llm().say("yes")
    with pytest.raises(StoreError, match=r"replies.*the disk is full .*free some space"):
        llm_client(model).complete(request_batch(model, 20))
    assert model.sent == []


def test_what_was_asked_is_kept_when_the_disk_fills(
    llm, llm_client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, free=500_000)
    model = llm("llm.max_in_flight=8").say("yes")
    with pytest.raises(StoreError, match="the disk is full"):
        llm_client(model).complete(request_batch(model, 40))
    kept = list(ResponseCache(tmp_path / "replies").entries())
    assert 0 < len(kept) == len(model.sent) < 40
    assert not list(tmp_path.rglob(".*.json.*")), "no reserved space is left"
    monkeypatch.undo()
    assert len(texts(llm_client(model).complete(request_batch(model, 40)))) == 40
    assert len(model.sent) == 40


def test_a_call_waits_for_disk_space_that_others_have_reserved(
    llm, llm_client, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, free=150_000)
    model = llm("llm.max_in_flight=8").say("yes")
    monkeypatch.setattr(ReservedFile, "discard", lambda self: setattr(disk, "free", 150_000))
    assert len(texts(llm_client(model).complete(request_batch(model, 10)))) == 10
    assert model.most_at_once < 8


def test_the_ledger_has_what_was_spent_before_the_response_is_cached(
    llm, llm_client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while it caches a response has counted its cost."""
    model = llm(PRICE).say("yes")
    spent = []
    write = ResponseCache.write

    def write_and_look(*args: object) -> None:
        spent.append(BudgetLedger(tmp_path / "budget.jsonl").totals().spent)
        write(*args)

    monkeypatch.setattr(ResponseCache, "write", write_and_look)
    llm_client(model, cap_usd=100.0).complete(request_batch(model, 1))
    assert spent == [pytest.approx(0.02)]


def test_a_bug_in_one_call_does_not_lose_the_others(llm, llm_client, tmp_path: Path) -> None:
    model = llm("llm.max_in_flight=4").say("yes")

    def on_call(call: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        llm_client(model).complete(request_batch(model, 8), on_call)
    assert len(list(ResponseCache(tmp_path / "replies").entries())) == len(model.sent) == 4


def test_a_refused_row_is_counted_and_the_others_are_sent(llm, llm_client) -> None:
    model = llm("llm.max_in_flight=1").say("yes", RequestRefusedError("filtered"), "no")
    batch = replace(request_batch(model, 3), per_row=True)
    calls = llm_client(model).complete(batch)
    assert [call.response.finish_reason for call in calls] == ["complete", "refused", "complete"]
    assert calls[1].response.text == "filtered"
    other = llm("llm.max_in_flight=1", "llm.temperature=0").say(RequestRefusedError("filtered"))
    with pytest.raises(LLMError, match="filtered"):
        llm_client(other).complete(request_batch(other, 3))


def test_the_traffic_is_shown_on_one_line(llm, llm_client) -> None:
    model = llm(PRICE, "llm.max_in_flight=1").say(TransientError("busy"), "yes")
    client = llm_client(model)
    assert client.traffic.summary() == ""
    client.complete(request_batch(model, 2))
    assert re.fullmatch(r"2 calls, \d\.\d s each, 20 \+ 20 tokens, \$0\.0400, 1 retry", client.traffic.summary())


def test_a_final_slash_of_the_address_is_the_same_server(llm) -> None:
    request = llm().request("system", "How?")
    slash = llm("llm.base_url=http://127.0.0.1:9/v1/")
    assert slash.request("system", "How?") == request
    assert slash.key() == llm().key()
