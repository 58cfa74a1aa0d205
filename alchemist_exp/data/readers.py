"""Readers of CSV, TSV, JSONL, JSON, Excel and Parquet files, and a summary of a file. Errors have the row or line."""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile

from alchemist_exp.core.errors import DataError, MissingPackageError, install_command
from alchemist_exp.data.labels import is_missing

Columns = Mapping[str, list[Any]]

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


@dataclass(frozen=True, kw_only=True)
class Table:
    """The content of a file.

    Attributes:
        columns: The columns by name, each with one value per row.
        class_names: The class names of a column of class indices, where the file has them (a `ClassLabel` of the
            library `datasets`); by column.
        delimiter: The character between the fields of a CSV file; None for other formats.
        encoding: The encoding of a text file; None for other formats.
        notes: What the user should know, one sentence each.

    """

    columns: Columns
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """The number of rows of the table."""
        return max(map(len, self.columns.values()), default=0)


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """What a file has, before anything is configured.

    Attributes:
        path: The file.
        columns: The names of the columns, in the order of the file.
        n_rows: The number of rows.
        delimiter: The character between the fields of a CSV file; None for other formats.
        encoding: The encoding of a text file; None for other formats.
        n_empty_texts: Rows whose text is missing or blank; None if there is no text column.
        labels: How often each value of the label column occurs, the most frequent first; None if there is no label
            column. Missing labels are not counted.
        class_names: The class names that the file itself gives the label column, in the order of their indices; None
            for none.
        notes: What the user should know, one sentence each.

    """

    path: Path
    columns: tuple[str, ...]
    n_rows: int
    delimiter: str | None
    encoding: str | None
    n_empty_texts: int | None
    labels: Mapping[str, int] | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]


def inspect_table(
    path: Path, *, text_column: str = "text", label_column: str = "label", encoding: str | None = None
) -> TableSummary:
    """Read a file and say what is in it.

    Args:
        path: A file of any readable format.
        text_column: The column of the texts.
        label_column: The column of the labels.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.

    Returns:
        The summary. A column that is not there is no error: the summary has the names of those that are.

    Raises:
        DataError: The file cannot be read.

    """
    table = read_table(path, wanted=(text_column, label_column), encoding=encoding)
    texts, labels = table.columns.get(text_column), table.columns.get(label_column)
    counts = None if labels is None else Counter(str(label) for label in labels if not is_missing(label))
    return TableSummary(
        path=path,
        columns=tuple(table.columns),
        n_rows=table.n_rows,
        delimiter=table.delimiter,
        encoding=table.encoding,
        n_empty_texts=None if texts is None else sum(is_missing(text) for text in texts),
        labels=None if counts is None else dict(counts.most_common()),
        class_names=table.class_names.get(label_column),
        notes=table.notes,
    )


def similar_column(wanted: str, columns: Iterable[str]) -> str | None:
    """Return the column that a user probably means by a name that no column has.

    Args:
        wanted: The name that is missing.
        columns: The names that exist.

    Returns:
        A name that differs in case, blanks, a plural or a typing error; None if there is none.

    Example:
        >>> similar_column("label", ["text", " Labels"])
        ' Labels'

    """
    folded = {name.strip().casefold(): name for name in reversed([*columns])}
    close = get_close_matches(wanted.strip().casefold(), folded, n=1, cutoff=0.8)
    return folded[close[0]] if close else None


def read_table(path: Path, *, wanted: Sequence[str] = (), encoding: str | None = None) -> Table:
    """Read a file by its extension.

    Args:
        path: A CSV, TSV, JSONL, NDJSON, JSON, Excel (.xlsx) or Parquet file; text formats also as .gz.
        wanted: Columns that are expected; they help to find the delimiter of a CSV file.
        encoding: The encoding of a text file; None for UTF-8, or what its byte order mark says.

    Returns:
        The columns, and what else the file says.

    Raises:
        DataError: The file cannot be read.

    """
    name = extension(path)
    with explain_read_errors(path):
        if reader := TEXT_READERS.get(name.removesuffix(".gz")):
            text, used = _decode(path, encoding)
            table = reader(text, wanted, used)
        elif binary_reader := BINARY_READERS.get(name):
            table = binary_reader(path)
        else:
            raise DataError(f"{path} has the extension {name or 'nothing'!r}; expected {', '.join(EXTENSIONS)}.")
        if not table.columns:
            raise DataError(f"{path} is empty; it needs rows with named columns, such as text and label.")
        return table


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn an error of a reader into one sentence.

    Args:
        path: The file that is read inside the `with` block.

    Raises:
        DataError: It could not be read.

    """
    try:
        yield
    except UnicodeDecodeError as error:
        used = {"utf-8-sig": "utf-8"}.get(error.encoding, error.encoding)
        raise DataError(
            f"{path} is not {used.upper()} (byte {error.start}); save it as UTF-8, or set dataset.encoding, as in "
            "dataset.encoding=cp1252."
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}") from error


def extension(path: Path) -> str:
    """Return the lower-case extension of a file; of a compressed one, both, as in ".csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


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


