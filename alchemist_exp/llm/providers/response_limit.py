"""The size that a response may have, which follows from the number of tokens that were asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_FLOOR_BYTES: Final = 1 << 20
_BYTES_PER_RESPONSE: Final = 4096
_BYTES_PER_TOKEN: Final = 32
"""A token has about 4 characters, and JSON writes some of them as 6 bytes; the floor is for tokens of white space."""

_DEFAULT_BYTES: Final = 8 << 20
"""Bytes of a response without generated text, for example the state of a batch."""

LIMIT: ContextVar[int] = ContextVar("response_limit", default=_DEFAULT_BYTES)
"""The most bytes of a response to the current task, after decompression; concurrent tasks share one HTTP client."""


def max_response_bytes(max_output_tokens: int, *, n_responses: int = 1) -> int:
    """Return the size that no proper response exceeds.

    Args:
        max_output_tokens: The most tokens of one response.
        n_responses: The number of responses in it, for the results of a batch.

    Returns:
        Bytes after decompression.

    """
    return _FLOOR_BYTES + n_responses * (_BYTES_PER_RESPONSE + _BYTES_PER_TOKEN * max_output_tokens)


@contextmanager
def response_limit(max_bytes: int) -> Iterator[None]:
    """Limit the responses that are received by this task inside the context.

    Args:
        max_bytes: The limit in bytes after decompression.

    """
    token = LIMIT.set(max_bytes)
    try:
        yield
    finally:
        LIMIT.reset(token)
