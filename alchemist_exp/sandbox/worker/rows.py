"""The rows a worker labels: decoded from sealed shared memory, by each worker or once by the zygote."""

import bisect
import ctypes
import itertools
import json
import mmap
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from alchemist_exp.sandbox.worker.protocol import IMAGES, RECORDS, SCORES, TEXT_END, TEXTS, ZygoteSetup

# A batch is decoded in about a millisecond. It is all the memory that a worker needs for its rows.
_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 20

_MADV_POPULATE_WRITE = 23  # missing in Python's mmap module

_decode_json = json.JSONDecoder().decode  # a program may replace json.loads

RowT = TypeVar("RowT")
Decode = Callable[[bytes, Sequence[int]], list[RowT]]
"""Decodes n adjacent rows from their bytes and their n + 1 offsets; the first offset need not be 0."""


class WorkerRows(Protocol):
    """The rows a worker labels."""

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[Any]]:
        """Yield the rows first .. end - 1 in lists that the caller may change.

        Args:
            first: First row.
            end: Row after the last one.
            reverse: Yield the rows in reverse order.

        Yields:
            Lists of rows; together they hold each row once.
        """


class EncodedRows(Generic[RowT]):
    """The rows in shared memory: their bytes, then their int64 offsets. The kernel lets no process write them.

    Each worker decodes the rows again, batch by batch, because a program may change a list or an array it receives.

    Args:
        fd: Descriptor of the shared memory.
        n_rows: Number of rows.
        offsets_at: Position of the offsets in bytes.
        decode: Decoder of the rows' kind.
    """

    def __init__(self, fd: int, n_rows: int, offsets_at: int, decode: Decode[RowT]) -> None:
        """Map the shared memory; the descriptor may be closed afterwards."""
        # Private: Linux before 6.7 counts each shared mapping as writable, and a sealed file refuses writable mappings.
        self._memory = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        self._offsets = memoryview(self._memory)[offsets_at : offsets_at + 8 * (n_rows + 1)].cast("q")
        self._decode = decode

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[RowT]]:
        """Yield batches of at most 256 rows and about 1 MiB; see `WorkerRows.batches`."""
        while first < end:
            if reverse:
                lowest_offset = self._offsets[end] - _BATCH_BYTES
                start = bisect.bisect_left(self._offsets, lowest_offset, max(first, end - _BATCH_ROWS), end)
                start = min(start, end - 1)  # at least one row, however large it is
                yield self._read(start, end)[::-1]
                end = start
            else:
                highest_offset = self._offsets[first] + _BATCH_BYTES
                last = min(end, first + _BATCH_ROWS)
                stop = bisect.bisect_right(self._offsets, highest_offset, first + 1, last + 1) - 1
                stop = max(stop, first + 1)
                yield self._read(first, stop)
                first = stop

    def _read(self, first: int, end: int) -> list[RowT]:
        offsets = self._offsets[first : end + 1]
        return self._decode(self._memory[offsets[0] : offsets[-1]], offsets)


class DecodedTexts:
    """Texts that the zygote decodes once for all its workers, which is safe because a str cannot be changed.

    A worker that reads a str changes its reference count, so the kernel copies the memory page that holds it.

    Args:
        encoded: The texts in shared memory.
        n_rows: Number of texts.
    """

    def __init__(self, encoded: EncodedRows[str], n_rows: int) -> None:
        """Decode all texts, and note the memory pages that hold them."""
        self._texts = list(itertools.chain.from_iterable(encoded.batches(0, n_rows)))
        pages = sorted({address // mmap.PAGESIZE for address in map(id, self._texts)})
        self._page_ranges = list(_runs_of_adjacent(pages))

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[str]]:
        """Yield all rows as one batch; see `WorkerRows.batches`."""
        texts = self._texts[first:end]
        yield texts[::-1] if reverse else texts

    def copy_pages(self, libc: ctypes.CDLL) -> None:
        """Copy all pages that hold a text at once, which is faster than one page fault per page.

        Does nothing on Linux before 5.14.

        Args:
            libc: The C library.
        """
        for first, end in self._page_ranges:
            start, size = ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t((end - first) * mmap.PAGESIZE)
            if libc.madvise(start, size, ctypes.c_int(_MADV_POPULATE_WRITE)) != 0:
                return


def open_rows(setup: ZygoteSetup, fd: int) -> WorkerRows:
    """Return the rows in shared memory, texts already decoded.

    Args:
        setup: Kind, number and offsets of the rows.
        fd: Descriptor of the shared memory; the caller may close it afterwards.

    Returns:
        The rows.
    """
    encoded = EncodedRows(fd, setup.rows, setup.offsets_at, DECODERS[setup.kind])
    return DecodedTexts(encoded, setup.rows) if setup.kind == TEXTS else encoded


def _runs_of_adjacent(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first number and the last number + 1 of each run of adjacent numbers; `numbers` are sorted."""
    gaps = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
    for first, end in itertools.pairwise((0, *gaps, len(numbers))):
        if end:
            yield numbers[first], numbers[end - 1] + 1


def _decode_texts(data: bytes, offsets: Sequence[int]) -> list[str]:
    # One decode and one split for the whole batch: several times faster than a decode per text.
    texts = data.decode("utf-8", "surrogatepass").split(TEXT_END)
    texts.pop()
    if len(texts) == len(offsets) - 1:
        return texts
    # A text contains TEXT_END itself, so the texts must be separated by their offsets.
    return [data[start : end - 1].decode("utf-8", "surrogatepass") for start, end in _spans(offsets)]


def _decode_records(data: bytes, offsets: Sequence[int]) -> list[dict[str, Any]]:
    # JSON escapes TEXT_END, so it only ends a record. One array for the whole batch: its records share their keys.
    records: list[dict[str, Any]] = _decode_json(f"[{data[:-1].decode().replace(TEXT_END, ',')}]")
    return records


def _decode_scores(data: bytes, offsets: Sequence[int]) -> list[list[float]]:
    return [list(struct.unpack_from(f"={(end - start) // 8}d", data, start)) for start, end in _spans(offsets)]


def _decode_images(data: bytes, offsets: Sequence[int]) -> list[Any]:
    numpy = sys.modules["numpy"]
    images = []
    for start, end in _spans(offsets):
        height, width = struct.unpack_from("<ii", data, start)
        # A bytearray per image: a program may write to its image, and no other row changes.
        pixels = bytearray(memoryview(data)[start + 8 : end])
        images.append(numpy.frombuffer(pixels, dtype="uint8").reshape(height, width, 3))
    return images


def _spans(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each row, counted from the start of the first row."""
    return ((start - offsets[0], end - offsets[0]) for start, end in itertools.pairwise(offsets))


DECODERS: Final[Mapping[str, Decode[Any]]] = {
    TEXTS: _decode_texts,
    RECORDS: _decode_records,
    SCORES: _decode_scores,
    IMAGES: _decode_images,
}