def _decode(path: Path, encoding: str | None) -> tuple[str, str]:
    raw = path.read_bytes()
    return decode_text(gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw, encoding)


def _read_csv(text: str, wanted: Sequence[str], encoding: str, *, usual: str = ",") -> Table:
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


def _read_jsonl(text: str, _: Sequence[str], encoding: str) -> Table:
    rows = list(parse_jsonl(io.StringIO(text, newline=None)))
    return Table(columns=_columns_of(rows), encoding=encoding)


def _read_json(text: str, wanted: Sequence[str], encoding: str) -> Table:
    """Read a list of objects; a file that does not begin with a bracket has one object per line."""
    if not text.lstrip().startswith("["):
        return _read_jsonl(text, wanted, encoding)
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


def _read_excel(path: Path) -> Table:
    """Return the first sheet as text, like a CSV file; an empty cell is an empty text.

    Cells that only look empty are refused: formulas without a stored value, and the hidden part of merged cells.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise MissingPackageError(
            f"{path} needs the package openpyxl; install it with: {install_command('xlsx')}"
        ) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        sheets[0].reset_dimensions()  # some programs store a wrong size, which would cut rows and columns
        found = [[*row] for row in sheets[0].iter_rows()]
        width = max(map(len, found), default=0)
        cells = [["" if cell.value is None else str(cell.value) for cell in row] for row in found]
        cells = [row + [""] * (width - len(row)) for row in cells]
        if any("" in row for row in cells):
            # The value of a formula may be "", which has this type.
            empty = {cell.coordinate for row in found for cell in row if cell.value is None and cell.data_type == "str"}
            _refuse_hidden_cells(load_workbook(path)[sheets[0].title], cells, empty)
    except (BadZipFile, KeyError, IndexError, InvalidFileException) as error:
        raise ValueError(f"it is not an Excel workbook with a sheet ({error})") from error
    header, *rows = [row for row in cells if any(row)] or [[]]
    used = [i for i, name in enumerate(header) if name or any(row[i] for row in rows)]
    names = [header[i] for i in used]
    if not names:
        raise ValueError("its first sheet is empty; the first row must have the names of the columns")
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have the same name in {names}")
    others = ", ".join(repr(sheet.title) for sheet in sheets[1:])
    notes = (f"{path.name}: only its first sheet {sheets[0].title!r} is read, not {others}.",) if others else ()
    return Table(columns={header[i]: [row[i] for row in rows] for i in used}, notes=notes)


def _refuse_hidden_cells(sheet: Any, cells: Sequence[Sequence[str]], empty: Container[str]) -> None:
    """Raise ValueError for formulas without a stored value, but for those in `empty`, and for merged cells."""
    formulas = [
        cell.coordinate
        for row, texts in zip(sheet.iter_rows(max_row=len(cells)), cells, strict=False)
        for cell, text in zip(row, texts, strict=False)
        if not text and cell.data_type == "f" and cell.coordinate not in empty
    ]
    if formulas:
        raise ValueError(
            f"the formulas in {_first(formulas)} of its sheet {sheet.title!r} have no stored value; open the file in a "
            "spreadsheet program and save it, or replace the formulas by their values"
        )
    if merged := sorted(str(area) for area in sheet.merged_cells.ranges):
        raise ValueError(
            f"the cells {_first(merged)} of its sheet {sheet.title!r} are merged, so all but one of them are empty; "
            "unmerge them and write the value in each cell"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
        if len(set(names)) < len(names):
            raise ValueError(f"two columns have the same name in {names}")
        table = parquet.read_table(path)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (KeyError, pyarrow.ArrowException) as error:
        raise ValueError(error) from error
    return Table(columns=columns, class_names=stored_class_names(table.schema.metadata or {}))


def stored_class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the class names of the columns that the library `datasets` stored as ClassLabel, or as lists of it."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        items = {name: one.get("feature", one) for name, one in features.items()}
        labels = {name: one["names"] for name, one in items.items() if one.get("_type") == "ClassLabel"}
        return {name: tuple(map(str, names)) for name, names in labels.items() if names}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}  # without names, the column has class indices


TEXT_READERS: dict[str, Callable[[str, Sequence[str], str], Table]] = {
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, usual="\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
}
"""Readers of a text, given the wanted columns and the encoding; each format may be compressed (.gz)."""

BINARY_READERS: dict[str, Callable[[Path], Table]] = {".parquet": _read_parquet, ".xlsx": _read_excel}

EXTENSIONS = (*TEXT_READERS, *BINARY_READERS)


def is_untyped(path: Path) -> bool:
    """Return whether the reader of a file returns all values as text, numbers too."""
    return extension(path).removesuffix(".gz") in (".csv", ".tsv", ".xlsx")


def is_readable(path: Path) -> bool:
    """Return whether a file has the extension of a readable format."""
    return extension(path).removesuffix(".gz") in TEXT_READERS or extension(path) in BINARY_READERS
