"""Writers of CSV, TSV, JSONL, Excel and Parquet files, by the ending of the file's name."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError, DataError, install_command

MAX_EXCEL_ROWS = 2**20 - 1
"""Rows of an Excel sheet, without the header."""

MAX_EXCEL_CHARS = 32_767
"""Characters of an Excel cell."""

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_output(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Find what would stop `write_table` later.

    Args:
        path: The file to write.
        columns: The columns of the input, which the output repeats.

    Raises:
        ConfigError: The ending is not one of WRITERS, or the path is a directory.
        DataError: Excel cannot hold the table, or the package for it is missing.

    """
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"{str(path)!r} does not end in {', '.join(WRITERS)}; name the file to write by -o FILE.")
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{str(path)!r} cannot be written; name a file in a directory that exists by -o FILE.")
    if path.suffix.lower() != ".xlsx":
        return
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path} needs the package openpyxl; install it: {install_command('xlsx')}") from error
    for name, values in columns.items():
        if len(values) > MAX_EXCEL_ROWS:
            raise DataError(f"Excel holds {MAX_EXCEL_ROWS:,} rows, and there are {len(values):,}; write a CSV file.")
        longest = max((len(value) for value in values if isinstance(value, str)), default=0)
        if longest > MAX_EXCEL_CHARS:
            raise DataError(
                f"the column {name!r} has a text of {longest:,} characters, and a cell of Excel holds "
                f"{MAX_EXCEL_CHARS:,}; write a CSV file, as in -o {path.stem}.csv."
            )


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Replace a file by a table.

    Args:
        path: The file; its name ends in one of WRITERS.
        columns: The columns by name, each with one value per row. None is an empty cell, or null.

    Raises:
        StoreError: The file cannot be written.

    """
    write_bytes(path, WRITERS[path.suffix.lower()](columns))


def _csv(columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
    return stream.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def _jsonl(columns: Mapping[str, Sequence[Any]]) -> bytes:
    lines = []
    for row in zip(*columns.values(), strict=True):
        values = (None if isinstance(value, float) and value != value else value for value in row)
        lines.append(json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False, default=str) + "\n")
    return "".join(lines).encode("utf-8", "replace")


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    def column(values: Sequence[Any]) -> Any:
        """Return an Arrow array; values of several types become texts."""
        try:
            return pa.array(values)
        except (pa.ArrowException, UnicodeEncodeError):
            texts = (value if value is None or isinstance(value, str) else str(_cell(value)) for value in values)
            return pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())

    raw = io.BytesIO()
    parquet.write_table(pa.table({name: column(values) for name, values in columns.items()}), raw, compression="zstd")
    return raw.getvalue()


def _xlsx(columns: Mapping[str, Sequence[Any]]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("labels")

    def cell(value: Any) -> Any:
        """Return a cell; a text that begins with = is a text, not a formula."""
        if isinstance(value := _cell(value), str):
            written = WriteOnlyCell(sheet, _NOT_IN_XML.sub("\ufffd", value))
            written.data_type = "s"
            return written
        return value if value is None or isinstance(value, int | float) else str(value)

    for row in ([*columns], *zip(*columns.values(), strict=True)):
        sheet.append([cell(value) for value in row])
    raw = io.BytesIO()
    book.save(raw)
    return raw.getvalue()


WRITERS: dict[str, Callable[[Mapping[str, Sequence[Any]]], bytes]] = {
    ".csv": _csv,
    ".tsv": lambda columns: _csv(columns, delimiter="\t"),
    ".jsonl": _jsonl,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
}
