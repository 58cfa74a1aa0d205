"""Readers of the published raw files of each format. Errors have the file and line.

A reader takes the files of one source and returns the rows by split, or under None if the publisher has not split them.
Texts stay as published except for what a reader's docstring says. Rows without text are kept here, and dropped and
counted in `prepare`.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.types import ABSTAIN, Split

Labels = Mapping[str, int]
"""A publisher's name of each class, and its class index."""


@dataclass(frozen=True)
class RawRow:
    """One labeled text.

    Attributes:
        text: The text as published.
        label: The class index.
        votes: The votes of the human-crafted labeling functions; None if the source has none.

    """

    text: str
    label: int
    votes: tuple[int, ...] | None = None


RowsBySplit = dict[Split | None, list[RawRow]]
Reader = Callable[[Sequence[Path]], RowsBySplit]


def table(labels: Labels, *, text: str, label: str, encoding: str = "utf-8-sig") -> Reader:
    """Return a reader of CSV files with a header.

    Args:
        labels: The publisher's class names.
        text: The column of the texts.
        label: The column of the labels; other columns are ignored.
        encoding: The encoding of the files.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        return {None: [row for file in files for row in _table_rows(file, labels, text, label, encoding)]}

    return _read


def split_tables(labels: Labels, *, text: str, label: str) -> Reader:
    """Return a reader as `table` does, for one file with "train" and one with "test" in its name.

    Args:
        labels: The publisher's class names.
        text: The column of the texts.
        label: The column of the labels.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        return {
            split: list(_table_rows(_file_of(files, split), labels, text, label, "utf-8-sig"))
            for split in (Split.TRAIN, Split.TEST)
        }

    return _read


def _table_rows(file: Path, labels: Labels, text: str, label: str, encoding: str) -> Iterator[RawRow]:
    records = _records(file, encoding)
    _, header = next(records, (1, []))
    missing = [name for name in (text, label) if name not in header]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(map(repr, missing))}; its first line has "
            f"{', '.join(map(repr, header)) or 'no columns'}, so it is probably another file."
        )
    at_text, at_label = header.index(text), header.index(label)
    for line, record in records:
        if len(record) != len(header):
            raise DataError(
                f"{file}: line {line} has {len(record)} fields and the header {len(header)}; download it again."
            )
        yield RawRow(record[at_text], _class_index(record[at_label], labels, f"{file}: line {line}"))


