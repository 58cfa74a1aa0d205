"""OpenAI's models, and any server that speaks OpenAI's chat completions."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.llm.providers.base import Api, BatchAPI, ProviderLLM
from alchemist_exp.llm.providers.errors import named, sorted_faults
from alchemist_exp.llm.providers.parsing import fields_of, finish_of, items_of, parsed, sendable, text_of, usage_of
from alchemist_exp.llm.types import FinishReason, Request, Response, TransientError, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

VENDOR_URL = "https://api.openai.com/v1"
PLACEHOLDER = "none"
"""Sent as the key to servers that want none."""


@dataclass(frozen=True)
class OpenAIClient:
    """One attempt each; `server` is the vendor's client, `key` what must not be shown."""

    llm: "OpenAILLM"
    server: "AsyncOpenAI"
    key: str

    async def complete(self, request: Request) -> Response:
        """See `Client.complete`."""
        import openai

        body = payload(self.llm, request)
        async with sorted_faults(self.llm, openai, self.key):
            if self.llm.spec.api is Api.responses:
                raw = await self.server.responses.with_raw_response.create(**body)
            else:
                raw = await self.server.chat.completions.with_raw_response.create(**body)
            return named(response_of(parsed(raw.http_response.content), model=request.model), self.key)


@component("llm", "openai")
@dataclass(kw_only=True)
class OpenAILLM(ProviderLLM):
    """OpenAI's API: chat completions or responses, as the model's card says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spec.api not in (Api.chat, Api.responses):
            raise ConfigError(
                f"llm.spec.api is {self.spec.api.value}; chat or responses is needed for llm={self.name}."
            )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[OpenAIClient]:
        """See `LLM.connect`. Only llm.base_url names another server: replies are kept under it."""
        import openai

        key = self.api_key()
        async with openai.AsyncOpenAI(
            api_key=key,
            base_url=self.base_url or VENDOR_URL,
            max_retries=0,
            timeout=self.timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        ) as server:
            yield OpenAIClient(self, server, key)

    def batches(self, client: Any) -> BatchAPI:
        """See `ProviderLLM.batches`."""
        from alchemist_exp.llm.providers.openai_batch import OpenAIBatches

        return OpenAIBatches(self, client.server, client.key)


@component("llm", "openai_compatible")
@dataclass(kw_only=True)
class OpenAICompatibleLLM(OpenAILLM):
    """A server of your own, or a gateway, at base_url. The key is sent where its variable is set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_url is None:
            raise ConfigError("llm.base_url is null; give the server's address, as in http://127.0.0.1:8000/v1")

    def api_key(self) -> str:
        """The key from the environment, else a placeholder."""
        return super().api_key() if os.environ.get(self.api_key_env, "").strip() else PLACEHOLDER


def payload(llm: ProviderLLM, request: Request) -> dict[str, Any]:
    """What is sent to ask `request`: the body, and the keyword arguments of the vendor's client."""
    asked = request.parameters
    responses = llm.spec.api is Api.responses
    body: dict[str, Any] = {
        "model": request.model,
        "input" if responses else "messages": [
            {"role": message.role.value, "content": sendable(message.text)} for message in request.messages
        ],
        llm.spec.token_parameter: asked["max_output_tokens"],
    }
    if "temperature" in asked:
        body["temperature"] = asked["temperature"]
    if "seed" in asked:
        body["seed"] = asked["seed"] + request.sample
    if "schema" in asked:
        held = {"name": "reply", "strict": True, "schema": asked["schema"]}
        if responses:
            body["text"] = {"format": {"type": "json_schema", **held}}
        else:
            body["response_format"] = {"type": "json_schema", "json_schema": held}
    if responses:
        body["store"] = False
    return body


def response_of(body: Any, *, model: str = "unknown") -> Response:
    """The response in a reply of either API. model: its name where the reply gives none. Unanswered when broken."""
    reply = fields_of(body)
    failure = fields_of(reply.get("error"))
    if failure or reply.get("status") in ("failed", "cancelled", "queued", "in_progress"):
        raise TransientError(f"the model failed ({text_of(failure.get('message')) or reply.get('status')})")
    if "output" in reply:
        text, finish = _responses_text(reply)
    elif choices := items_of(reply.get("choices")):
        text, finish = _chat_text(choices[0])
    else:
        raise TransientError("the reply has neither choices nor output")
    return Response(
        text=text,
        model=text_of(reply.get("model")) or model,
        finish_reason=finish,
        usage=_usage(fields_of(reply.get("usage"))),
    )


def _chat_text(choice: Mapping[str, Any]) -> tuple[str, FinishReason]:
    message = fields_of(choice.get("message"))
    refusal, reason = text_of(message.get("refusal")), choice.get("finish_reason")
    text = text_of(message.get("content")) or refusal
    return text, finish_of(text, truncated=reason == "length", refused=bool(refusal) or reason == "content_filter")


def _responses_text(reply: Mapping[str, Any]) -> tuple[str, FinishReason]:
    parts = [part for item in items_of(reply["output"]) for part in items_of(item.get("content"))]
    refusal = "".join(text_of(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    text = "".join(text_of(part.get("text")) for part in parts if part.get("type") == "output_text") or refusal
    reason = fields_of(reply.get("incomplete_details")).get("reason")
    refused = bool(refusal) or reason == "content_filter"
    return text, finish_of(text, truncated=reply.get("status") == "incomplete", refused=refused)


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    """Both APIs' names of the same counts."""
    asked, given = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    read = fields_of(usage.get(f"{asked}_tokens_details"))
    written = fields_of(usage.get(f"{given}_tokens_details"))
    return usage_of(
        total=usage.get(f"{asked}_tokens"),
        cached=read.get("cached_tokens"),
        cache_write=read.get("cache_write_tokens"),
        output=usage.get(f"{given}_tokens"),
        reasoning=written.get("reasoning_tokens"),
    )
