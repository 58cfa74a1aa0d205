"""What a model can do and costs, as the YAML files in conf/llm/models say."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.types import Price


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model can do and costs; conf/llm/models/_unknown.yaml explains each value.

    Attributes:
        api: The provider's API that serves the model, or None if the provider has one API.
        temperature: Whether the model accepts a temperature.
        seed: Whether it accepts a seed.
        structured_output: Whether it accepts a JSON schema of the response.
        batch: Whether the batch API accepts it.
        token_parameter: The API's name of the limit on output tokens.
        encoding: The name of its tokenizer, or None if it is not available.
        context_tokens: Input and output tokens together, or None if unknown.
        max_output_tokens: The most tokens of a response, or None if unknown.
        retired: The day on which it is switched off, or None if none is announced.
        price: Its prices, or None if unknown.

    """

    api: str | None
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

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Build a specification from a YAML file's values.

        Args:
            values: A value for each attribute; `retired` is a text like "2026-10-23", `price` a mapping.

        Returns:
            The specification.

        Raises:
            ConfigError: A key is unknown or missing, or a value is invalid.

        """
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(unknown_name("the key", f"llm.spec.{key}", known))
        if missing := [key for key in known if key not in values]:
            raise ConfigError(f"llm.spec has no {' and no '.join(missing)}; write null for a value that is unknown.")
        price, retired = values["price"], values["retired"]
        try:
            retired = None if retired is None else date.fromisoformat(retired)
            return cls(**{**values, "retired": retired, "price": None if price is None else Price(**price)})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"llm.spec is invalid: {error}.") from error
