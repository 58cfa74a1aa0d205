"""The real anthropic client against a server that misbehaves: what is sent, and how responses are read."""

import asyncio
from dataclasses import replace

import pytest

from alchemist_exp.llm.providers.anthropic import payload, response_of
from alchemist_exp.llm.types import FinishReason, TransientError, Usage

SCHEMA = {"type": "object", "properties": {"class": {"enum": ["a", "b"]}}}
PLAIN = {"messages": [{"role": "user", "content": "say hello"}], "system": "be brief", "max_tokens": 4000}


def test_the_newest_models_get_no_temperature(provider, server, attempt, key) -> None:
    attempt(provider("anthropic", "llm.seed=3"))
    assert server.requests[0].path == "/v1/messages"
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert server.last == {"model": "claude-haiku-5-5", **PLAIN}


def test_models_that_accept_a_temperature_get_it(provider, server, attempt) -> None:
    attempt(provider("anthropic", "llm.model=claude-haiku-4-5"))
    assert server.last == {"model": "claude-haiku-4-5", **PLAIN, "temperature": 0.7}


def test_a_schema_is_sent_if_the_model_accepts_one(provider, server, attempt) -> None:
    llm = provider("anthropic")
    attempt(llm, llm.request("be brief", "say hello", schema=SCHEMA))
    assert server.last["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    old = provider("anthropic", "llm.model=claude-2.1")
    assert payload(old, old.request("be brief", "say hello", schema=SCHEMA)) == {
        "model": "claude-2.1",
        **PLAIN,
        "temperature": 0.7,
    }


def test_an_empty_system_prompt_is_left_out_and_surrogates_are_replaced(provider, server, attempt) -> None:
    llm = provider("anthropic")
    attempt(llm, llm.request("", "a\ud800b"))
    assert "system" not in server.last
    assert server.last["messages"][0]["content"] == "a�b"


def test_the_environment_does_not_change_the_address(provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://elsewhere")
    llm = replace(provider("anthropic"), base_url=None)

    async def address() -> str:
        async with llm.connect() as session:
            return str(session.client.base_url)

    assert asyncio.run(address()).rstrip("/") == "https://api.anthropic.com"


def test_all_input_is_counted(provider, server, scripted, attempt) -> None:
    tokens = scripted.Tokens(total=100, output=20, cached=60, written=30, reasoning=15)
    server.script = [scripted.ScriptedResponse(text=" hi\n", model="claude-x", tokens=tokens)]
    response = attempt(provider("anthropic"))
    assert (response.text, response.model, response.finish_reason) == (" hi\n", "claude-x", FinishReason.COMPLETE)
    assert response.usage == Usage(
        input_tokens=100, output_tokens=20, cached_tokens=60, cache_write_tokens=30, reasoning_tokens=15
    )


def test_missing_token_counts_are_unknown(provider, server, scripted, attempt) -> None:
    server.script = [scripted.ScriptedResponse(tokens=None), scripted.ScriptedResponse()]
    llm = provider("anthropic")
    assert attempt(llm).usage is None
    assert attempt(llm).usage == Usage(input_tokens=100, output_tokens=20)


@pytest.mark.parametrize(
    ("text", "end", "finish_reason"),
    [
        ("half a pro", "length", FinishReason.TRUNCATED),
        ("I would rather not", "refusal", FinishReason.REFUSED),
        ("", "stop", FinishReason.EMPTY),
        ("a\0b\ud800c", "stop", FinishReason.COMPLETE),
    ],
)
def test_the_finish_reason(
    provider, server, scripted, attempt, text: str, end: str, finish_reason: FinishReason
) -> None:
    server.script = [scripted.ScriptedResponse(text=text, end=end)]
    response = attempt(provider("anthropic"))
    assert (response.text, response.finish_reason) == (text, finish_reason)


def test_a_response_without_a_model_name_has_the_requested_one(provider, server, scripted, attempt) -> None:
    server.script = [scripted.ScriptedResponse(model=["x"])]
    assert attempt(provider("anthropic")).model == "claude-haiku-5-5"


@pytest.mark.parametrize("response", [{}, [], "text", None, {"content": None}, {"content": "x"}])
def test_a_body_that_is_no_response_is_transient(response: object) -> None:
    with pytest.raises(TransientError):
        response_of(response)


def test_an_object_of_the_sdk_is_read_too() -> None:
    from anthropic.types import Message

    body = {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 4},
    }
    response = response_of(Message.model_validate(body))
    assert response.text == "hi"
    assert response.usage == Usage(input_tokens=7, output_tokens=1, cached_tokens=4)
