"""Reads tables part by part, so that memory does not grow with the number of rows.

CSV, TSV, JSONL and Parquet files are read in parts. Excel files and lists in JSON are read whole: they are small.
"""

import codecs
import csv
import gzip
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.other_columns import as_array
from alchemist_exp.data.readers import (
    BYTE_ORDER_MARKS,
    DELIMITERS,
    Columns,
    explain_read_errors,
    extension,
    read_table,
    sniff_delimiter,
    stored_class_names,
)

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
                types[name] = _common_type(types[name], as_array(values).type)
        return types


def open_table(
    path: Path, *, wanted: Sequence[str] = (), encoding: str | None = None, row_groups: tuple[int, int] | None = None
) -> TableStream:
    """Open a table.

    Args:
        path: A file of any format of `read_table`.
        wanted: Columns that are expected; they help to find the delimiter of a CSV file.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.
        row_groups: The first of the row groups of a Parquet file that are read, and the one after the last; None for
            all.

    Returns:
        The table; its rows are read when they are asked for.

    Raises:
        DataError: The file cannot be read.

    """
    name = extension(path).removesuffix(".gz")
    with explain_read_errors(path):
        if extension(path) == ".parquet":
            return _open_parquet(path, row_groups)
        if name in (".csv", ".tsv"):
            return _open_csv(path, wanted, _encoding_of(path, encoding), "\t" if name == ".tsv" else ",")
        if name in (".jsonl", ".ndjson") or (name == ".json" and not _begins_with_list(path, encoding)):
            return _open_jsonl(path, _encoding_of(path, encoding))
    table = read_table(path, wanted=wanted, encoding=encoding)
    return MemoryTable(
        path=path,
        columns=tuple(table.columns),
        n_rows=table.n_rows,
        untyped=name == ".xlsx",
        class_names=table.class_names,
        values=table.columns,
    )


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
class _ParquetTable(TableStream):
    """A Parquet file; row groups are read one by one.

    Attributes:
        row_groups: The row groups that are read.
        selected: The columns that are read; None for all.

    """

    row_groups: Sequence[int]
    selected: list[str] | None = None

    def select(self, names: Sequence[str]) -> TableStream:
        """Return a table that reads some columns; see `TableStream.select`."""
        return replace(self, columns=tuple(names), selected=list(names))

    def _parts(self, n_rows: int) -> Iterator[Columns]:
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(n_rows, self.row_groups, self.selected):
                    yield batch.to_pydict()
        except (KeyError, pyarrow.ArrowException) as error:
            raise ValueError(error) from error

    def arrow_types(self) -> "dict[str, pa.DataType]":
        """Return the types in the file; see `TableStream.arrow_types`."""
        from pyarrow import parquet

        schema = parquet.read_schema(self.path)
        return dict(zip(schema.names, schema.types, strict=True))


def _open_parquet(path: Path, row_groups: tuple[int, int] | None) -> TableStream:
    schema, sizes = _parquet_footer(path)
    if len(set(schema.names)) < len(schema.names):
        raise ValueError(f"two columns have the same name in {schema.names}")
    if not schema.names:
        raise DataError(f"{path} is empty; it needs rows with named columns.")
    first, stop = row_groups or (0, len(sizes))
    return _ParquetTable(
        path=path,
        columns=tuple(schema.names),
        n_rows=sum(sizes[first:stop]),
        first_row=1 + sum(sizes[:first]),
        class_names=stored_class_names(schema.metadata or {}),
        row_groups=range(first, stop),
    )


def row_group_sizes(path: Path) -> list[int]:
    """Return the number of rows of each row group of a Parquet file.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be read.

    """
    with explain_read_errors(path):
        return _parquet_footer(path)[1]


