"""The base class of every provider: the settings in conf/llm/_provider.yaml, requests, and connections.

API keys come from environment variables and are never a field, since fields are written to records and loggers.
"""

import os
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

from omegaconf import MISSING

from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.secrets import MIN_LENGTH
from alchemist_exp.llm.providers.base_url import check_base_url
from alchemist_exp.llm.providers.batch_api import BatchAPI
from alchemist_exp.llm.providers.errors import ErrorTranslator, ProviderFailure, describe_standard_error
from alchemist_exp.llm.providers.model_spec import ModelSpec
from alchemist_exp.llm.providers.response_limit import max_response_bytes, response_limit
from alchemist_exp.llm.types import LLM, Message, Price, Request, Response, Role


class CacheMode(Enum):
    """How the response cache is used."""

    use = "use"  # call the LLM for what is not cached
    refresh = "refresh"  # call the LLM for every request, and overwrite the cache
    only = "only"  # never call the LLM; a response that is not cached is an error


class Diversity(Enum):
    """How several responses to one prompt differ."""

    sampling = "sampling"  # by the temperature
    prompt = "prompt"  # each prompt shows the earlier programs and asks for another approach
    auto = "auto"  # sampling if the model accepts a temperature, else prompt


@dataclass(frozen=True, kw_only=True)
class ProviderSession:
    """An open connection to a provider; its `complete` is the one of `ProviderClient`.

    Attributes:
        llm: The member whose settings apply.
        client: The SDK's client, or whatever the provider's `open_client` yields.
        api_key: The API key.
        errors: The translator of errors.

    """

    llm: "ProviderLLM"
    client: Any
    api_key: str
    errors: ErrorTranslator

    async def complete(self, request: Request) -> Response:
        """Make one attempt.

        Args:
            request: What to send.

        Returns:
            The response, whatever its finish reason.

        Raises:
            TransientError: Another attempt may succeed.
            LLMError: No attempt can succeed; the message says how to fix it.

        """
        with response_limit(max_response_bytes(request.parameters["max_output_tokens"])):
            async with self.errors.attempt():
                response = self.errors.without_key(await self.llm.send(self, request))
                return replace(response, model=response.model or request.model)


