"""CSV, TSV and JSONL files, plain or compressed by gzip, that are read row by row."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.table import Columns
from alchemist_exp.data.table_base import RowTable, TableStream
from alchemist_exp.data.text_formats import BYTE_ORDER_MARKS, DELIMITERS, parse_jsonl, sniff_delimiter


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


def open_csv(path: Path, wanted: Sequence[str], encoding: str, usual: str) -> TableStream:
    """Open a CSV or TSV file.

    Args:
        path: The file.
        wanted: Columns that are expected; they help to find the delimiter.
        encoding: The encoding.
        usual: The delimiter if none fits better.

    Returns:
        The table; its rows are not counted.

    Raises:
        ValueError: It has no header, or two columns have the same name.

    """
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
            yield from parse_jsonl(stream)

    def _rows(self, first: int) -> Iterator[dict[str, Any]]:
        return islice(self.rows(), first, None)

    def _as_columns(self, rows: Sequence[dict[str, Any]]) -> Columns:
        return {name: [row.get(name) for row in rows] for name in self.columns}


def open_jsonl(path: Path, encoding: str) -> TableStream:
    """Open a file with a JSON object in each line; it is read once for the names of all keys.

    Args:
        path: The file.
        encoding: The encoding.

    Raises:
        DataError: It has no rows.
        ValueError: A line is not a JSON object.

    """
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


def encoding_of(path: Path, encoding: str | None) -> str:
    """Return the given encoding, or what the byte order mark says; see `open_table`."""
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


def begins_with_list(path: Path, encoding: str | None) -> bool:
    """Return whether a JSON file is a list of rows."""
    with _open_text(path, encoding_of(path, encoding), None) as stream:
        while (character := stream.read(1)).isspace():
            pass
    return character == "["
