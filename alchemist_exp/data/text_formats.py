"""Readers of text formats: CSV, TSV, JSONL and JSON. Errors have the row or line."""

import codecs
import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from alchemist_exp.data.table import Columns, Table

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""The characters that may separate the fields of a CSV file, and their names in messages."""

SNIFFED_ROWS = 50
"""Rows that are parsed to find the delimiter of a CSV file."""

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16 LE, so it comes first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decode_text(raw: bytes, encoding: str | None) -> tuple[str, str]:
    """Return a text and its encoding.

    Args:
        raw: The bytes of the text.
        encoding: Its encoding; None for UTF-8, or what its byte order mark says.

    Returns:
        The text without the byte order mark, and the encoding.

    Raises:
        ValueError: The bytes are not in this encoding, or seem to be UTF-16 without a byte order mark.

    """
    if encoding is None:
        encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if raw.startswith(mark)), "utf-8")
        if encoding == "utf-8" and 0 in raw[:2]:
            raise ValueError(
                "it seems to be UTF-16 without a byte order mark; save it as UTF-8, or set dataset.encoding=utf-16-le "
                "or utf-16-be"
            )
    try:
        return raw.decode(encoding).removeprefix("\ufeff"), encoding
    except LookupError as error:
        raise ValueError(
            f"dataset.encoding={encoding!r} is unknown; examples are utf-8, utf-16, cp1252 and gb18030"
        ) from error


def read_text(path: Path, encoding: str | None) -> tuple[str, str]:
    """Read and decode a file, which may be compressed (.gz); see `decode_text` for the errors.

    Args:
        path: The file.
        encoding: Its encoding; None for UTF-8, or what its byte order mark says.

    Returns:
        The text without the byte order mark, and the encoding.

    """
    raw = path.read_bytes()
    return decode_text(gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw, encoding)


def read_csv(text: str, wanted: Sequence[str], encoding: str, *, usual: str = ",") -> Table:
    """Return the columns as text, so that "NA", "001" and "1.0" stay as they are; each row must fit the header."""
    csv.field_size_limit(2**31 - 1)
    if said := re.match(r"sep=([,;\t|])\r?\n", text):  # a line that Excel writes and reads
        usual, text = said[1], "\n" + text[said.end() :]
    stream = io.StringIO(text, newline="")
    delimiter = sniff_delimiter(stream, wanted, usual)
    rows = csv.reader(stream, delimiter=delimiter, strict=True)
    table: list[list[str]] = []
    header: list[str] = []
    try:
        header = next((row for row in rows if row), [])
        if not header:
            raise ValueError("it is empty; the first line must have the names of the columns")
        if len(set(header)) < len(header):
            raise ValueError(f"two columns have the same name in {header}")
        for row in rows:
            if row and len(row) != len(header):
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} fields and the header {len(header)}; put double quotes "
                    f"around a text with {DELIMITERS[delimiter]} or quotes"
                )
            table += [row] if row else []
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}; double a quote inside a text") from error
    columns = {name: [row[i] for row in table] for i, name in enumerate(header)}
    return Table(columns=columns, delimiter=delimiter, encoding=encoding)


def sniff_delimiter(stream: TextIO, wanted: Sequence[str], usual: str) -> str:
    """Return the delimiter that finds most of the wanted columns, then rows as long as the header.

    `csv.Sniffer` counts characters, so it is misled by commas in texts.

    Args:
        stream: The text of the file, which is read from its start.
        wanted: Columns that are expected.
        usual: The delimiter that is chosen if several fit.

    """
    names = {name.strip().casefold() for name in wanted}

    def fit(delimiter: str) -> tuple[int, bool, bool, int]:
        """Return how well a delimiter fits; the larger tuple fits better."""
        stream.seek(0)
        rows: list[list[str]] = []
        even = True
        try:
            rows += (row for row in islice(csv.reader(stream, delimiter=delimiter, strict=True), SNIFFED_ROWS) if row)
        except csv.Error:
            even = False
        header = rows[0] if rows else []
        even = even and len(header) > 1 and all(len(row) == len(header) for row in rows)
        found = len(names & {name.strip().casefold() for name in header})
        return found, even, delimiter == usual, len(header)

    best = max(DELIMITERS, key=fit)
    stream.seek(0)
    return best


def parse_jsonl(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Parse lines of JSON objects.

    Args:
        lines: The lines; empty ones are left out.

    Yields:
        The objects.

    Raises:
        ValueError: A line is not a JSON object; the message names its number.

    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield row


def read_jsonl(text: str, _: Sequence[str], encoding: str) -> Table:
    """Read one object per line; a key that a line does not have is None."""
    rows = list(parse_jsonl(io.StringIO(text, newline=None)))
    return Table(columns=_columns_of(rows), encoding=encoding)


def read_json_table(text: str, wanted: Sequence[str], encoding: str) -> Table:
    """Read a list of objects; a file that does not begin with a bracket has one object per line."""
    if not text.lstrip().startswith("["):
        return read_jsonl(text, wanted, encoding)
    try:
        rows = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if number := next((i for i, row in enumerate(rows, start=1) if not isinstance(row, dict)), None):
        raise ValueError(f"item {number} of the list is not a JSON object")
    return Table(columns=_columns_of(rows), encoding=encoding)


def _columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
