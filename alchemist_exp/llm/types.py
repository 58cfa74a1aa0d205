"""The data types of an LLM call, and the base class of every member of the configuration group llm.

A request holds every value that alters the response, so its key is a valid address in the response cache. An API key
is never part of a request.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Protocol

from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.hashing import key_of


class Role(StrEnum):
    """The author of a message."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a prompt."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt for one model.

    The names of the fields are part of the key, so renaming one invalidates every cached response.

    Attributes:
        provider: The name of the llm member, for example "openai".
        model: The model's name at the provider.
        messages: The system message, then the user message.
        parameters: Every other value that alters the response, for example the temperature.
        sample: The number of the draw; several samples of one prompt are different requests.

    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0

    @cached_property
    def key(self) -> str:
        """The key of all fields: the address of the response in the cache."""
        return key_of("reply", self)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Token counts as the provider reported them.

    Attributes:
        input_tokens: All tokens of the prompt.
        output_tokens: All tokens of the response.
        cached_tokens: Those input tokens that the provider read from its own prompt cache.
        cache_write_tokens: Those input tokens that the provider wrote to its own prompt cache.
        reasoning_tokens: Those output tokens that are not part of the visible text.

    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Return the sum of each count."""
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class FinishReason(StrEnum):
    """Why a response ended. Only complete responses are cached."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"  # the token limit was reached
    REFUSED = "refused"  # the model or a content filter declined
    EMPTY = "empty"  # no text besides white space
    FAILED = "failed"  # a batch ended without a response, at no cost


@dataclass(frozen=True, kw_only=True)
class Response:
    """What an LLM returned for one request.

    Attributes:
        text: The generated text.
        model: The model's name as the provider reports it.
        finish_reason: Why the text ended.
        usage: The token counts, or None if the provider did not report them.
        batch: Whether it came through a batch API, which has a lower price.
        from_cache: Whether it was read from the response cache.

    """

    text: str
    model: str
    finish_reason: FinishReason
    usage: Usage | None
    batch: bool = False
    from_cache: bool = False

    @classmethod
    def without_text(cls, reason: str, *, model: str, finish_reason: FinishReason, batch: bool = False) -> "Response":
        """Return what stands for a response that the provider did not generate, at no cost.

        Args:
            reason: Why there is none, in one sentence.
            model: The model's name.
            finish_reason: REFUSED or FAILED.
            batch: Whether the request was sent through a batch API.

        Returns:
            A response whose text is the reason.

        """
        usage = Usage(input_tokens=0, output_tokens=0)
        return cls(text=reason, model=model, finish_reason=finish_reason, usage=usage, batch=batch)


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
    """Prices in USD per million tokens.

    Attributes:
        input_usd_per_million: Input tokens.
        output_usd_per_million: Output tokens.
        cached_input_usd_per_million: Input tokens read from the provider's prompt cache; None: as other input.
        cache_write_usd_per_million: Input tokens written to it; None: as other input.
        batch_factor: The factor on all prices through a batch API.
        as_of: The date and the source of the prices.

    """

    input_usd_per_million: float = MISSING
    output_usd_per_million: float = MISSING
    cached_input_usd_per_million: float | None = None
    cache_write_usd_per_million: float | None = None
    batch_factor: float = 1.0
    as_of: str = MISSING

    def __post_init__(self) -> None:
        """Check that no price is negative."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name != "as_of" and value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"llm.price.{f.name} is {value}; expected a number of 0 or more.")

    def usd(self, usage: Usage, *, batch: bool = False) -> float:
        """Return the price of some tokens.

        Args:
            usage: The token counts.
            batch: Whether they go through a batch API.

        Returns:
            The price in USD.

        """
        cached_price, write_price = self.cached_input_usd_per_million, self.cache_write_usd_per_million
        uncached = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        price_per_million = (
            uncached * self.input_usd_per_million
            + usage.cached_tokens * (self.input_usd_per_million if cached_price is None else cached_price)
            + usage.cache_write_tokens * (self.input_usd_per_million if write_price is None else write_price)
            + usage.output_tokens * self.output_usd_per_million
        )
        return price_per_million / 1e6 * (self.batch_factor if batch else 1.0)


class TransientError(Exception):
    """An attempt failed, and another attempt may succeed.

    Attributes:
        retry_after_s: The seconds to wait that the provider asks for, or None.
        maybe_billed: Whether the provider may have produced, and billed, a response that was lost.

    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, maybe_billed: bool = False) -> None:
        """Create the error with a reason of one line."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.maybe_billed = maybe_billed


class RequestRefusedError(LLMError):
    """The provider refuses one request, which is filtered or too long; others to the same model may succeed."""


class AccountError(LLMError):
    """No request can succeed until the API key or the credit of its account is replaced."""


class ResponseTooLargeError(LLMError):
    """A response is larger than any that the request allows; it was not read to its end and may be billed."""


class ProviderClient(Protocol):
    """An open connection to a provider, used by one event loop."""

    async def complete(self, request: Request) -> Response:
        """Make one attempt at a request.

        Args:
            request: What to send.

        Returns:
            The response, whatever its finish reason.

        Raises:
            TransientError: Another attempt may succeed.
            LLMError: No attempt can succeed; the message says how to fix it.

        """


@dataclass(kw_only=True)
class LLM(Component, ABC):
    """The base class of every member of the group llm; `ProviderLLM` is the base class of those behind a network.

    Attributes:
        replays: Whether the responses are recordings, which cost nothing and are not cached.
        model: The model's name.
        price: The model's prices, or None if they are unknown; then no cost is reported.

    Example:
        >>> import asyncio
        >>> from contextlib import nullcontext
        >>> class Echo(LLM):
        ...     '''Returns each prompt unchanged.'''
        ...     replays = True
        ...     def request(self, system, prompt, *, sample=0, schema=None, max_output_tokens=None):
        ...         messages = (Message(role=Role.USER, text=prompt),)
        ...         return Request(provider=self.name, model=self.model, messages=messages, sample=sample)
        ...     def connect(self):
        ...         return nullcontext(self)
        ...     async def complete(self, request):
        ...         text = request.messages[-1].text
        ...         return Response(text=text, model=self.model, finish_reason=FinishReason.COMPLETE, usage=None)
        >>> llm = Echo(name="echo", model="echo-1", price=None)
        >>> async def ask(prompt):
        ...     async with llm.connect() as client:
        ...         return await client.complete(llm.request("", prompt))
        >>> asyncio.run(ask("hello")).text
        'hello'

    """

    replays: ClassVar[bool] = False
    model: str = MISSING
    price: Price | None = MISSING

    @property
    def encoding(self) -> str | None:
        """The name of the tokenizer that counts tokens before a call, or None if there is none."""
        return None

    @property
    def uses_batch_api(self) -> bool:
        """Whether requests about rows go through a batch API."""
        return False

    @property
    def prompts_for_variety(self) -> bool:
        """Whether a prompt must ask for a response unlike the earlier ones, because sampling makes no difference."""
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
        """Build the request for a prompt.

        Args:
            system: The system message; may be empty.
            prompt: The user message.
            sample: The number of the draw.
            schema: A JSON schema of the response, for models that support one.
            max_output_tokens: A lower limit than the configured one.

        Returns:
            The request; nothing is sent.

        """

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[ProviderClient]:
        """Open a connection that is closed with the context.

        Returns:
            An async context manager that yields a client.

        """
