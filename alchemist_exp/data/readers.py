"""Reads CSV, TSV, JSONL, Parquet and folders of .txt files into columns. Promises the row or line of what is wrong."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split

Columns = Mapping[str, list[Any]]

SPLIT_NAMES = {Split.TRAIN: ("train",), Split.VALID: ("valid", "validation", "dev"), Split.TEST: ("test",)}
"""The file names, without their ending, that stand for each split."""


PREPARED = ("youtube", "sms", "yelp", "imdb", "medabs", "cancer", "finance", "french")
"""The paper's text datasets, which `scripts/prepare_data.py` makes; a test compares them with its recipes."""


def read_table(path: Path) -> Columns:
    """The columns of `path`, by its ending. DataError when it cannot be read."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} ends in {path.suffix or 'nothing'!r}; {', '.join(READERS)} can be read.")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}") from error


def _read_csv(path: Path, separator: str = ",") -> Columns:
    """Text stays text: "NA", "001" and "1.0" are what people wrote. Every row must have the header's fields."""
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator, strict=True)
        header = next(rows, None)
        if not header:
            raise ValueError("it is empty; a first line with the columns' names is needed")
        if len(set(header)) < len(header):
            raise ValueError(f"two columns have the same name in {header}")
        table: list[list[str]] = []
        try:
            for row in rows:
                if row and len(row) != len(header):
                    raise ValueError(
                        f"line {rows.line_num} has {len(row)} fields and the header {len(header)}; a text with "
                        f"{'tabs' if separator == chr(9) else 'commas'} or quotes needs double quotes around it"
                    )
                table += [row] if row else []
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}; a quote inside a text is written twice") from error
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


def read_splits(path: Path, name: str) -> dict[Split, tuple[Path, Columns]]:
    """The splits of dataset `name` under `path`, and where each came from.

    A file is the training split alone. A folder holds train, valid and test with any readable ending, or only .txt
    files, which are then one training row each.
    """
    try:
        is_file = path.is_file()
    except OSError as error:
        raise DataError(f"dataset.path is {str(path)[:80]!r}, which cannot be a path: {error.strerror}.") from error
    if is_file:
        return {Split.TRAIN: (path, read_table(path))}
    if not path.is_dir():
        raise DataError(_absent(path, name))
    found = {split: table for split in Split if (table := _split_file(path, split))}
    if Split.TRAIN in found:
        return {split: (file, read_table(file)) for split, file in found.items()}
    texts = sorted(path.glob("*.txt"))
    if texts and not found:
        return {Split.TRAIN: (path, {"text": [_read_text(file) for file in texts]})}
    raise DataError(
        f"dataset.path is {str(path)!r}, a folder without a training split; it needs train.csv (or "
        f"{', '.join(e for e in READERS if e != '.csv')}) and may have valid and test beside it, "
        "or .txt files, one a row."
    )


def _absent(path: Path, name: str) -> str:
    if name not in PREPARED:
        return f"there is nothing at {str(path)!r}; name the file or folder of dataset {name!r} by dataset.path=..."
    return (
        f"the files of dataset {name!r} are not at {str(path)!r}; set ALCHEMIST_DATA (or paths.data) to a folder that "
        f"holds {name}/train.parquet, valid.parquet and test.parquet, or make them from the published files with "
        f"`python scripts/prepare_data.py {name} --source FILE` (without --source it says where those are)."
    )


def _split_file(folder: Path, split: Split) -> Path | None:
    names = [folder / f"{name}{ending}" for name in SPLIT_NAMES[split] for ending in READERS]
    files = [name for name in names if name.is_file()]
    if len(files) > 1:
        raise DataError(f"{folder} has {' and '.join(f.name for f in files)} for the split {split}; leave only one.")
    return files[0] if files else None


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
