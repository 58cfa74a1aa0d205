"""Anthropic's models."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
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
from alchemist_exp.llm.types import Request, Response, Role, TransientError, Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

ANTHROPIC_URL = "https://api.anthropic.com"

ERROR_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each error type. Results of batches hold only the type."""


@component("llm", "anthropic")
@dataclass(kw_only=True)
class AnthropicLLM(ProviderLLM):
    """Anthropic's messages API."""

    default_url = ANTHROPIC_URL

    def __post_init__(self) -> None:
        """Check the values and the model's API."""
        super().__post_init__()
        if self.spec.api != "messages":
            raise ConfigError(f"llm.spec.api is {self.spec.api}; expected messages with llm={self.name}.")

    async def send(self, session: ProviderSession, request: Request) -> Response:
        """Send one request to the messages API; see `ProviderLLM.send`.

        Raises:
            TransientError: The response cannot be read.
            anthropic.APIError: The request failed.

        """
        body = payload(self, request)
        # The SDK's method has no parameter for the temperature, which older models accept in the body.
        extra = {"temperature": body.pop("temperature")} if "temperature" in body else None
        raw = await session.client.messages.with_raw_response.create(**body, extra_body=extra)
        return response_of(parse_json(await raw.read()), model=request.model)

    def open_client(self, api_key: str) -> AbstractAsyncContextManager["AsyncAnthropic"]:
        """Open the SDK's client, without its retries and redirects.

        Args:
            api_key: The API key.

        Returns:
            The client, which is closed with its context.

        """
        import anthropic

        # Imported here: its HTTP library takes as long to import as the SDK.
        from alchemist_exp.llm.providers.bounded_http import client_options

        # Always an explicit address: the SDK would read ANTHROPIC_BASE_URL, which is not part of the cache's keys.
        return anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=self.base_url or self.default_url,
            max_retries=0,
            timeout=self.timeout_s,
            http_client=anthropic.DefaultAsyncHttpxClient(**client_options(api_key, foreign=self.is_foreign)),
        )

    def describe_error(self, error: Exception) -> ProviderFailure | None:
        """Describe an exception of Anthropic's SDK; see `ProviderLLM.describe_error`."""
        import anthropic

        return describe_sdk_error(anthropic, error)

    def batch_api(self, session: ProviderSession) -> "AnthropicBatchAPI":
        """Return Anthropic's batch API for an open connection."""
        return AnthropicBatchAPI(self, session)


def payload(llm: ProviderLLM, request: Request) -> dict[str, Any]:
    """Return the body of a request.

    Args:
        llm: The member, whose model specification names the token parameter.
        request: What to send.

    Returns:
        The body.

    """
    parameters = request.parameters
    system = "\n\n".join(encodable(message.text) for message in request.messages if message.role is Role.SYSTEM)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [
            {"role": message.role.value, "content": encodable(message.text)}
            for message in request.messages
            if message.role is not Role.SYSTEM
        ],
        llm.spec.token_parameter: parameters["max_output_tokens"],
    }
    if system:
        body["system"] = system
    if "temperature" in parameters:
        body["temperature"] = parameters["temperature"]
    if "schema" in parameters:
        body["output_config"] = {"format": {"type": "json_schema", "schema": parameters["schema"]}}
    return body


def response_of(body: Any, *, model: str = "unknown") -> Response:
    """Read a response of the messages API.

    Args:
        body: The parsed JSON of the response, or an object of the SDK.
        model: The model's name, if the response has none.

    Returns:
        The response.

    Raises:
        TransientError: The body is not a response.

    """
    fields = as_mapping(body)
    if not isinstance(fields.get("content"), list):
        raise TransientError("the response has no content")
    blocks = as_mappings(fields["content"])
    text = "".join(as_text(block.get("text")) for block in blocks if block.get("type") == "text")
    reason = fields.get("stop_reason")
    return Response(
        text=text,
        model=as_text(fields.get("model")) or model,
        finish_reason=finish_reason_of(
            text, truncated=reason in ("max_tokens", "model_context_window_exceeded"), refused=reason == "refusal"
        ),
        usage=_read_usage(as_mapping(fields.get("usage"))),
    )


