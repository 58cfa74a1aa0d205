"""What is asked of an LLM and what comes back.

A request says everything that alters the reply, so its key is a sound address for the cache. No key or secret is ever
part of a request.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import key_of


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question. `sample` tells apart several draws for the same question."""

    provider: str
    model: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0

    @property
    def key(self) -> str:
        """The address of the reply: provider, model, messages, parameters and sample."""
        return key_of("reply", self)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens as the server counted them.

    input_tokens: all of the question; of these cached_tokens were read from the vendor's prompt cache and
    cache_write_tokens written to it. output_tokens: all of the reply; of these reasoning_tokens are not shown.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class FinishReason(StrEnum):
    """Why a reply ended. Only `COMPLETE` replies are cached."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    EMPTY = "empty"
    FAILED = "failed"
    """A batch brought none, at no cost."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One reply.

    model: as the server names it. usage: None where it was not metered. batch: whether a batch API, which is cheaper,
    gave it.
    """

    text: str
    model: str
    finish_reason: FinishReason
    usage: Usage | None
    batch: bool = False
    from_cache: bool = False


@dataclass(frozen=True, kw_only=True)
class LLMCall:
    """A request and the response to it.

    Attributes:
        request: What was sent.
        response: The last response. It is usable if its `finish_reason` is COMPLETE.
        incomplete_responses: Earlier responses to the same request that were paid for and could not be used.

    """

    request: Request
    response: Response
    incomplete_responses: tuple[Response, ...] = ()


@dataclass(kw_only=True)
class Price:
    """USD per million tokens, with the date or place the figures are from.

    cached_input_usd_per_million, cache_write_usd_per_million: None where they cost what other input does.
    batch_factor: what a batch API asks of the price.
    """

    input_usd_per_million: float = MISSING
    output_usd_per_million: float = MISSING
    cached_input_usd_per_million: float | None = None
    cache_write_usd_per_million: float | None = None
    batch_factor: float = 1.0
    as_of: str = MISSING

    def __post_init__(self) -> None:
        for price in (
            self.input_usd_per_million,
            self.output_usd_per_million,
            self.cached_input_usd_per_million,
            self.cache_write_usd_per_million,
            self.batch_factor,
        ):
            if price is not None and not 0 <= price < math.inf:
                raise ConfigError(f"llm.price has {price}; USD per million tokens, 0 or more, are needed.")

    def usd(self, usage: Usage, *, batch: bool = False) -> float:
        """The price of `usage`."""
        plain_input = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        tokens = (
            plain_input * self.input_usd_per_million
            + usage.cached_tokens * _or(self.cached_input_usd_per_million, self.input_usd_per_million)
            + usage.cache_write_tokens * _or(self.cache_write_usd_per_million, self.input_usd_per_million)
            + usage.output_tokens * self.output_usd_per_million
        )
        return tokens / 1e6 * (self.batch_factor if batch else 1.0)


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price


class TransientError(Exception):
    """No reply came this time, and another attempt may bring one.

    after_s: the wait the server asks for. perhaps_paid: whether the server may have written a reply that got lost.
    """

    def __init__(self, reason: str, after_s: float | None = None, *, perhaps_paid: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.perhaps_paid = perhaps_paid


class ProviderClient(Protocol):
    """An open connection to a provider. Used by one event loop."""

    async def complete(self, request: Request) -> Response:
        """One attempt. Unanswered when another may succeed, LLMError, one sentence with the cure, when none can."""


@dataclass(kw_only=True)
class LLM(Component, ABC):
    """An llm group member. replays: whether its replies are recordings, which cost nothing and are not cached.

    price: None where it is not known; no cost is given then.
    """

    replays: ClassVar[bool] = False
    model: str = MISSING
    price: Price | None = MISSING

    @property
    def encoding(self) -> str | None:
        """The tokenizer by which its tokens are counted before it is asked; None where there is none."""
        return None

    @property
    def in_batches(self) -> bool:
        """Whether it is asked for rows through a batch API."""
        return False

    @property
    def asks_for_variety(self) -> bool:
        """Whether a prompt has to ask for a reply unlike those already given, since none would differ otherwise."""
        return False

    @abstractmethod
    def request(
        self,
        system: str,
        prompt: str,
        *,
        sample: int = 0,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
    ) -> Request:
        """The request that asks `prompt`.

        schema: a JSON schema of the reply, for models that can be held to one. max_output_tokens: where that is fewer
        than the configured ones.
        """

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[ProviderClient]:
        """A client, open inside the context."""
