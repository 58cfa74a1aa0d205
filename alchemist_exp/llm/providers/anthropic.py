"""Anthropic's models."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.llm.providers.base import Api, BatchAPI, ProviderLLM
from alchemist_exp.llm.providers.errors import named, sorted_faults
from alchemist_exp.llm.providers.parsing import (
    count_of,
    fields_of,
    finish_of,
    items_of,
    parsed,
    sendable,
    text_of,
    usage_of,
)
from alchemist_exp.llm.types import Request, Response, Role, TransientError, Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

VENDOR_URL = "https://api.anthropic.com"


@dataclass(frozen=True)
class AnthropicClient:
    """One attempt each; `server` is the vendor's client, `key` what must not be shown."""

    llm: "AnthropicLLM"
    server: "AsyncAnthropic"
    key: str

    async def complete(self, request: Request) -> Response:
        """See `Client.complete`."""
        import anthropic

        body = payload(self.llm, request)
        # The vendor's client knows no temperature; models that take one read it from the body all the same.
        apart = {"temperature": body.pop("temperature")} if "temperature" in body else None
        async with sorted_faults(self.llm, anthropic, self.key):
            raw = await self.server.messages.with_raw_response.create(**body, extra_body=apart)
            return named(response_of(parsed(await raw.read()), model=request.model), self.key)


@component("llm", "anthropic")
@dataclass(kw_only=True)
class AnthropicLLM(ProviderLLM):
    """Anthropic's messages API."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spec.api is not Api.messages:
            raise ConfigError(f"llm.spec.api is {self.spec.api.value}; messages is needed for llm={self.name}.")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AnthropicClient]:
        """See `LLM.connect`. Only llm.base_url names another server: replies are kept under it."""
        import anthropic

        key = self.api_key()
        async with anthropic.AsyncAnthropic(
            api_key=key,
            base_url=self.base_url or VENDOR_URL,
            max_retries=0,
            timeout=self.timeout_s,
            http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False),
        ) as server:
            yield AnthropicClient(self, server, key)

    def batches(self, client: Any) -> BatchAPI:
        """See `ProviderLLM.batches`."""
        from alchemist_exp.llm.providers.anthropic_batch import AnthropicBatches

        return AnthropicBatches(self, client.server, client.key)


def payload(llm: ProviderLLM, request: Request) -> dict[str, Any]:
    """The body that asks `request`."""
    asked = request.parameters
    system = "\n\n".join(sendable(message.text) for message in request.messages if message.role is Role.SYSTEM)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [
            {"role": message.role.value, "content": sendable(message.text)}
            for message in request.messages
            if message.role is not Role.SYSTEM
        ],
        llm.spec.token_parameter: asked["max_output_tokens"],
    }
    if system:
        body["system"] = system
    if "temperature" in asked:
        body["temperature"] = asked["temperature"]
    if "schema" in asked:
        body["output_config"] = {"format": {"type": "json_schema", "schema": asked["schema"]}}
    return body


def response_of(body: Any, *, model: str = "unknown") -> Response:
    """The response in a message. model: its name where the reply gives none. Unanswered when it is broken."""
    reply = fields_of(body)
    if not isinstance(reply.get("content"), list):
        raise TransientError("the reply has no content")
    text = "".join(text_of(block.get("text")) for block in items_of(reply["content"]) if block.get("type") == "text")
    reason = reply.get("stop_reason")
    finish = finish_of(
        text, truncated=reason in ("max_tokens", "model_context_window_exceeded"), refused=reason == "refusal"
    )
    return Response(
        text=text,
        model=text_of(reply.get("model")) or model,
        finish_reason=finish,
        usage=_usage(fields_of(reply.get("usage"))),
    )


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    """The vendor counts apart what was read from its cache and what was written there."""
    plain, cached = count_of(usage.get("input_tokens")), count_of(usage.get("cache_read_input_tokens")) or 0
    written = count_of(usage.get("cache_creation_input_tokens")) or 0
    return usage_of(
        total=None if plain is None else plain + cached + written,
        cached=cached,
        cache_write=written,
        output=usage.get("output_tokens"),
        reasoning=fields_of(usage.get("output_tokens_details")).get("thinking_tokens"),
    )
