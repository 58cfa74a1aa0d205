"""The real openai client against a server that misbehaves: what is sent, and how responses are read."""

import asyncio
import threading
from dataclasses import replace

import pytest

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.openai import payload, response_of
from alchemist_exp.llm.types import FinishReason, TransientError, Usage

CHAT, RESPONSES = "llm.model=gpt-4.1-mini", "llm.model=gpt-6-luna"
SCHEMA = {
    "type": "object",
    "properties": {"class": {"enum": ["a", "b"]}},
    "required": ["class"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say hello"}]


@pytest.fixture(params=[CHAT, RESPONSES], ids=["chat", "responses"])
def llm(request, provider):
    return provider("openai", request.param)


def test_chat_completions_get_what_the_model_accepts(provider, server, attempt, key) -> None:
    llm = provider("openai", CHAT, "llm.seed=7", "llm.max_output_tokens=99")
    attempt(llm, llm.request("be brief", "say hello", sample=2, schema=SCHEMA))
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert server.last == {
        "model": "gpt-4.1-mini",
        "messages": MESSAGES,
        "max_completion_tokens": 99,
        "temperature": 0.7,
        "seed": 9,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA},
        },
    }


def test_the_text_of_a_list_of_parts_is_joined() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]},
        {"type": "reasoning", "text": "Hm."},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    response = response_of({"choices": [{"finish_reason": "stop", "message": {"content": parts}}]})
    assert (response.text, response.finish_reason) == ("ab", FinishReason.COMPLETE)


def test_responses_get_no_temperature_no_seed_and_are_not_stored(provider, server, attempt) -> None:
    llm = provider("openai", RESPONSES, "llm.seed=7", "llm.max_output_tokens=99")
    attempt(llm, llm.request("be brief", "say hello", sample=2, schema=SCHEMA))
    assert server.requests[0].path == "/v1/responses"
    assert server.last == {
        "model": "gpt-6-luna",
        "input": MESSAGES,
        "max_output_tokens": 99,
        "store": False,
        "text": {"format": {"type": "json_schema", "name": "reply", "strict": True, "schema": SCHEMA}},
    }


@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        ([], {"temperature": 0.7}),
        (["llm.temperature=null"], {}),
        (["llm.temperature=0"], {"temperature": 0.0}),
        (["llm.temperature=null", "llm.seed=0"], {"seed": 0}),
    ],
)
def test_only_what_is_set_is_sent(provider, overrides: list[str], more: dict[str, object]) -> None:
    llm = provider("openai", CHAT, *overrides)
    body = payload(llm, llm.request("be brief", "say hello"))
    assert body == {"model": "gpt-4.1-mini", "messages": MESSAGES, "max_completion_tokens": 4000, **more}


