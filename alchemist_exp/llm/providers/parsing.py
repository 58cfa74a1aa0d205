"""Reads the JSON that providers send. It is untrusted: any field may be absent, null or of another type."""

import json
from collections.abc import Mapping
from typing import Any

from alchemist_exp.llm.types import FinishReason, TransientError, Usage

MAX_TOKEN_COUNT = 10**8
"""A larger token count of one response is treated as invalid."""


def parse_json(raw: bytes) -> Any:
    """Parse the body of an HTTP response.

    Args:
        raw: The body, JSON in UTF-8.

    Returns:
        The parsed value, of any type.

    Raises:
        TransientError: The body is incomplete or not JSON.

    """
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise TransientError("the response is cut off or is not JSON") from None


def encodable(text: str) -> str:
    """Replace each lone surrogate, which UTF-8 cannot encode.

    Args:
        text: Any text.

    Returns:
        The text with the replacement character in place of each.

    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return parsed JSON or an SDK object as a mapping.

    Args:
        value: Parsed JSON, or an object with the method `to_dict` of the OpenAI and Anthropic SDKs.

    Returns:
        The fields; empty if `value` has none.

    """
    if hasattr(value, "to_dict"):
        value = value.to_dict(mode="python", warnings=False)
    return value if isinstance(value, Mapping) else {}


def as_mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; empty if `value` is not a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return `value` if it is a text, else the empty text."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int | None:
    """Return `value` if it is a possible token count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN_COUNT else None


def finish_reason_of(text: str, *, truncated: bool, refused: bool) -> FinishReason:
    """Return why a response ended.

    Args:
        text: The text of the response.
        truncated: Whether the provider says that a token limit was reached.
        refused: Whether the provider says that the model or a filter declined.

    Returns:
        The reason; a refusal takes precedence, and a text of white space and NUL characters counts as empty.

    """
    if refused:
        return FinishReason.REFUSED
    if truncated:
        return FinishReason.TRUNCATED
    return FinishReason.COMPLETE if text.strip("\0 \t\r\n") else FinishReason.EMPTY


def usage_of(
    *, input_tokens: Any, output_tokens: Any, cached: Any = None, cache_write: Any = None, reasoning: Any = None
) -> Usage | None:
    """Return the token counts that a provider reports.

    Args:
        input_tokens: All input tokens, as they were sent.
        output_tokens: All output tokens, as they were sent.
        cached: Those input tokens that were read from the provider's cache.
        cache_write: Those input tokens that were written to it.
        reasoning: Those output tokens that are not visible.

    Returns:
        The counts, or None if one of the totals is not a count. A part never exceeds its total.

    """
    n_input, n_output = as_count(input_tokens), as_count(output_tokens)
    if n_input is None or n_output is None:
        return None
    n_cached = min(as_count(cached) or 0, n_input)
    return Usage(
        input_tokens=n_input,
        output_tokens=n_output,
        cached_tokens=n_cached,
        cache_write_tokens=min(as_count(cache_write) or 0, n_input - n_cached),
        reasoning_tokens=min(as_count(reasoning) or 0, n_output),
    )
