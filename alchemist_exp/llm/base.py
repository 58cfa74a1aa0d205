"""What is asked of an LLM and what comes back.

A request says everything that alters the reply, so its key is a sound address for the cache. No key or secret is ever
part of a request.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

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
    """Tokens as the server counted them."""

    input_tokens: int
    output_tokens: int


class Finish(StrEnum):
    """Why a reply ended. Only `COMPLETE` replies are cached."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One reply. `model` is the one the server names; `usage` is None where it was not metered."""

    text: str
    model: str
    finish: Finish
    usage: Usage | None
    from_cache: bool = False


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its reply."""

    request: Request
    completion: Completion

    @property
    def asked_characters(self) -> int:
        """Length of all messages of the request."""
        return sum(len(message.text) for message in self.request.messages)


@dataclass(kw_only=True)
class Price:
    """USD per million tokens, with the date or place the figures are from."""

    input_usd_per_million: float = MISSING
    output_usd_per_million: float = MISSING
    as_of: str = MISSING

    def __post_init__(self) -> None:
        for price in (self.input_usd_per_million, self.output_usd_per_million):
            if not 0 <= price < math.inf:
                raise ConfigError(f"llm.price has {price}; USD per million tokens, 0 or more, are needed.")

    def usd(self, usage: Usage) -> float:
        """The price of `usage`."""
        tokens = usage.input_tokens * self.input_usd_per_million + usage.output_tokens * self.output_usd_per_million
        return tokens / 1e6


@dataclass(kw_only=True)
class LLM(Component, ABC):
    """An llm group member. replays: whether its replies are recordings, which cost nothing."""

    replays: ClassVar[bool] = False
    model: str = MISSING
    price: Price = MISSING

    @abstractmethod
    def request(self, system: str, prompt: str, *, sample: int = 0) -> Request:
        """The request that asks `prompt`."""

    @abstractmethod
    def complete(self, request: Request) -> Completion:
        """The reply to `request`. LLMError when there is none."""