@dataclass(kw_only=True)
class ProviderLLM(LLM):
    """A model behind a network. conf/llm/_provider.yaml holds the values of the fields and explains each.

    A provider is a subclass in one module, registered with `@component("llm", NAME)`, and conf/llm/NAME.yaml. Only
    `send` must be written. Retries, rate limits, the budget and the cache are applied around it.

    Attributes:
        default_url: The address of the provider, for messages and if `base_url` is None; empty if it is not known.
        spec: What the model can do and costs: a ModelSpec, or a mapping from YAML that becomes one.

    Example:
        >>> from alchemist_exp.llm.types import FinishReason
        >>> @dataclass(kw_only=True)
        ... class ShoutLLM(ProviderLLM):
        ...     '''Returns each prompt in capital letters.'''
        ...     async def send(self, session, request):
        ...         text = request.messages[-1].text.upper()
        ...         return Response(text=text, model="shout-1", finish_reason=FinishReason.COMPLETE, usage=None)
        >>> ShoutLLM.__abstractmethods__
        frozenset()

    """

    default_url: ClassVar[str] = ""
    spec: Any = MISSING
    temperature: float | None = MISSING
    max_output_tokens: int = MISSING
    seed: int | None = MISSING
    diversity: Diversity = MISSING
    api_key_env: str = MISSING
    base_url: str | None = MISSING
    timeout_s: float = MISSING
    max_attempts: int = MISSING
    max_in_flight: int = MISSING
    requests_per_minute: int | None = MISSING
    tokens_per_minute: int | None = MISSING
    cache: CacheMode = MISSING
    retry_failed: bool = MISSING
    batch: bool = MISSING

    def __post_init__(self) -> None:
        """Check the values, and convert those that an interpolation gave as mappings."""
        # "http://h/v1/" and "http://h/v1" are one server; the form without the final slash is in the cache's keys.
        self.base_url = None if self.base_url is None else self.base_url.rstrip("/")
        self.spec = self.spec if isinstance(self.spec, ModelSpec) else ModelSpec.from_mapping(self.spec)
        self.price = Price(**self.price) if isinstance(self.price, Mapping) else self.price
        for key, minimum in (
            ("max_output_tokens", 1),
            ("timeout_s", 0.1),
            ("max_attempts", 1),
            ("max_in_flight", 1),
            ("requests_per_minute", 1),
            ("tokens_per_minute", 1),
            ("temperature", 0),
        ):
            value = getattr(self, key)
            if value is not None and not minimum <= value < 1e9:
                raise ConfigError(f"llm.{key} is {value}; expected a number from {minimum:g} to 1e9.")
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.api_key_env, re.IGNORECASE):
            # The value is not repeated: it may be the key itself.
            raise ConfigError(
                "llm.api_key_env is not the name of an environment variable; export the key and give the variable's "
                "name."
            )
        if self.base_url is not None:
            check_base_url(self.base_url, self.api_key_env)
        if self.diversity is Diversity.sampling and not self.samples:
            raise ConfigError(
                f"llm.diversity is sampling, but {self.model} is called without a temperature; use prompt or auto."
            )
        if self.batch and type(self).batch_api is ProviderLLM.batch_api:
            raise ConfigError(f"llm.batch is true, but llm={self.name} has no code for batches; use llm.batch=false.")
        if self.batch and not self.spec.batch:
            raise ConfigError(
                f"llm.batch is true, but the specification of {self.model} says that it has no batch API; use "
                "llm.batch=false."
            )

    @abstractmethod
    async def send(self, session: ProviderSession, request: Request) -> Response:
        """Send one request and read its response.

        Args:
            session: The open connection, with the API key.
            request: What to send. Its parameters hold max_output_tokens and, only if the model accepts them,
                temperature, seed and schema.

        Returns:
            The response, whatever its finish reason.

        Raises:
            TransientError: The response cannot be read.
            Exception: Whatever the client raises; `describe_error` says what it means.

        """

    def describe_error(self, error: Exception) -> ProviderFailure | None:
        """Describe an exception that `send` or the batch API raised.

        By default the exceptions of urllib.request and http.client are understood. A provider with an SDK overrides
        this, for example with `describe_sdk_error`.

        Args:
            error: The exception.

        Returns:
            The failed attempt, or None for an exception that is not about the provider or the network.

        """
        return describe_standard_error(error)

    def open_client(self, api_key: str) -> AbstractAsyncContextManager[Any]:
        """Open the SDK's client; by default there is none.

        Args:
            api_key: The API key.

        Returns:
            An async context manager that yields the client of the session.

        """
        return nullcontext()

    def batch_api(self, session: ProviderSession) -> BatchAPI:
        """Return the provider's batch API; by default there is none.

        Args:
            session: The open connection.

        Returns:
            The batch API behind it.

        Raises:
            ConfigError: The provider has no batch API.

        """
        raise ConfigError(f"llm={self.name} has no code for batches; use llm.batch=false.")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ProviderSession]:
        """Open a connection that is closed with the context.

        Raises:
            LLMError: There is no API key.

        """
        api_key = self.api_key()
        errors = ErrorTranslator(
            model=self.model,
            api_key_env=self.api_key_env,
            # A placeholder such as "none" is no secret, and replacing it would garble responses.
            api_key=api_key if len(api_key) >= MIN_LENGTH else "",
            timeout_s=self.timeout_s,
            address=self.base_url or self.default_url,
            describe=self.describe_error,
        )
        async with self.open_client(api_key) as client:
            yield ProviderSession(llm=self, client=client, api_key=api_key, errors=errors)

    def check(self) -> None:
        """Check that the model is not retired and that an API key is set, unless only the cache is used.

        Raises:
            LLMError: The model cannot be called.

        """
        if self.cache is CacheMode.only:
            return
        if self.spec.retired is not None and self.spec.retired <= datetime.now(UTC).date():
            raise LLMError(
                f"{self.model} was switched off on {self.spec.retired}; use its cached or recorded responses "
                "(llm.cache=only, llm=recorded) or name another llm.model."
            )
        self.api_key()

    def api_key(self) -> str:
        """Return the API key from the environment variable `api_key_env`.

        Returns:
            The key.

        Raises:
            LLMError: The variable is not set or holds an invalid key.

        """
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise LLMError(f"{self.api_key_env} is not set; export it, or name its variable with llm.api_key_env=NAME.")
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise LLMError(
                f"{self.api_key_env} contains a character that is invalid in a key; copy the key again and export it."
            )
        return key

    def cache_key(self) -> dict[str, object]:
        """Return the values that alter responses; limits, prices and the cache mode do not."""
        return {
            "name": self.name,
            "model": self.model,
            "diversity": self.diversity.value,
            "structured_output": self.spec.structured_output,
            **self._parameters(),
        }

    @property
    def is_foreign(self) -> bool:
        """Whether requests go to another server than the provider's own."""
        return self.base_url not in (None, self.default_url)

    @property
    def encoding(self) -> str | None:
        """The tokenizer that the model specification names."""
        encoding: str | None = self.spec.encoding
        return encoding

    @property
    def uses_batch_api(self) -> bool:
        """Whether requests about rows go through a batch API."""
        return self.batch

    @property
    def samples(self) -> bool:
        """Whether responses are sampled at a temperature, so that two responses to one prompt differ."""
        return bool(self.spec.temperature and self.temperature)

    @property
    def prompts_for_variety(self) -> bool:
        """Whether a prompt must ask for a program unlike the earlier ones."""
        return self.diversity is Diversity.prompt or (self.diversity is Diversity.auto and not self.samples)

    def request(
        self,
        system: str,
        prompt: str,
        *,
        sample: int = 0,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
    ) -> Request:
        """Build the request for a prompt; see `LLM.request`.

        Returns:
            The request. Only values that the model accepts are part of its parameters.

        """
        parameters = self._parameters()
        if schema is not None and self.spec.structured_output:
            parameters["schema"] = schema
        if max_output_tokens is not None:
            parameters["max_output_tokens"] = min(max_output_tokens, self.max_output_tokens)
        return Request(
            provider=self.name,
            model=self.model,
            messages=(Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt)),
            parameters=parameters,
            sample=sample,
        )

    def _parameters(self) -> dict[str, Any]:
        """Return the parameters of every request."""
        parameters: dict[str, Any] = {"max_output_tokens": self.max_output_tokens}
        if self.spec.temperature and self.temperature is not None:
            parameters["temperature"] = self.temperature
        if self.spec.seed and self.seed is not None:
            parameters["seed"] = self.seed
        # Another server may give another model the same name, so its address is part of the request.
        if self.base_url is not None:
            parameters["base_url"] = self.base_url
        return parameters
