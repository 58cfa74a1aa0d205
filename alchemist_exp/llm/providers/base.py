"""What all providers with a price have in common: the model's card, the parameters of a request, the limits on asking.

Keys come from the environment alone and are never a field: fields reach records and loggers.
"""

import os
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Protocol

from omegaconf import MISSING

from alchemist_exp.core.errors import ConfigError, LLMError, unknown_name
from alchemist_exp.llm.types import LLM, Message, Price, Request, Response, Role, TransientError


class CacheMode(Enum):
    """use: ask for what is not cached. refresh: ask for all anew. only: ask for nothing, a miss is an error."""

    use = "use"
    refresh = "refresh"
    only = "only"


class Diversity(Enum):
    """How replies to one prompt differ: drawn at a temperature, asked for in the prompt, or (auto) what works."""

    sampling = "sampling"
    prompt = "prompt"
    auto = "auto"


class Api(Enum):
    """Which of a vendor's endpoints a model is asked through."""

    chat = "chat"
    responses = "responses"
    messages = "messages"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model can do and costs; conf/llm/models has one per known model.

    token_parameter: the name under which it takes the most tokens it may write. encoding: of its tokenizer, None where
    none is at hand. context_tokens, max_output_tokens: None where not known. retired: the day it is switched off, None
    where none is announced.
    """

    api: Api
    temperature: bool
    seed: bool
    structured_output: bool
    batch: bool
    token_parameter: str
    encoding: str | None
    context_tokens: int | None
    max_output_tokens: int | None
    retired: date | None
    price: Price | None


@dataclass(frozen=True, kw_only=True)
class BatchResults:
    """What an ended batch brought.

    answers: for each request's key its reply, Unanswered where another attempt may bring one, or LLMError where none
    can. unreadable: lines that made no sense. shortfall: why requests that are not among the answers were not reached.
    """

    answers: Mapping[str, Response | TransientError | LLMError]
    unreadable: int = 0
    shortfall: str = "the batch ended without it"


class BatchAPI(Protocol):
    """A provider's batch API. Used by one event loop.

    All raise Unanswered when another attempt may succeed, LLMError when none can. can_find: whether `find` can tell
    that a batch was never handed in.
    """

    can_find: bool

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """Hands `requests` in, each under its key, and returns the batch's id. mark: its name in our books."""

    async def find(self, mark: str) -> str | None:
        """The id of the batch that was handed in under `mark`; None where there is none or the API cannot tell."""

    async def finished(self, batch: str) -> tuple[bool, int]:
        """Whether the batch has ended, by whatever end, and how many requests of it are done."""

    async def results(self, batch: str) -> BatchResults:
        """What a batch that has ended brought."""


@dataclass(kw_only=True)
class ProviderLLM(LLM):
    """A model that is asked over the network; the YAML files in conf/llm hold the values and explain each."""

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
    batch: bool = MISSING

    def __post_init__(self) -> None:
        self.spec = _spec(self.spec)
        self.price = _price(self.price)
        for key, least in (
            ("max_output_tokens", 1),
            ("timeout_s", 0.1),
            ("max_attempts", 1),
            ("max_in_flight", 1),
            ("requests_per_minute", 1),
            ("tokens_per_minute", 1),
            ("temperature", 0),
        ):
            value = getattr(self, key)
            if value is not None and not least <= value < 1e9:
                raise ConfigError(f"llm.{key} is {value}; a number from {least:g} to 1e9 is needed.")
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.api_key_env, re.IGNORECASE):
            # Not repeated: it may be the key itself.
            raise ConfigError("llm.api_key_env is not a variable's name; export the key and give the variable's name.")
        if self.base_url is not None and set("@?#") & set(self.base_url):
            raise ConfigError(
                f"llm.base_url holds a password, a query or a fragment; leave it out and put the key into "
                f"{self.api_key_env}."
            )
        if self.base_url is not None and not re.match(r"https?://[^/\s]", self.base_url):
            raise ConfigError(
                f"llm.base_url is {self.base_url!r}; an address like http://127.0.0.1:8000/v1 or https://... is needed."
            )
        if self.diversity is Diversity.sampling and not self.samples:
            raise ConfigError(
                f"llm.diversity is sampling, and {self.model} is asked without a temperature; use prompt or auto."
            )
        if self.batch and not self.spec.batch:
            raise ConfigError(f"llm.batch is true, and {self.model} has no batch API here; use llm.batch=false.")

    def check(self) -> None:
        """LLMError when the model is switched off, or the key is absent, and its replies are wanted."""
        if self.cache is CacheMode.only:
            return
        if self.spec.retired is not None and self.spec.retired <= datetime.now(UTC).date():
            raise LLMError(
                f"{self.model} was switched off on {self.spec.retired}; replay its replies (llm.cache=only, "
                "llm=recorded) or name another llm.model."
            )
        self.api_key()

    def api_key(self) -> str:
        """The key from the environment. LLMError when it is not there."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise LLMError(f"{self.api_key_env} is not set; export it, or name its variable with llm.api_key_env=NAME.")
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise LLMError(f"{self.api_key_env} holds a character that no key has; copy the key again and export it.")
        return key

    def cache_key(self) -> dict[str, object]:
        """What alters replies; not how they are asked for, kept or paid."""
        return {
            "name": self.name,
            "model": self.model,
            "diversity": self.diversity.value,
            "structured_output": self.spec.structured_output,
            **self._parameters(),
        }

    @property
    def encoding(self) -> str | None:
        """As its card says."""
        encoding: str | None = self.spec.encoding
        return encoding

    @property
    def uses_batch_api(self) -> bool:
        """As `batch` says."""
        return self.batch

    @property
    def samples(self) -> bool:
        """Whether replies are drawn at a temperature, so that two to one prompt differ."""
        return bool(self.spec.temperature and self.temperature)

    @property
    def prompts_for_variety(self) -> bool:
        """Whether the prompt has to ask for a program unlike those already written."""
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
        """See `LLM.request`."""
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

    @abstractmethod
    def batches(self, client: Any) -> BatchAPI:
        """The batch API behind `client`, one that `connect` has opened."""

    def _parameters(self) -> dict[str, Any]:
        """What goes to the server beside the messages; the base URL is one, since names of models mean little there."""
        parameters: dict[str, Any] = {"max_output_tokens": self.max_output_tokens}
        if self.spec.temperature and self.temperature is not None:
            parameters["temperature"] = self.temperature
        if self.spec.seed and self.seed is not None:
            parameters["seed"] = self.seed
        if self.base_url is not None:
            parameters["base_url"] = self.base_url
        return parameters


def _price(values: Any) -> Price | None:
    """What comes through an interpolation is a mapping, whatever the field's type."""
    return Price(**values) if isinstance(values, Mapping) else values


def _spec(values: Any) -> ModelSpec:
    """The card that `values`, a mapping from YAML, describe."""
    if isinstance(values, ModelSpec):
        return values
    known = [f.name for f in fields(ModelSpec)]
    for key in values:
        if key not in known:
            raise ConfigError(unknown_name("the key", f"llm.spec.{key}", known))
    if lacking := [key for key in known if key not in values]:
        raise ConfigError(f"llm.spec lacks {' and '.join(lacking)}; say null where something is not known.")
    price, retired = values["price"], values["retired"]
    try:
        return ModelSpec(
            **{
                **values,
                "api": Api(values["api"]),
                "retired": None if retired is None else date.fromisoformat(retired),
                "price": None if price is None else Price(**price),
            }
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"llm.spec is wrong: {error}.") from error
