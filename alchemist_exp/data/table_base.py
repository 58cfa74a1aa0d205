"""The base classes of tables that are read part by part, so that memory does not grow with the number of rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alchemist_exp.data.other_columns import as_array
from alchemist_exp.data.readers import explain_read_errors
from alchemist_exp.data.table import Columns

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(kw_only=True)
class TableStream(ABC):
    """A table that is read part by part.

    Attributes:
        path: The file.
        columns: The names of the columns.
        n_rows: The number of rows; None if the file was not counted.
        first_row: The number of the first row in the file, from 1, for messages.
        delimiter: The character between the fields of a CSV file; None for other formats.
        byte_order_mark: Whether a CSV file begins with the byte order mark of UTF-8.
        untyped: Whether all values are strings.
        class_names: The class names of columns of class indices; by column.

    """

    path: Path
    columns: tuple[str, ...]
    n_rows: int | None = None
    first_row: int = 1
    delimiter: str | None = None
    byte_order_mark: bool = False
    untyped: bool = False
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def parts(self, n_rows: int) -> Iterator[Columns]:
        """Yield the rows in parts.

        Args:
            n_rows: The most rows of a part.

        Yields:
            The columns by name, each with one value per row of the part.

        Raises:
            DataError: The file cannot be read.

        """
        with explain_read_errors(self.path):
            yield from self._parts(n_rows)

    @abstractmethod
    def _parts(self, n_rows: int) -> Iterator[Columns]:
        """Yield the rows in parts; any error of a reader may be raised."""

    def select(self, names: Sequence[str]) -> "TableStream":
        """Return a table that reads no other columns, if its format can leave out columns; else this table.

        Args:
            names: Columns of the table.

        """
        return self

    def arrow_types(self) -> "dict[str, pa.DataType]":
        """Return the type of each column in a Parquet file; the whole file may be read for it."""
        import pyarrow as pa

        if self.untyped:
            return dict.fromkeys(self.columns, pa.string())
        types: dict[str, pa.DataType] = dict.fromkeys(self.columns, pa.null())
        for part in self.parts(10_000):
            for name, values in part.items():
                schemas = [pa.schema([("", kind)]) for kind in (types[name], as_array(values).type)]
                try:
                    types[name] = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
                except pa.ArrowException:  # no type holds the values of both
                    types[name] = pa.string()
        return types


@dataclass(kw_only=True)
class MemoryTable(TableStream):
    """A table in memory.

    Attributes:
        values: The columns by name.

    """

    values: Mapping[str, Sequence[Any]]

    def _parts(self, n_rows: int) -> Iterator[Columns]:
        for start in range(0, self.n_rows or 0, n_rows):
            yield {name: list(values[start : start + n_rows]) for name, values in self.values.items()}


@dataclass(kw_only=True)
class RowTable(TableStream):
    """A table that is read row by row, so that its parts may end at any row."""

    def _parts(self, n_rows: int) -> Iterator[Columns]:
        return self._columns(self._rows(0), cycle([n_rows]))

    def parts_from(self, first: int, n_rows: int, cut: int) -> Iterator[Columns]:
        """Yield the rows from a row on, in parts that end at each multiple of a number of rows.

        Args:
            first: The number of rows that are skipped, a multiple of `cut`.
            n_rows: The most rows of a part.
            cut: No part has rows on both sides of a multiple of this number.

        Yields:
            As `parts`.

        Raises:
            DataError: The table cannot be read.

        """
        sizes = [min(n_rows, cut - start) for start in range(0, cut, n_rows)]
        with explain_read_errors(self.path):
            yield from self._columns(self._rows(first), cycle(sizes))

    def _columns(self, rows: Iterator[Any], sizes: Iterable[int]) -> Iterator[Columns]:
        for size in sizes:
            if not (part := list(islice(rows, size))):
                return
            yield self._as_columns(part)

    @abstractmethod
    def _rows(self, first: int) -> Iterator[Any]:
        """Yield the rows after the first ones; any error of a reader may be raised."""

    @abstractmethod
    def _as_columns(self, rows: Sequence[Any]) -> Columns:
        """Return rows as columns."""