def _records(file: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not empty, with the number of its first line."""
    csv.field_size_limit(2**31 - 1)
    try:
        with file.open(encoding=encoding, newline="") as lines:
            reader = csv.reader(lines, strict=True)
            first_line = 1
            for record in reader:
                if record:
                    yield first_line, record
                first_line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}: the record at line {first_line} is not CSV ({error}); download it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in {error.encoding} (byte {error.start}); download it again.") from error


def _class_index(label: str, labels: Labels, where: str) -> int:
    label = label.strip()
    if label not in labels:
        raise DataError(f"{where}: {unknown_name('the label', label[:40], labels)}")
    return labels[label]


def _file_of(files: Sequence[Path], split: Split) -> Path:
    """Return the only file with the split in its name."""
    matches = [file for file in files if split in file.name]
    if len(matches) != 1:
        raise DataError(
            f"expected one file with {split.value!r} in its name, but {', '.join(map(str, files))} has {len(matches)}."
        )
    return matches[0]


def yelp_polarity(files: Sequence[Path]) -> RowsBySplit:
    r"""Read CSV without a header: "1" (negative) or "2" (positive), then the review.

    Args:
        files: The files.

    Returns:
        The rows, not split. The escapes \n and \" are decoded.

    Raises:
        DataError: A record is broken.

    """
    rows = []
    for file in files:
        for line, record in _records(file, "utf-8-sig"):
            if len(record) != 2:
                raise DataError(f"{file}: line {line} has {len(record)} fields; expected a label and a review.")
            text = record[1].replace("\\n", "\n").replace('\\"', '"')
            rows.append(RawRow(text, _class_index(record[0], {"1": 0, "2": 1}, f"{file}: line {line}")))
    return {None: rows}


def lines(labels: Labels, *, separator: str, label_first: bool, encoding: str) -> Reader:
    """Return a reader of files with one row per line and without quotes.

    Args:
        labels: The publisher's class names.
        separator: The text between label and text.
        label_first: Whether a line is label, separator, text; if not, the label follows the last separator.
        encoding: The encoding of the files.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        rows = []
        for file in files:
            # splitlines() would also split at the other line separators of Unicode, which texts contain.
            for number, line in enumerate(_read_text(file, encoding).split("\n"), start=1):
                if not line.strip():
                    continue
                line, where = line.removesuffix("\r"), f"{file}: line {number}"
                before, between, after = line.partition(separator) if label_first else line.rpartition(separator)
                if not between:
                    raise DataError(
                        f"{where} has no {separator!r} between label and text; the file is broken or another one."
                    )
                label, text = (before, after) if label_first else (after, before)
                rows.append(RawRow(text, _class_index(label, labels, where)))
        return {None: rows}

    return _read


def without_breaks(read: Reader) -> Reader:
    """Return a reader that replaces each <br />, which a web page has added, by a space.

    Args:
        read: The reader of the files.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        return {
            split: [RawRow(row.text.replace("<br />", " "), row.label) for row in rows]
            for split, rows in read(files).items()
        }

    return _read


def directories(labels: Labels) -> Reader:
    """Return a reader of files with one text each, in directories that have the names of the labels.

    Args:
        labels: The publisher's class names.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        return {
            None: [
                RawRow(_read_text(file, "utf-8"), _class_index(file.parent.name, labels, str(file))) for file in files
            ]
        }

    return _read


def wrench(n_classes: int) -> Reader:
    """Return a reader of WRENCH's train.json, valid.json and test.json.

    Args:
        n_classes: The number of classes; a row has label, weak_labels and data.text.

    """

    def _read(files: Sequence[Path]) -> RowsBySplit:
        return {split: _wrench_rows(_file_of(files, split), n_classes) for split in Split}

    return _read


def _wrench_rows(file: Path, n_classes: int) -> list[RawRow]:
    try:
        content = json.loads(_read_text(file, "utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise DataError(
            f'{file} is not a JSON object of rows, as {{"0": {{"label": ...}}}}; it is probably another file.'
        )
    rows = [_wrench_row(row, f"{file}: row {key!r}", n_classes) for key, row in content.items()]
    widths = {len(row.votes or ()) for row in rows}
    if len(widths) > 1:
        raise DataError(f"{file} has rows of {min(widths)} and of {max(widths)} weak_labels; download it again.")
    return rows


def _wrench_row(row: Any, where: str, n_classes: int) -> RawRow:
    try:
        text, label, votes = row["data"]["text"], row["label"], row["weak_labels"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f'{where} has no "label", "weak_labels" or "data" with a "text"; it is probably another file.'
        ) from error
    if not isinstance(text, str):
        raise DataError(f"{where} has {type(text).__name__}; expected a text.")
    if not _is_class(label, range(n_classes)):
        raise DataError(f"{where} has the label {str(label)[:40]}; expected 0..{n_classes - 1}.")
    if not isinstance(votes, list) or not all(_is_class(vote, range(ABSTAIN, n_classes)) for vote in votes):
        raise DataError(f"{where} has weak_labels {str(votes)[:40]}; expected a list of -1..{n_classes - 1}.")
    return RawRow(text, label, tuple(votes) or None)


def _is_class(value: Any, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _read_text(file: Path, encoding: str) -> str:
    if not file.is_file():
        raise DataError(f"{file} is not a file; name the raw file.")  # reading a pipe would wait
    try:
        return file.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in {error.encoding} (byte {error.start}); download it again.") from error
