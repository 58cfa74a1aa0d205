"""OpenAI's models, and any server with OpenAI's chat completions API."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.llm.providers.base import ProviderLLM, ProviderSession
from alchemist_exp.llm.providers.batch_api import TRANSFER_TIMEOUT_S, UNKNOWN_BATCH, BatchResults, read_results
from alchemist_exp.llm.providers.errors import ProviderFailure, describe_sdk_error
from alchemist_exp.llm.providers.parsing import (
    as_count,
    as_mapping,
    as_mappings,
    as_text,
    encodable,
    finish_reason_of,
    parse_json,
    usage_of,
)
from alchemist_exp.llm.types import FinishReason, Request, Response, TransientError, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"

PLACEHOLDER_KEY = "none"
"""Sent to servers that need no key; the SDK demands one."""

MARK = "alchemist"
"""The key in a batch's metadata that holds the name of its batch job."""

PAGE_SIZE = 100
MAX_PAGES = 10
"""A batch is searched for among the newest PAGE_SIZE * MAX_PAGES ones."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@component("llm", "openai")
@dataclass(kw_only=True)
class OpenAILLM(ProviderLLM):
    """OpenAI's API: chat completions or responses, as the model specification says."""

    default_url = OPENAI_URL

    def __post_init__(self) -> None:
        """Check the values and the model's API."""
        super().__post_init__()
        if self.spec.api not in ("chat", "responses"):
            raise ConfigError(f"llm.spec.api is {self.spec.api}; expected chat or responses with llm={self.name}.")

    async def send(self, session: ProviderSession, request: Request) -> Response:
        """Send one request to the model's API; see `ProviderLLM.send`.

        Raises:
            TransientError: The response cannot be read.
            openai.APIError: The request failed.

        """
        api = session.client.responses if self.spec.api == "responses" else session.client.chat.completions
        raw = await api.with_raw_response.create(**payload(self, request))
        return response_of(parse_json(raw.http_response.content), model=request.model)

    def open_client(self, api_key: str) -> AbstractAsyncContextManager["AsyncOpenAI"]:
        """Open the SDK's client, without its retries and redirects.

        Args:
            api_key: The API key.

        Returns:
            The client, which is closed with its context.

        """
        import openai

        # Imported here: its HTTP library takes as long to import as the SDK.
        from alchemist_exp.llm.providers.bounded_http import client_options

        # Always an explicit address: the SDK would read OPENAI_BASE_URL, which is not part of the cache's keys.
        return openai.AsyncOpenAI(
            api_key=api_key,
            base_url=self.base_url or self.default_url,
            max_retries=0,
            timeout=self.timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(**client_options(api_key, foreign=self.is_foreign)),
        )

    def describe_error(self, error: Exception) -> ProviderFailure | None:
        """Describe an exception of OpenAI's SDK; see `ProviderLLM.describe_error`."""
        import openai

        return describe_sdk_error(openai, error)

    def batch_api(self, session: ProviderSession) -> "OpenAIBatchAPI":
        """Return OpenAI's batch API for an open connection."""
        return OpenAIBatchAPI(self, session)


@component("llm", "openai_compatible")
@dataclass(kw_only=True)
class OpenAICompatibleLLM(OpenAILLM):
    """Any server with OpenAI's chat completions API, at base_url. The API key is optional."""

    def __post_init__(self) -> None:
        """Check the values and the address."""
        super().__post_init__()
        if self.base_url is None:
            raise ConfigError("llm.base_url is null; give the server's address, as in http://127.0.0.1:8000/v1")

    def api_key(self) -> str:
        """Return the API key from the environment.

        Returns:
            The key, or a placeholder if its variable is not set.

        """
        return super().api_key() if os.environ.get(self.api_key_env, "").strip() else PLACEHOLDER_KEY


