"""The texts of a large split, which stay in Arrow's memory until they are used."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    import pyarrow as pa

LAZY_ROWS: Final = 100_000
"""Rows up to which the texts of a split are a list; a million strings of 100 characters take 160 MB."""

_CHUNK_ROWS: Final = 16_384


class TextColumn(Sequence[str]):
    """A column of strings whose Python objects are made when they are used.

    Args:
        column: The strings, without null.

    Example:
        >>> import pyarrow as pa
        >>> texts = TextColumn(pa.chunked_array([["a", "b"], ["c"]]))
        >>> len(texts), texts[-1], texts[1:], list(texts)
        (3, 'c', ['b', 'c'], ['a', 'b', 'c'])

    """

    def __init__(self, column: "pa.ChunkedArray") -> None:
        """Keep the column without a copy."""
        self._column = column

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._column)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        """Return the text of a row, or a list of the texts of several rows."""
        if not isinstance(row, slice):
            text: str = self._column[int(row)].as_py()
            return text
        start, stop, step = row.indices(len(self))
        if step != 1:
            return [self[number] for number in range(start, stop, step)]
        texts: list[str] = self._column.slice(start, max(0, stop - start)).to_pylist()
        return texts

    def to_arrow(self) -> "pa.ChunkedArray":
        """Return the column as large_string."""
        import pyarrow as pa

        return self._column.cast(pa.large_string())

    def __iter__(self) -> Iterator[str]:
        """Yield the text of each row."""
        for start in range(0, len(self), _CHUNK_ROWS):
            yield from self[start : start + _CHUNK_ROWS]
