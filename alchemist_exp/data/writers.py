"""Writers of CSV, TSV, JSONL, Excel and Parquet files, by the ending of the file's name."""

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import check_writable, write_bytes
from alchemist_exp.core.errors import ConfigError, DataError, StoreError, install_command
from alchemist_exp.data.other_columns import as_array

MAX_EXCEL_ROWS = 2**20 - 1
"""Rows of an Excel sheet, without the header."""

MAX_EXCEL_CHARS = 32_767
"""Characters of an Excel cell."""

MAX_EXCEL_INTEGER = 10**15
"""From this number on, Excel rounds integers, so they are written as texts."""

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_output(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Find what would stop `write_table` later.

    Args:
        path: The file to write.
        columns: The columns of the input, which the output repeats.

    Raises:
        ConfigError: The ending is not one of WRITERS, or the file cannot be written there.
        DataError: Excel cannot hold the table, or the package for it is missing.

    """
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"{str(path)!r} does not end in {', '.join(WRITERS)}; name the file to write by -o FILE.")
    try:
        if not path.parent.is_dir():
            raise ConfigError(f"{str(path)!r} cannot be written; name a file in a directory that exists by -o FILE.")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{str(path)!r} exists and is not a file; name another one by -o FILE.")
        check_writable(path)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be written ({error.strerror}); name another file by -o FILE."
        ) from error
    if path.suffix.lower() != ".xlsx":
        return
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path} needs the package openpyxl; install it: {install_command('xlsx')}") from error
    for name, values in columns.items():
        if len(values) > MAX_EXCEL_ROWS:
            raise DataError(f"Excel holds {MAX_EXCEL_ROWS:,} rows, and there are {len(values):,}; write a CSV file.")
        longest = max((len(text) for text in map(_cell, values) if isinstance(text, str)), default=0)
        if longest > MAX_EXCEL_CHARS:
            raise DataError(
                f"the column {name!r} has a text of {longest:,} characters, and a cell of Excel holds "
                f"{MAX_EXCEL_CHARS:,}; write a CSV file, as in -o {path.stem}.csv."
            )


def write_table(
    path: Path, columns: Mapping[str, Sequence[Any]], *, delimiter: str = ",", byte_order_mark: bool = False
) -> None:
    """Replace a file by a table.

    Args:
        path: The file; its name ends in one of WRITERS.
        columns: The columns by name, each with one value per row. None is an empty cell, or null.
        delimiter: The character between the fields of a CSV file.
        byte_order_mark: Whether a CSV or TSV file begins with the byte order mark of UTF-8, which Excel expects.

    Raises:
        StoreError: The file cannot be written.

    """
    ending = path.suffix.lower()
    raw = csv_bytes(columns, delimiter) if ending == ".csv" else WRITERS[ending](columns)
    raw = codecs.BOM_UTF8 * (byte_order_mark and ending in (".csv", ".tsv")) + raw
    try:
        write_bytes(path, raw)
    except (StoreError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or str(error)
        raise StoreError(f"{path} could not be written ({reason}); name another file by -o FILE.") from error


def csv_bytes(columns: Mapping[str, Sequence[Any]], delimiter: str = ",", *, header: bool = True) -> bytes:
    """Return columns as CSV.

    Args:
        columns: The columns by name, each with one value per row.
        delimiter: The character between the fields.
        header: Whether the first line has the names of the columns.

    Returns:
        The lines in UTF-8.

    """
    stream = io.StringIO(newline="")
    plain = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (*[[*columns]] * header, *zip(*columns.values(), strict=True)):
        cells = [_cell(value) for value in row]
        # The module csv does not quote a carriage return, which readers take as the end of the row.
        writer = quoted if any(isinstance(cell, str) and "\r" in cell for cell in cells) else plain
        writer.writerow(cells)
    return stream.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """Return a value without what JSON does not have: NaN becomes None, and infinity a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def jsonl_bytes(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return columns as lines of JSON in UTF-8."""
    rows = zip(*columns.values(), strict=True)
    lines = (_json(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
    return "".join(lines).encode("utf-8", "replace")


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    names = [name.encode("utf-8", "replace").decode() for name in columns]
    table = pa.Table.from_arrays([as_array(values) for values in columns.values()], names=names)
    raw = io.BytesIO()
    parquet.write_table(table, raw, compression="zstd")
    return raw.getvalue()


def _xlsx(columns: Mapping[str, Sequence[Any]]) -> bytes:
    sheet = ExcelSheet(columns)
    sheet.append(columns)
    return sheet.to_bytes()


class ExcelSheet:
    """An Excel workbook with one sheet, which is filled part by part; openpyxl keeps the rows in a temporary file.

    Args:
        names: The names of the columns.

    """

    def __init__(self, names: Iterable[str]) -> None:
        """Start a workbook with one sheet, whose first row has the names."""
        from openpyxl import Workbook

        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("labels")
        self._sheet.append([self._cell(name) for name in names])

    def append(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add rows.

        Args:
            columns: The columns by name, each with one value per row.

        """
        for row in zip(*columns.values(), strict=True):
            self._sheet.append([self._cell(value) for value in row])

    def to_bytes(self) -> bytes:
        """Return the file; no row can be added after that."""
        raw = io.BytesIO()
        self._book.save(raw)
        return raw.getvalue()

    def _cell(self, value: Any) -> Any:
        """Return a cell; a text that begins with = is a text, not a formula."""
        from openpyxl.cell import WriteOnlyCell

        value = _finite(_cell(value))
        if isinstance(value, int) and abs(value) >= MAX_EXCEL_INTEGER:
            value = str(value)
        if isinstance(value, str):
            written = WriteOnlyCell(self._sheet, _NOT_IN_XML.sub("\ufffd", value))
            written.data_type = "s"
            return written
        return value if value is None or isinstance(value, int | float) else str(value)


WRITERS: dict[str, Callable[[Mapping[str, Sequence[Any]]], bytes]] = {
    ".csv": csv_bytes,
    ".tsv": lambda columns: csv_bytes(columns, delimiter="\t"),
    ".jsonl": jsonl_bytes,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
}
