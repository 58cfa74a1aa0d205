"""The real anthropic client against a server that misbehaves: what is sent, and what is made of what comes back."""

import asyncio
from dataclasses import replace

import pytest

from alchemist_exp.llm.providers.anthropic import payload, response_of
from alchemist_exp.llm.types import FinishReason, TransientError, Usage

SCHEMA = {"type": "object", "properties": {"class": {"enum": ["a", "b"]}}}
PLAIN = {"messages": [{"role": "user", "content": "say hello"}], "system": "be brief", "max_tokens": 4000}


def test_the_newest_models_get_no_temperature(provider, server, ask, key) -> None:
    ask(provider("anthropic", "llm.seed=3"))
    assert server.asked[0].path == "/v1/messages"
    assert server.asked[0].headers["authorization"] == f"Bearer {key}"
    assert server.last == {"model": "claude-haiku-5-5", **PLAIN}


def test_models_that_take_a_temperature_get_it_on_the_wire(provider, server, ask) -> None:
    ask(provider("anthropic", "llm.model=claude-haiku-4-5"))
    assert server.last == {"model": "claude-haiku-4-5", **PLAIN, "temperature": 0.7}


def test_a_schema_is_sent_where_the_model_can_be_held_to_one(provider, server, ask) -> None:
    llm = provider("anthropic")
    ask(llm, llm.request("be brief", "say hello", schema=SCHEMA))
    assert server.last["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    old = provider("anthropic", "llm.model=claude-2.1")
    assert payload(old, old.request("be brief", "say hello", schema=SCHEMA)) == {
        "model": "claude-2.1",
        **PLAIN,
        "temperature": 0.7,
    }


def test_an_empty_system_prompt_is_left_out_and_surrogates_are_replaced(provider, server, ask) -> None:
    llm = provider("anthropic")
    ask(llm, llm.request("", "a\ud800b"))
    assert "system" not in server.last
    assert server.last["messages"][0]["content"] == "a�b"


def test_the_vendors_address_is_asked_whatever_the_environment_says(provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://elsewhere")
    llm = replace(provider("anthropic"), base_url=None)

    async def address() -> str:
        async with llm.connect() as session:
            return str(session.client.base_url)

    assert asyncio.run(address()).rstrip("/") == "https://api.anthropic.com"


def test_all_input_is_counted(provider, server, scripted, ask) -> None:
    tokens = scripted.Tokens(total=100, output=20, cached=60, written=30, reasoning=15)
    server.script = [scripted.Answer(text=" hi\n", model="claude-x", tokens=tokens)]
    reply = ask(provider("anthropic"))
    assert (reply.text, reply.model, reply.finish_reason) == (" hi\n", "claude-x", FinishReason.COMPLETE)
    assert reply.usage == Usage(
        input_tokens=100, output_tokens=20, cached_tokens=60, cache_write_tokens=30, reasoning_tokens=15
    )


def test_what_the_server_does_not_meter_is_not_known(provider, server, scripted, ask) -> None:
    server.script = [scripted.Answer(tokens=None), scripted.Answer()]
    llm = provider("anthropic")
    assert ask(llm).usage is None
    assert ask(llm).usage == Usage(input_tokens=100, output_tokens=20)


@pytest.mark.parametrize(
    ("text", "end", "finish_reason"),
    [
        ("half a pro", "length", FinishReason.TRUNCATED),
        ("I would rather not", "refusal", FinishReason.REFUSED),
        ("", "stop", FinishReason.EMPTY),
        ("a\0b\ud800c", "stop", FinishReason.COMPLETE),
    ],
)
def test_why_a_reply_ended_is_said(
    provider, server, scripted, ask, text: str, end: str, finish_reason: FinishReason
) -> None:
    server.script = [scripted.Answer(text=text, end=end)]
    reply = ask(provider("anthropic"))
    assert (reply.text, reply.finish_reason) == (text, finish_reason)


def test_a_model_without_a_name_is_called_what_was_asked(provider, server, scripted, ask) -> None:
    server.script = [scripted.Answer(model=["x"])]
    assert ask(provider("anthropic")).model == "claude-haiku-5-5"


@pytest.mark.parametrize("reply", [{}, [], "text", None, {"content": None}, {"content": "x"}])
def test_a_body_that_is_no_reply_is_asked_again(reply: object) -> None:
    with pytest.raises(TransientError):
        response_of(reply)


def test_a_clients_object_is_read_as_well() -> None:
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
    reply = response_of(Message.model_validate(body))
    assert reply.text == "hi"
    assert reply.usage == Usage(input_tokens=7, output_tokens=1, cached_tokens=4)
