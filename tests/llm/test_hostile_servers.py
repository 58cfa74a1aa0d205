"""Responses without an end, and responses that decompress to far more bytes: neither is kept or asked for again."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm import batch_calls
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import ResponseTooLargeError
from tests.support.batch_job import llm_of
from tests.support.batch_server import Script, serving
from tests.support.llm_server import ScriptedResponse

MODELS = [("openai", "gpt-4.1-mini"), ("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5")]
PRICE = "llm.price={input_usd_per_million:1,output_usd_per_million:1,as_of:today}"
GZIP = {"Content-Encoding": "gzip"}
MAX_PEAK_BYTES = 16 << 20


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """50 MB in 50 kB."""
    return gzip.compress(b"a" * 50_000_000)


@pytest.fixture(params=MODELS, ids=["chat", "responses", "messages"])
def llm(request, provider):
    name, model = request.param
    return provider(name, f"llm.model={model}", PRICE)


@pytest.fixture
def traced(llm, server, attempt) -> Iterator[None]:
    """Trace the memory of the test and limit its peak."""
    attempt(llm)  # the SDKs import most of their modules at the first call
    server.requests.clear()
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_PEAK_BYTES


@pytest.mark.parametrize("kind", ["endless", "bomb", "long"])
def test_a_response_that_is_too_large_is_not_read_to_its_end(llm, server, bomb, tmp_path, kind: str, traced) -> None:
    server.script = {
        "endless": [ScriptedResponse(endless=True)],
        "bomb": [ScriptedResponse(raw=bomb, headers=GZIP)],
        "long": [ScriptedResponse(text="a" * 2_000_000)],
    }[kind]
    cache = ResponseCache(tmp_path / "replies")
    client = LLMClient(llm, cache, tmp_path, cap_usd=10.0)
    batch = RequestBatch(description="", requests=[llm.request("be brief", "say hello")], response_tokens=1)
    with pytest.raises(ResponseTooLargeError, match=r"server at http://.* sent a response of more than 1\.2 MB"):
        client.complete(batch)
    assert len(server.requests) == 1, "another attempt may be billed, too"
    assert list(cache.entries()) == []
    assert client.spent_usd > 0, "it may be billed"
    assert server.n_bytes_sent < 50_000_000


def test_a_compressed_response_is_read(llm, server, attempt) -> None:
    body = {
        "gpt-4.1-mini": b'{"choices": [{"message": {"content": "hello"}}]}',
        "gpt-6-luna": b'{"output": [{"content": [{"type": "output_text", "text": "hello"}]}]}',
        "claude-haiku-5-5": b'{"content": [{"type": "text", "text": "hello"}]}',
    }[llm.model]
    server.script = [ScriptedResponse(raw=gzip.compress(body[:9]) + gzip.compress(body[9:]), headers=GZIP)]
    assert attempt(llm).text == "hello"
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_an_unknown_compression_is_one_sentence(llm, server, attempt) -> None:
    server.script = [ScriptedResponse(raw=b"x", headers={"Content-Encoding": "zstd"})]
    with pytest.raises(LLMError, match="compresses its responses as 'zstd', which was not asked for"):
        attempt(llm)


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_results_of_a_batch_have_a_limit(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-planted-0123456789-secret")
    monkeypatch.setattr(batch_calls, "_BATCH_POLL_S", 0.01)
    with serving() as server:
        server.scripts = [Script(lines=("x" * 3_000_000,))]
        llm = llm_of(name, server.url)
        cache = ResponseCache(tmp_path / "replies")
        client = LLMClient(llm, cache, tmp_path)
        batch = RequestBatch(description="", requests=[llm.request("be brief", "a")], response_tokens=1, per_row=True)
        with pytest.raises(LLMError, match=r"sent a response of more than 1\.1 MB"):
            client.complete(batch)
    assert list(cache.entries()) == []


PRIVATE = {
    "OPENAI_ORG_ID": "org-private",
    "OPENAI_PROJECT_ID": "proj-private",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Private: private\nAuthorization: Bearer private",
    "ANTHROPIC_AUTH_TOKEN": "private-token",
}


def test_another_server_gets_no_header_of_the_environment(
    llm, server, attempt, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PRIVATE.items():
        monkeypatch.setenv(name, value)
    attempt(llm)
    (request,) = server.requests
    assert not [name for name, value in request.headers.items() if "private" in value]
    sent = [request.headers.get(name, "") for name in ("authorization", "x-api-key")]
    assert any(key in value for value in sent) or llm.name == "anthropic"


def test_a_key_in_a_response_is_masked(llm, server, attempt, key: str) -> None:
    server.script = [ScriptedResponse(text=f"Your key is {key}.", model=f"m-{key}")]
    response = attempt(llm)
    assert response.text == "Your key is [key]."
    assert key not in response.model


def test_a_placeholder_is_no_secret(provider, server, attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_COMPATIBLE_API_KEY")
    server.script = [ScriptedResponse(text="none of them")]
    assert attempt(provider("openai_compatible")).text == "none of them"


def test_the_client_is_closed_after_an_endless_response(llm, server) -> None:
    server.script = [ScriptedResponse(endless=True), ScriptedResponse(text="hello")]

    async def ask_twice() -> str:
        async with llm.connect() as session:
            with pytest.raises(ResponseTooLargeError):
                await session.complete(llm.request("be brief", "a"))
            return (await session.complete(llm.request("be brief", "b"))).text

    assert asyncio.run(ask_twice()) == "hello"


def test_a_response_that_cannot_be_decompressed_is_asked_for_again(llm, server, tmp_path) -> None:
    server.script = [ScriptedResponse(raw=b"\x1f\x8bgarbage" * 10, headers=GZIP)]
    client = LLMClient(replace(llm, max_attempts=2), ResponseCache(tmp_path / "replies"), tmp_path, cap_usd=10.0)
    batch = RequestBatch(description="", requests=[llm.request("be brief", "say hello")], response_tokens=1)
    with pytest.raises(LLMError, match="cannot be decompressed"):
        client.complete(batch)
    assert len(server.requests) == 2
    ledger = (tmp_path / "budget.jsonl").read_text()
    assert ledger.count("settle") == ledger.count("reserve") == 2