def _read_usage(usage: Mapping[str, Any]) -> Usage | None:
    """Read the token counts. The API's input_tokens leave out what was read from and written to its cache."""
    uncached, cached = as_count(usage.get("input_tokens")), as_count(usage.get("cache_read_input_tokens")) or 0
    written = as_count(usage.get("cache_creation_input_tokens")) or 0
    return usage_of(
        input_tokens=None if uncached is None else uncached + cached + written,
        output_tokens=usage.get("output_tokens"),
        cached=cached,
        cache_write=written,
        reasoning=as_mapping(usage.get("output_tokens_details")).get("thinking_tokens"),
    )


class AnthropicBatchAPI:
    """Anthropic's batch API; see `BatchAPI`. It keeps no names, so a batch whose id did not arrive cannot be found."""

    can_find = False

    def __init__(self, llm: ProviderLLM, session: ProviderSession) -> None:
        """Use an open connection, with a longer time limit for transfers."""
        self._llm = llm
        self._errors = session.errors
        self._transfer_timeout_s = max(llm.timeout_s, TRANSFER_TIMEOUT_S)
        # A client that retries a lost request would submit a batch twice.
        self._client = session.client.with_options(timeout=self._transfer_timeout_s, max_retries=0)

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """Create a batch of the requests; the mark is not sent.

        Returns:
            The id of the batch.

        """
        entries: list[Any] = [{"custom_id": r.key, "params": payload(self._llm, r)} for r in requests]
        async with self._errors.attempt(timeout_s=self._transfer_timeout_s, not_found=UNKNOWN_BATCH):
            created = await self._client.messages.batches.with_raw_response.create(requests=entries)
            if batch_id := as_text(as_mapping(parse_json(await created.read())).get("id")):
                return batch_id
        raise TransientError("the response has no id")

    async def find(self, mark: str) -> str | None:
        """Return None: the API cannot search by mark."""
        return None

    async def poll(self, batch_id: str) -> tuple[bool, int]:
        """Ask for the batch's status and counts.

        Returns:
            Whether it has ended, and the number of requests that are done: 0 until all are.

        """
        state = await self._retrieve(batch_id)
        counts = as_mapping(state.get("request_counts"))
        n_done = sum(as_count(counts.get(name)) or 0 for name in ("succeeded", "errored", "canceled", "expired"))
        return state.get("processing_status") == "ended", n_done

    async def results(self, batch_id: str) -> BatchResults:
        """Download the results.

        Raises:
            LLMError: The server, which keeps results for a limited time, no longer has them.

        """
        if not (await self._retrieve(batch_id)).get("results_url"):
            raise LLMError("the server no longer has its results")
        async with self._errors.attempt(timeout_s=self._transfer_timeout_s, not_found=UNKNOWN_BATCH):
            lines = await self._client.messages.batches.results(batch_id)
            raw = await lines.http_response.aread()
        return read_results(raw, self._read_line, errors=self._errors, missing_reason="the batch ended without it")

    def _read_line(self, line: Mapping[str, Any]) -> Response:
        result = as_mapping(line.get("result"))
        if result.get("type") == "succeeded":
            return response_of(result.get("message"), model=self._llm.model)
        body = as_mapping(result.get("error"))
        error = as_mapping(body.get("error"))
        if not error:
            raise TransientError(f"the request {as_text(result.get('type')) or 'failed'} in the batch")
        status = ERROR_STATUSES.get(as_text(error.get("type")), 500)
        raise self._errors.classify(ProviderFailure(status=status, body=body))

    async def _retrieve(self, batch_id: str) -> Mapping[str, Any]:
        async with self._errors.attempt(not_found=UNKNOWN_BATCH):
            raw = await self._client.messages.batches.with_raw_response.retrieve(batch_id)
            return as_mapping(parse_json(await raw.read()))
