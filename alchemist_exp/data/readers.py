"""Readers of CSV, TSV, JSONL and Parquet files and of directories of .txt files. Errors have the row or line."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split

Columns = Mapping[str, list[Any]]

SPLIT_FILE_NAMES = {Split.TRAIN: ("train",), Split.VALID: ("valid", "validation", "dev"), Split.TEST: ("test",)}
"""The file names of each split, without their extension."""

PREPARED = ("youtube", "sms", "yelp", "imdb", "medabs", "cancer", "finance", "french")
"""The paper's text datasets, which `scripts/prepare_data.py` makes; a test compares this list with its recipes."""


def read_table(path: Path) -> Columns:
    """Read a file by its extension.

    Args:
        path: A CSV, TSV, JSONL or Parquet file.

    Returns:
        The columns by name, each with one value per row.

    Raises:
        DataError: The file cannot be read.

    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} has the extension {path.suffix or 'nothing'!r}; expected {', '.join(READERS)}.")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}") from error


def _read_csv(path: Path, separator: str = ",") -> Columns:
    """Return the columns as text, so that "NA", "001" and "1.0" stay as they are; each row must fit the header."""
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator, strict=True)
        header = next(rows, None)
        if not header:
            raise ValueError("it is empty; the first line must have the names of the columns")
        if len(set(header)) < len(header):
            raise ValueError(f"two columns have the same name in {header}")
        table: list[list[str]] = []
        try:
            for row in rows:
                if row and len(row) != len(header):
                    raise ValueError(
                        f"line {rows.line_num} has {len(row)} fields and the header {len(header)}; put double quotes "
                        f"around a text with {'tabs' if separator == chr(9) else 'commas'} or quotes"
                    )
                table += [row] if row else []
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}; double a quote inside a text") from error
    return {name: [row[i] for row in table] for i, name in enumerate(header)}


def _read_tsv(path: Path) -> Columns:
    return _read_csv(path, separator="\t")


def _read_jsonl(path: Path) -> Columns:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"line {number} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not a JSON object")
            rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _read_parquet(path: Path) -> Columns:
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: table.column(name).to_pylist() for name in table.column_names}


READERS: dict[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def require_path(path: Path, name: str) -> None:
    """Check that the file or directory of a dataset exists.

    Args:
        path: The file or directory.
        name: The dataset's name, for messages.

    Raises:
        DataError: It does not exist; the message says how to get or name it.

    """
    try:
        exists = path.is_file() or path.is_dir()
    except OSError as error:
        raise DataError(f"dataset.path={str(path)[:80]!r} is not a possible path: {error.strerror}.") from error
    if exists:
        return
    if name not in PREPARED or path.name != name:
        raise DataError(f"{str(path)!r} does not exist; set dataset.path to the file or directory of {name!r}.")
    raise DataError(
        f"the files of dataset {name!r} are not at {str(path)!r}; set ALCHEMIST_DATA (or paths.data) to a "
        f"directory with {name}/train.parquet, valid.parquet and test.parquet, or make them from the "
        f"published files with `python scripts/prepare_data.py {name} --source FILE` (without --source it prints "
        "where those are)."
    )


def read_splits(path: Path, name: str) -> dict[Split, tuple[Path, Columns]]:
    """Read the splits of a dataset.

    Args:
        path: A file, which is the training split, or a directory. It has train, valid and test with any readable
            extension, or only .txt files, which are one training row each.
        name: The dataset's name, for messages.

    Returns:
        For each split its file and columns.

    Raises:
        DataError: There is no training split, a split has two files, or a file cannot be read.

    """
    require_path(path, name)
    if path.is_file():
        return {Split.TRAIN: (path, read_table(path))}
    files: dict[Split, Path] = {}
    for split, names in SPLIT_FILE_NAMES.items():
        candidates = [path / f"{file_name}{extension}" for file_name in names for extension in READERS]
        existing = [file for file in candidates if file.is_file()]
        if len(existing) > 1:
            raise DataError(
                f"{path} has {' and '.join(file.name for file in existing)} for the split {split}; keep only one."
            )
        if existing:
            files[split] = existing[0]
    if Split.TRAIN in files:
        return {split: (file, read_table(file)) for split, file in files.items()}
    texts = sorted(path.glob("*.txt"))
    if texts and not files:
        return {Split.TRAIN: (path, {"text": [_read_text(file) for file in texts]})}
    raise DataError(
        f"the directory dataset.path={str(path)!r} has no training split; it needs train.csv (or "
        f"{', '.join(e for e in READERS if e != '.csv')}) and may have valid and test, or it needs .txt files, one per "
        "row."
    )


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
