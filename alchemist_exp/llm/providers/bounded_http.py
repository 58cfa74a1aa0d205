"""Bounds what the HTTP clients of the SDKs read and send.

A server that is broken or hostile may send a response without an end, or some kilobytes that decompress to gigabytes.
The SDKs read any response into memory. The hooks here end a response at a limit that follows from the number of tokens
that were asked for, and decompress it piece by piece.
"""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import httpx2

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.response_limit import LIMIT
from alchemist_exp.llm.types import ResponseTooLargeError, TransientError

_PIECE_BYTES: Final = 1 << 16

_SENT_HEADERS: Final = frozenset(
    {
        *("host", "accept", "accept-encoding", "connection", "user-agent", "anthropic-version", "anthropic-beta"),
        *("content-type", "content-length", "transfer-encoding"),
    }
)
_KEY_HEADERS: Final = frozenset({"authorization", "x-api-key"})


def client_options(api_key: str, *, foreign: bool) -> dict[str, Any]:
    """Return the keyword arguments of an SDK's HTTP client that bound it.

    Args:
        api_key: The API key, the only secret that is sent.
        foreign: Whether the server is not the one of the SDK's provider. It gets no header that the SDK takes from the
            environment, such as the organization or ANTHROPIC_CUSTOM_HEADERS.

    Returns:
        The keyword arguments. Redirects are not followed, because they could lead to another host.

    """

    async def restrict(request: httpx2.Request) -> None:
        """Remove all headers but the known ones and the API key."""
        for name, value in list(request.headers.items()):
            known = name in _SENT_HEADERS or name.startswith("x-stainless-")
            if not (known or (name in _KEY_HEADERS and api_key in value)):
                del request.headers[name]

    hooks: dict[str, list[Callable[..., Awaitable[None]]]] = {"response": [_bound]}
    if foreign:
        hooks["request"] = [restrict]
    return {"follow_redirects": False, "headers": {"Accept-Encoding": "gzip"}, "event_hooks": hooks}


async def _bound(response: httpx2.Response) -> None:
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate"):
        await response.aclose()
        raise LLMError(
            f"the server at {response.url.host} compresses its responses as {encoding[:20]!r}, which was not asked "
            "for; check llm.base_url, and a proxy in between."
        )
    response.stream = _BoundedStream(response.stream, LIMIT.get(), compressed=encoding != "identity")


class _BoundedStream(httpx2.AsyncByteStream):
    """The decompressed bytes of a response, up to a limit."""

    def __init__(self, stream: Any, max_bytes: int, *, compressed: bool) -> None:
        """Wrap the stream of a response, without reading from it."""
        self._stream = stream
        self._max_bytes = max_bytes
        self._compressed = compressed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the decompressed bytes; ResponseTooLargeError at the limit."""
        n_bytes, decompress = 0, _Decompressor() if self._compressed else lambda raw: iter((raw,))
        async for raw in self._stream:
            for piece in decompress(raw):
                n_bytes += len(piece)
                if n_bytes > self._max_bytes:
                    raise ResponseTooLargeError(f"more than {self._max_bytes / 1e6:.1f} MB")
                yield piece

    async def aclose(self) -> None:
        """Close the stream of the response."""
        await self._stream.aclose()


class _Decompressor:
    """Decompresses gzip and zlib in pieces of bounded size."""

    def __init__(self) -> None:
        """Accept gzip and zlib; the header of the data says which."""
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __call__(self, raw: bytes) -> Iterator[bytes]:
        """Yield pieces of at most `_PIECE_BYTES` from the next compressed bytes."""
        while raw:
            if self._stream.eof:  # gzip allows several streams, one after the other
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                piece = self._stream.decompress(raw, _PIECE_BYTES)
            except zlib.error as error:
                raise TransientError(f"the response cannot be decompressed ({error})", maybe_billed=True) from error
            yield piece
            raw = self._stream.unconsumed_tail or self._stream.unused_data
