"""Reads what providers send: JSON, texts and headers. All of it is untrusted.

Any field of the JSON may be absent, null or of another type.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from alchemist_exp.llm.types import FinishReason, TransientError, Usage

MAX_TOKEN_COUNT = 10**8
"""A larger token count of one response is treated as invalid."""

MAX_RETRY_AFTER_S = 120.0
"""A longer Retry-After of a server is shortened to this."""

MASK = "[key]"
"""What an API key is replaced by, in messages and responses."""

MAX_QUOTE_LENGTH = 200
"""Characters of a server's text that an error message quotes."""


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


def mask_key(text: str, api_key: str) -> str:
    """Return a server's text without the API key, in upper or lower case.

    Args:
        text: The untrusted text.
        api_key: The API key; may be empty.

    Returns:
        The text, with `MASK` for the key.

    """
    return re.sub(re.escape(api_key), MASK, text, flags=re.IGNORECASE) if api_key else text


def clean(text: str, api_key: str) -> str:
    """Return a server's text in a form that is safe on one line of an error message.

    Args:
        text: The untrusted text.
        api_key: The API key, which is replaced before the text is shortened; may be empty.

    Returns:
        One line of at most `MAX_QUOTE_LENGTH` printable characters.

    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = mask_key(line, api_key)
    return line if len(line) <= MAX_QUOTE_LENGTH else f"{line[: MAX_QUOTE_LENGTH - 1]}…"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to wait.

    Args:
        headers: The headers of an error response.

    Returns:
        Seconds from 0 to `MAX_RETRY_AFTER_S`, or None without a valid Retry-After header.

    """
    values = {name.lower(): value for name, value in headers.items()}
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        wait_s = _parse_wait(values.get(name, ""), per_second)
        if wait_s is not None:
            return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
    return None


def _parse_wait(text: str, per_second: float) -> float | None:
    """Return the seconds that a header gives, as a number or as the date at which the wait ends."""
    try:
        wait_s = float(text) / per_second
        return None if math.isnan(wait_s) else wait_s
    except ValueError:
        pass
    try:
        end = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return (end - datetime.now(UTC)).total_seconds()