def test_a_compatible_server_gets_plain_chat_and_a_placeholder_key(
    provider, server, attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_COMPATIBLE_API_KEY")
    llm = provider("openai_compatible")
    llm.check()
    assert attempt(llm).text == "hello"
    assert server.requests[0].headers["authorization"] == "Bearer none"
    assert server.last == {"model": "tiny", "messages": MESSAGES, "max_tokens": 4000, "temperature": 0.7}


def test_a_compatible_server_gets_the_key_that_is_set(provider, server, attempt, key) -> None:
    attempt(provider("openai_compatible"))
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"


def test_the_environment_does_not_change_the_address(provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere")
    llm = replace(provider("openai"), base_url=None)

    async def address() -> str:
        async with llm.connect() as session:
            return str(session.client.base_url)

    assert asyncio.run(address()) == "https://api.openai.com/v1/"


def test_a_response_is_read_completely(llm, server, scripted, attempt) -> None:
    tokens = scripted.Tokens(total=100, output=20, cached=60, written=30, reasoning=15)
    server.script = [scripted.ScriptedResponse(text=" hi\n", model="gpt-x-1", tokens=tokens)]
    response = attempt(llm)
    assert (response.text, response.model, response.finish_reason) == (" hi\n", "gpt-x-1", FinishReason.COMPLETE)
    assert response.usage == Usage(
        input_tokens=100, output_tokens=20, cached_tokens=60, cache_write_tokens=30, reasoning_tokens=15
    )


def test_missing_token_counts_are_unknown(llm, server, scripted, attempt) -> None:
    server.script = [scripted.ScriptedResponse(tokens=None), scripted.ScriptedResponse()]
    assert attempt(llm).usage is None
    assert attempt(llm).usage == Usage(input_tokens=100, output_tokens=20)


@pytest.mark.parametrize(
    ("text", "end", "finish"),
    [
        ("half a pro", "length", FinishReason.TRUNCATED),
        ("I would rather not", "refusal", FinishReason.REFUSED),
        ("", "stop", FinishReason.EMPTY),
        (" \n\0", "stop", FinishReason.EMPTY),
        ("a\0b\ud800c", "stop", FinishReason.COMPLETE),
    ],
)
def test_the_finish_reason(llm, server, scripted, attempt, text: str, end: str, finish: FinishReason) -> None:
    server.script = [scripted.ScriptedResponse(text=text, end=end)]
    response = attempt(llm)
    assert (response.text, response.finish_reason) == (text, finish)


@pytest.mark.parametrize("model", [7, ["x"], "", {}])
def test_a_response_without_a_model_name_has_the_requested_one(llm, server, scripted, attempt, model: object) -> None:
    server.script = [scripted.ScriptedResponse(model=model)]
    assert attempt(llm).model == llm.model


def test_lone_surrogates_in_a_prompt_are_sent_as_replacement_characters(llm, server, attempt) -> None:
    attempt(llm, llm.request("s", "a\ud800b \U0001f600"))
    sent = server.last.get("messages") or server.last["input"]
    assert sent[1]["content"] == "a�b \U0001f600"


@pytest.mark.parametrize(
    "response",
    [
        {},
        [],
        "text",
        None,
        {"choices": []},
        {"choices": [3]},
        {"choices": None},
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"status": "failed", "output": []},
        {"status": "cancelled", "output": []},
    ],
)
def test_a_body_that_is_no_response_is_transient(response: object) -> None:
    with pytest.raises(TransientError):
        response_of(response)


def test_invalid_fields_in_a_response_are_ignored() -> None:
    choice = {"message": {"content": ["x"]}, "finish_reason": 5}
    response = response_of(
        {
            "choices": [choice],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 3},
                "completion_tokens_details": [],
            },
        }
    )
    assert (response.text, response.model, response.finish_reason) == ("", "unknown", FinishReason.EMPTY)
    assert response.usage == Usage(input_tokens=5, output_tokens=1, cached_tokens=5)
    assert response_of({"choices": [choice], "usage": {"prompt_tokens": "5", "completion_tokens": 1}}).usage is None
    assert response_of({"choices": [choice], "usage": {"prompt_tokens": -5, "completion_tokens": 1}}).usage is None


def test_an_object_of_the_sdk_is_read_too() -> None:
    from openai.types.chat import ChatCompletion

    message = {"role": "assistant", "content": "hi"}
    body = {"id": "1", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    assert response_of(ChatCompletion.model_validate(body | {"created": 0, "object": "chat.completion"})).text == "hi"


def test_a_filtered_response_is_refused() -> None:
    chat = {"choices": [{"message": {"content": "a"}, "finish_reason": "content_filter"}]}
    responses = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}
    assert response_of(chat).finish_reason is FinishReason.REFUSED
    assert response_of(responses).finish_reason is FinishReason.REFUSED


def test_a_hundred_requests_are_in_flight_at_once(llm, server, scripted) -> None:
    all_there = threading.Barrier(100, timeout=60)

    def once_all_are_there(request: object) -> object:
        all_there.wait()
        return scripted.ScriptedResponse()

    server.script = once_all_are_there

    async def all_at_once() -> list[str]:
        async with llm.connect() as session:
            responses = await asyncio.gather(*(session.complete(llm.request("s", f"p{i}")) for i in range(100)))
        return [response.text for response in responses]

    assert asyncio.run(all_at_once()) == ["hello"] * 100
    assert len(server.requests) == 100
    assert server.max_in_flight_seen == 100


def test_a_missing_or_invalid_key_names_its_variable(provider, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = provider("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-“quoted”")
    with pytest.raises(LLMError, match=r"OPENAI_API_KEY contains a character that is invalid in a key") as caught:
        llm.check()
    assert "quoted" not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(LLMError, match=r"OPENAI_API_KEY is not set"):
        llm.check()


def test_a_retired_model_is_refused(provider) -> None:
    with pytest.raises(LLMError, match=r"gpt-3\.5-turbo-0125 was switched off on 2026-10-23"):
        provider("openai", "llm.model=gpt-3.5-turbo-0125").check()
    provider("openai", "llm.model=gpt-3.5-turbo-0125", "llm.cache=only").check()
