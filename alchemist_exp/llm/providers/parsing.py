"""Reading what servers send. It is untrusted: any field may be absent, null or of another type."""

import json
from collections.abc import Mapping
from typing import Any

from alchemist_exp.llm.types import FinishReason, TransientError, Usage

MOST_TOKENS = 10**8
"""Of one reply: what is above is no count."""


def parsed(raw: bytes) -> Any:
    """The JSON in the body of a reply. Unanswered when it is cut off or none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise TransientError("the reply is cut off or is not JSON") from None


def sendable(text: str) -> str:
    """The text as UTF-8 can carry it: a lone surrogate becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def fields_of(response: Any) -> Mapping[str, Any]:
    """The fields of a reply: of a client's object or of parsed JSON; none where it is neither."""
    if hasattr(response, "to_dict"):
        response = response.to_dict(mode="python", warnings=False)
    return response if isinstance(response, Mapping) else {}


def items_of(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """A text as it came, the empty one in place of anything else."""
    return value if isinstance(value, str) else ""


def finish_of(text: str, *, truncated: bool, refused: bool) -> FinishReason:
    """Why a reply ended."""
    if refused:
        return FinishReason.REFUSED
    if truncated:
        return FinishReason.TRUNCATED
    return FinishReason.COMPLETE if text.strip("\0 \t\r\n") else FinishReason.EMPTY


def usage_of(*, total: Any, cached: Any, cache_write: Any, output: Any, reasoning: Any) -> Usage | None:
    """The tokens, None where the server does not say how many. Parts never exceed what they are parts of."""
    if count_of(total) is None or count_of(output) is None:
        return None
    read = min(count_of(cached) or 0, total)
    return Usage(
        input_tokens=total,
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=min(count_of(cache_write) or 0, total - read),
        reasoning_tokens=min(count_of(reasoning) or 0, output),
    )


def count_of(value: Any) -> int | None:
    """A number of tokens that can be, None in place of anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None