def payload(llm: ProviderLLM, request: Request) -> dict[str, Any]:
    """Return the body of a request, which is also the keyword arguments of the SDK's methods.

    Args:
        llm: The member, whose model specification names the API and its token parameter.
        request: What to send.

    Returns:
        The body.

    """
    parameters = request.parameters
    responses = llm.spec.api == "responses"
    body: dict[str, Any] = {
        "model": request.model,
        "input" if responses else "messages": [
            {"role": message.role.value, "content": encodable(message.text)} for message in request.messages
        ],
        llm.spec.token_parameter: parameters["max_output_tokens"],
    }
    if "temperature" in parameters:
        body["temperature"] = parameters["temperature"]
    if "seed" in parameters:
        body["seed"] = parameters["seed"] + request.sample
    if "schema" in parameters:
        schema = {"name": "reply", "strict": True, "schema": parameters["schema"]}
        if responses:
            body["text"] = {"format": {"type": "json_schema", **schema}}
        else:
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if responses:
        body["store"] = False
    return body


def response_of(body: Any, *, model: str = "unknown") -> Response:
    """Read a response of either API.

    Args:
        body: The parsed JSON of the response, or an object of the SDK.
        model: The model's name, if the response has none.

    Returns:
        The response.

    Raises:
        TransientError: The model failed, or the body is not a response.

    """
    fields = as_mapping(body)
    error = fields.get("error")
    if error or fields.get("status") in ("failed", "cancelled", "queued", "in_progress"):
        reason = as_text(error) or as_text(as_mapping(error).get("message")) or fields.get("status")
        raise TransientError(f"the model failed ({reason})")
    if "output" in fields:
        text, finish_reason = _read_output(fields)
    elif choices := as_mappings(fields.get("choices")):
        text, finish_reason = _read_choice(choices[0])
    else:
        raise TransientError("the response has neither choices nor output")
    return Response(
        text=text,
        model=as_text(fields.get("model")) or model,
        finish_reason=finish_reason,
        usage=_read_usage(as_mapping(fields.get("usage"))),
    )


def _read_choice(choice: Mapping[str, Any]) -> tuple[str, FinishReason]:
    """Read the text and the finish reason of chat completions."""
    message = as_mapping(choice.get("message"))
    refusal, reason = as_text(message.get("refusal")), choice.get("finish_reason")
    content = message.get("content")
    # Some servers send a list of parts; parts with reasoning are left out.
    parts = [part for part in as_mappings(content) if part.get("type", "text") in ("text", "output_text")]
    text = as_text(content) or "".join(as_text(part.get("text")) for part in parts) or refusal
    refused = bool(refusal) or reason == "content_filter"
    return text, finish_reason_of(text, truncated=reason == "length", refused=refused)


