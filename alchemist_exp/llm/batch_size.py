"""Splits requests into batches of a size that every provider accepts."""

import json
from collections.abc import Iterator, Sequence

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.llm.types import Request

MAX_REQUESTS = 10_000
MAX_BYTES = 90_000_000
"""Limits of one batch. The providers allow 50,000 requests and 200 MB or more."""


def split_into_batches(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Split requests by `MAX_REQUESTS` and `MAX_BYTES`.

    Args:
        requests: The requests, in any number.

    Yields:
        The requests of each batch, in order; a request larger than `MAX_BYTES` has a batch to itself.

    """
    chunk: list[Request] = []
    chunk_bytes = 0
    for request in requests:
        # Our JSON escapes non-ASCII characters and has longer names than the APIs, so it is an upper bound.
        n_bytes = len(json.dumps(to_jsonable(request)))
        if chunk and (len(chunk) == MAX_REQUESTS or chunk_bytes + n_bytes > MAX_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(request)
        chunk_bytes += n_bytes
    if chunk:
        yield chunk
