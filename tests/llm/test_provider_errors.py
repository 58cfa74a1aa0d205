"""Errors of providers become a TransientError or an LLMError of one sentence. The API key is in neither."""

import asyncio
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.parsing import MAX_QUOTE_LENGTH, clean, retry_after_s
from alchemist_exp.llm.types import TransientError

MODELS = [
    ("openai", "gpt-4.1-mini", "OPENAI_API_KEY"),
    ("openai", "gpt-6-luna", "OPENAI_API_KEY"),
    ("anthropic", "claude-haiku-5-5", "ANTHROPIC_API_KEY"),
]


@pytest.fixture(params=MODELS, ids=["chat", "responses", "messages"])
def llm(request, provider):
    name, model, _ = request.param
    return provider(name, f"llm.model={model}")


def error_of(llm, attempt, kind: type[Exception], key: str) -> str:
    with pytest.raises(kind) as caught:
        attempt(llm)
    shown = "".join(traceback.format_exception(caught.value))
    assert key not in shown
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_errors_after_which_another_attempt_may_succeed(llm, server, scripted, attempt, key, status: int) -> None:
    server.script = [scripted.failing(status, f"busy {key}")]
    assert error_of(llm, attempt, TransientError, key) == f"the server at {llm.base_url} answered {status}: busy [key]"
    assert len(server.requests) == 1, "the client itself must not try again"


@pytest.mark.parametrize(
    ("status", "message", "code", "sentence"),
    [
        (401, "Incorrect API key provided: {key}.", "invalid_api_key", "the key in {variable} was refused for {model}"),
        (403, "not allowed", None, "the key in {variable} has no access to {model}"),
        (402, "pay", "billing_error", "there is no credit left for {model}"),
        (429, "You exceeded your current quota", "insufficient_quota", "there is no credit left for {model}"),
        (400, "Your credit balance is too low", "invalid_request_error", "there is no credit left for {model}"),
        (404, "The model does not exist", "model_not_found", "llm.model={model} is not known to the server"),
        (400, "maximum context length is 5", "context_length_exceeded", "the prompt is too long for {model}"),
        (
            400,
            "prompt is too long: 9 tokens > 5 maximum",
            "invalid_request_error",
            "the prompt is too long for {model}",
        ),
        (413, "Request exceeds the maximum size", "request_too_large", "the prompt is too long for {model}"),
        (400, "Unsupported value: the", None, "{model} refused the request with 400: Unsupported value"),
        (400, "triggering the content management policy", "content_filter", "a filter of the server at http://"),
        (403, "the input was flagged by moderation", None, "a filter of the server at http://"),
        (500, "('body', 'response_format', 'type')", None, "{model} does not take a JSON schema: ('body',"),
        (400, "json_schema is not supported", None, "{model} does not take a JSON schema: json_schema is not"),
        (422, "no", None, "{model} refused the request with 422: no"),
    ],
)
def test_errors_that_a_person_must_fix(llm, server, scripted, attempt, key, status, message, code, sentence) -> None:
    server.script = [scripted.failing(status, message.format(key=key), code=code)]
    said = error_of(llm, attempt, LLMError, key)
    assert said.startswith(sentence.format(model=llm.model, variable=llm.api_key_env))
    assert said.endswith(".")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Unsupported value: 'temperature' does not support 0.7", "set llm.temperature=null, or a value"),
        ("Unsupported parameter: 'max_tokens'", "lower llm.max_output_tokens, or give the model a specification with"),
        ("unknown field", "change what the message names, or add a specification"),
    ],
)
def test_the_advice_fits_what_was_refused(llm, server, scripted, attempt, key, message: str, advice: str) -> None:
    server.script = [scripted.failing(400, message)]
    said = error_of(llm, attempt, LLMError, key)
    assert f"(the server at {llm.base_url}); {advice}" in said


@pytest.mark.parametrize("answer", ["DROPPED", "TRUNCATED_JSON", "NOT_JSON"])
def test_a_broken_response_is_transient(llm, server, scripted, attempt, key, answer: str) -> None:
    server.script = [getattr(scripted, answer)]
    assert error_of(llm, attempt, TransientError, key)


@pytest.mark.parametrize("answer", ["HANG", "DRIP"])
def test_a_slow_server_reaches_the_time_limit(llm, server, scripted, attempt, key, answer: str) -> None:
    llm.timeout_s = 0.2
    server.script = [getattr(scripted, answer)]
    assert (
        error_of(llm, attempt, TransientError, key)
        == f"no response from the server at {llm.base_url} within 0.2 s (llm.timeout_s)"
    )


def test_a_refused_connection_is_transient(llm, attempt, key) -> None:
    llm.base_url = "http://127.0.0.1:1/v1"
    assert "the server at http://127.0.0.1:1/v1: the connection failed (" in error_of(llm, attempt, TransientError, key)


def test_an_error_in_a_response_of_status_200_is_transient(provider, server, scripted, attempt, key) -> None:
    server.script = [scripted.ScriptedResponse(error={"error": {"message": f"upstream\n{key}"}})]
    assert error_of(provider("openai_compatible"), attempt, TransientError, key) == "the model failed (upstream [key])"


@pytest.mark.parametrize("body", [b"", b"[]", b'"no"', b"<p>no</p>", b'{"error": "no"}', b'{"error": {"message": {}}}'])
def test_error_bodies_of_any_form_are_read(llm, server, scripted, attempt, key, body: bytes) -> None:
    server.script = [scripted.ScriptedResponse(status=400, raw=body)]
    assert "refused the request with 400" in error_of(llm, attempt, LLMError, key)


def test_the_text_of_a_server_is_cleaned(llm, server, scripted, attempt, key) -> None:
    server.script = [scripted.failing(400, "\x1b[31mred\r\n\u202e" + "x" * 5000 + key)]
    said = error_of(llm, attempt, LLMError, key)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert len(said) < MAX_QUOTE_LENGTH + 200


def test_the_key_is_removed_before_the_text_is_shortened(key) -> None:
    assert key[:8] not in clean("x" * (MAX_QUOTE_LENGTH - 10) + key, key)


def test_the_key_is_removed_in_upper_case(key) -> None:
    assert clean(f"bad key {key.upper()}!", key) == "bad key [key]!"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "86400"}, 120.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e999"}, 120.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(headers) == wait


def test_the_wait_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < (retry_after_s({"retry-after": soon}) or 0) <= 60


def test_the_wait_is_part_of_the_error(llm, server, scripted, attempt) -> None:
    server.script = [scripted.failing(429, "slow down", retry_after="3")]
    with pytest.raises(TransientError) as caught:
        attempt(llm)
    assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), TimeoutError("not the deadline"), KeyError("x")])
def test_an_exception_of_the_program_is_not_translated(llm, key, error: Exception) -> None:
    async def attempt() -> None:
        async with llm.connect() as session, session.errors.attempt():
            raise error

    with pytest.raises(type(error)):
        asyncio.run(attempt())