def _read_output(fields: Mapping[str, Any]) -> tuple[str, FinishReason]:
    """Read the text and the finish reason of the responses API."""
    parts = [part for item in as_mappings(fields["output"]) for part in as_mappings(item.get("content"))]
    refusal = "".join(as_text(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    text = "".join(as_text(part.get("text")) for part in parts if part.get("type") == "output_text") or refusal
    reason = as_mapping(fields.get("incomplete_details")).get("reason")
    refused = bool(refusal) or reason == "content_filter"
    return text, finish_reason_of(text, truncated=fields.get("status") == "incomplete", refused=refused)


def _read_usage(usage: Mapping[str, Any]) -> Usage | None:
    """Read the token counts, which the two APIs name differently."""
    prompt, output = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    input_details = as_mapping(usage.get(f"{prompt}_tokens_details"))
    output_details = as_mapping(usage.get(f"{output}_tokens_details"))
    return usage_of(
        input_tokens=usage.get(f"{prompt}_tokens"),
        output_tokens=usage.get(f"{output}_tokens"),
        cached=input_details.get("cached_tokens"),
        cache_write=input_details.get("cache_write_tokens"),
        reasoning=output_details.get("reasoning_tokens"),
    )


class OpenAIBatchAPI:
    """OpenAI's batch API; see `BatchAPI`.

    A file of requests is uploaded, and files of responses and of errors are downloaded. The metadata of a batch holds
    the name of its batch job, so a batch is found even if its id did not arrive.
    """

    can_find = True

    def __init__(self, llm: ProviderLLM, session: ProviderSession) -> None:
        """Use an open connection, with a longer time limit for transfers."""
        self._llm = llm
        self._errors = session.errors
        self._transfer_timeout_s = max(llm.timeout_s, TRANSFER_TIMEOUT_S)
        # A client that retries a lost request would submit a batch twice.
        self._client = session.client.with_options(timeout=self._transfer_timeout_s, max_retries=0)

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """Upload the requests and create a batch of them.

        Returns:
            The id of the batch.

        """
        url: Literal["/v1/responses", "/v1/chat/completions"]
        url = "/v1/responses" if self._llm.spec.api == "responses" else "/v1/chat/completions"
        lines = [
            json.dumps({"custom_id": r.key, "method": "POST", "url": url, "body": payload(self._llm, r)})
            for r in requests
        ]
        content = "".join(f"{line}\n" for line in lines).encode()
        async with self._errors.attempt(timeout_s=self._transfer_timeout_s, not_found=UNKNOWN_BATCH):
            uploaded = await self._client.files.with_raw_response.create(
                file=(f"alchemist-{mark}.jsonl", content), purpose="batch"
            )
            created = await self._client.batches.with_raw_response.create(
                input_file_id=_id_of(parse_json(uploaded.http_response.content)),
                endpoint=url,
                completion_window="24h",
                metadata={MARK: mark},
            )
            return _id_of(parse_json(created.http_response.content))

    async def find(self, mark: str) -> str | None:
        """Search the newest batches for the mark in their metadata.

        Returns:
            The id of the batch, or None if none of them has the mark.

        """
        after: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            async with self._errors.attempt(not_found=UNKNOWN_BATCH):
                listed = await self._client.batches.with_raw_response.list(limit=PAGE_SIZE, **after)
                page = as_mapping(parse_json(listed.http_response.content))
            batches = as_mappings(page.get("data"))
            for batch in batches:
                if as_mapping(batch.get("metadata")).get(MARK) == mark:
                    return _id_of(batch)
            if not batches or page.get("has_more") is not True:
                return None
            after = {"after": _id_of(batches[-1])}
        return None

    async def poll(self, batch_id: str) -> tuple[bool, int]:
        """Ask for the batch's status and counts.

        Returns:
            Whether it has ended, and the number of requests that are completed or failed.

        """
        state = await self._retrieve(batch_id)
        counts = as_mapping(state.get("request_counts"))
        n_done = (as_count(counts.get("completed")) or 0) + (as_count(counts.get("failed")) or 0)
        return state.get("status") in ENDED, n_done

    async def results(self, batch_id: str) -> BatchResults:
        """Download the file of responses and the file of errors.

        Returns:
            The results. A batch may have either file, both, or none if it failed as a whole.

        """
        state = await self._retrieve(batch_id)
        raw = b""
        for name in ("output_file_id", "error_file_id"):
            if file_id := as_text(state.get(name)):
                async with self._errors.attempt(timeout_s=self._transfer_timeout_s, not_found=UNKNOWN_BATCH):
                    raw += (await self._client.files.content(file_id)).content + b"\n"
        messages = [as_text(e.get("message")) for e in as_mappings(as_mapping(state.get("errors")).get("data"))]
        status = self._errors.clean(as_text(state.get("status")))
        reason = f"the batch ended as {status} without it" + "".join(f": {self._errors.clean(m)}" for m in messages[:1])
        return read_results(raw, self._read_line, errors=self._errors, missing_reason=reason)

    def _read_line(self, line: Mapping[str, Any]) -> Response:
        response, error = as_mapping(line.get("response")), as_mapping(line.get("error"))
        status = as_count(response.get("status_code"))
        if status is None or status < 200:
            raise TransientError(
                as_text(error.get("message")) or as_text(error.get("code")) or "a line without a response"
            )
        if status >= 400:
            body = as_mapping(response.get("body")) or error
            raise self._errors.classify(ProviderFailure(status=status, body=body))
        return response_of(response.get("body"), model=self._llm.model)

    async def _retrieve(self, batch_id: str) -> Mapping[str, Any]:
        async with self._errors.attempt(not_found=UNKNOWN_BATCH):
            raw = await self._client.batches.with_raw_response.retrieve(batch_id)
            return as_mapping(parse_json(raw.http_response.content))


def _id_of(value: Any) -> str:
    """Return the id of a file or batch."""
    identifier = as_text(as_mapping(value).get("id"))
    if not identifier:
        raise TransientError("the response has no id")
    return identifier