def _parquet_footer(path: Path) -> "tuple[pa.Schema, list[int]]":
    """Return the schema of a Parquet file, and the number of rows of each row group."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            return file.schema_arrow, [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    except (KeyError, pyarrow.ArrowException) as error:
        raise ValueError(error) from error


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


@dataclass(kw_only=True)
class _TextTable(RowTable):
    """A file of text."""

    encoding: str

    @contextmanager
    def _open(self, newline: str | None) -> Iterator[TextIO]:
        with _open_text(self.path, self.encoding, newline) as stream:
            yield stream


@dataclass(kw_only=True)
class _CsvTable(_TextTable):
    """A CSV or TSV file; each row must fit the header.

    Attributes:
        skipped_lines: 1 if the first line names the delimiter, as Excel writes it.

    """

    skipped_lines: int

    def rows(self) -> Iterator[list[str]]:
        """Yield the header and the rows; empty lines are left out."""
        delimiter = self.delimiter or ","
        with self._open("") as stream:
            for _ in range(self.skipped_lines):
                stream.readline()
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            header: list[str] = []
            try:
                for row in reader:
                    if not row:
                        continue
                    header = header or row
                    if len(row) != len(header):
                        raise ValueError(
                            f"line {reader.line_num + self.skipped_lines} has {len(row)} fields and the header "
                            f"{len(header)}; put double quotes around a text with {DELIMITERS[delimiter]} or quotes"
                        )
                    yield row
            except csv.Error as error:
                line = reader.line_num + self.skipped_lines
                raise ValueError(f"line {line}: {error}; double a quote inside a text") from error

    def _rows(self, first: int) -> Iterator[list[str]]:
        return islice(self.rows(), 1 + first, None)

    def _as_columns(self, rows: Sequence[list[str]]) -> Columns:
        return {name: [row[i] for row in rows] for i, name in enumerate(self.columns)}


def _open_csv(path: Path, wanted: Sequence[str], encoding: str, usual: str) -> TableStream:
    csv.field_size_limit(2**31 - 1)
    with _open_text(path, encoding, "") as stream:
        named = re.fullmatch(r"sep=([,;\t|])\r?\n", stream.readline(10))
        delimiter = named[1] if named else sniff_delimiter(stream, wanted, usual)
    table = _CsvTable(
        path=path,
        columns=(),
        delimiter=delimiter,
        byte_order_mark=encoding == "utf-8-sig",
        untyped=True,
        encoding=encoding,
        skipped_lines=int(named is not None),
    )
    header = next(table.rows(), [])
    if not header:
        raise ValueError("it is empty; the first line must have the names of the columns")
    if len(set(header)) < len(header):
        raise ValueError(f"two columns have the same name in {header}")
    table.columns = tuple(header)
    return table


@dataclass(kw_only=True)
class _JsonlTable(_TextTable):
    """A file with a JSON object in each line; a key that a line does not have is None."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the objects; empty lines are left out."""
        with self._open(None) as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (json.JSONDecodeError, RecursionError) as error:
                    raise ValueError(f"line {number} is not JSON ({error})") from error
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is not a JSON object")
                yield row

    def _rows(self, first: int) -> Iterator[dict[str, Any]]:
        return islice(self.rows(), first, None)

    def _as_columns(self, rows: Sequence[dict[str, Any]]) -> Columns:
        return {name: [row.get(name) for row in rows] for name in self.columns}


def _open_jsonl(path: Path, encoding: str) -> TableStream:
    table = _JsonlTable(path=path, columns=(), encoding=encoding)
    names: dict[str, None] = {}
    n_rows = 0
    for row in table.rows():  # a later line may have further keys
        names.update(dict.fromkeys(row))
        n_rows += 1
    if not names:
        raise DataError(f"{path} is empty; it needs rows with named columns, such as text and label.")
    table.columns, table.n_rows = tuple(names), n_rows
    return table


@contextmanager
def _open_bytes(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        if path.suffix.lower() == ".gz":
            with gzip.open(raw) as unpacked:
                yield io.BufferedReader(unpacked)
        else:
            yield raw


@contextmanager
def _open_text(path: Path, encoding: str, newline: str | None) -> Iterator[TextIO]:
    with _open_bytes(path) as raw:
        try:
            yield io.TextIOWrapper(raw, encoding=encoding, newline=newline)
        except LookupError as error:
            raise ValueError(
                f"dataset.encoding={encoding!r} is unknown; examples are utf-8, utf-16, cp1252 and gb18030"
            ) from error


def _encoding_of(path: Path, encoding: str | None) -> str:
    """Return the given encoding, or what the byte order mark says."""
    with _open_bytes(path) as stream:
        raw = stream.read(4)
    if encoding is not None:
        return "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") and raw.startswith(codecs.BOM_UTF8) else encoding
    found = next((name for mark, name in BYTE_ORDER_MARKS.items() if raw.startswith(mark)), "utf-8")
    if found == "utf-8" and 0 in raw[:2]:
        raise ValueError(
            "it seems to be UTF-16 without a byte order mark; save it as UTF-8, or set dataset.encoding=utf-16-le or "
            "utf-16-be"
        )
    return found


def _begins_with_list(path: Path, encoding: str | None) -> bool:
    with _open_text(path, _encoding_of(path, encoding), None) as stream:
        while (character := stream.read(1)).isspace():
            pass
    return character == "["


def _common_type(one: "pa.DataType", other: "pa.DataType") -> "pa.DataType":
    """Return a type that holds the values of both; text if there is no other."""
    import pyarrow as pa

    try:
        schemas = [pa.schema([("", kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()
