"""Reads the published raw files of each format into rows. Promises the file and line of whatever is wrong.

A reader takes the files of one source and gives `Parts`: the rows by split where the publisher has split them, under
None where not. Texts stay as published but for what a reader's docstring says; a row without text is kept here, and
dropped and counted by whoever prepares the set.
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
"""How a publisher spells the classes, and which class index is meant."""


@dataclass(frozen=True)
class RawRow:
    """One labeled text. votes: of the human-crafted labeling functions, None where the source has none."""

    text: str
    label: int
    votes: tuple[int, ...] | None = None


Parts = dict[Split | None, list[RawRow]]
Reader = Callable[[Sequence[Path]], Parts]


def table(labels: Labels, *, text: str, label: str, encoding: str = "utf-8-sig") -> Reader:
    """Reads CSV files whose header has the columns `text` and `label`; others are passed over."""

    def read(files: Sequence[Path]) -> Parts:
        return {None: [row for file in files for row in _table_rows(file, labels, text, label, encoding)]}

    return read


def split_tables(labels: Labels, *, text: str, label: str) -> Reader:
    """As `table`, for one file with "train" and one with "test" in its name."""

    def read(files: Sequence[Path]) -> Parts:
        return {
            split: list(_table_rows(_only(files, split), labels, text, label, "utf-8-sig"))
            for split in (Split.TRAIN, Split.TEST)
        }

    return read


def _table_rows(file: Path, labels: Labels, text: str, label: str, encoding: str) -> Iterator[RawRow]:
    records = _records(file, encoding)
    _, header = next(records, (1, []))
    absent = [name for name in (text, label) if name not in header]
    if absent:
        raise DataError(
            f"{file} has no column {' and no column '.join(map(repr, absent))}; its first line has "
            f"{', '.join(map(repr, header)) or 'nothing'}, so it is another file than the one that is meant."
        )
    at_text, at_label = header.index(text), header.index(label)
    for line, record in records:
        if len(record) != len(header):
            raise DataError(f"{file}: line {line} has {len(record)} fields and the header {len(header)}; get it again.")
        yield RawRow(record[at_text], _class_of(record[at_label], labels, f"{file}: line {line}"))


def _records(file: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of the line on which it begins; empty lines are passed over."""
    csv.field_size_limit(2**31 - 1)
    try:
        with file.open(encoding=encoding, newline="") as lines:
            reader = csv.reader(lines, strict=True)
            begins = 1
            for record in reader:
                if record:
                    yield begins, record
                begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}: the record at line {begins} is not CSV ({error}); get the file again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in {error.encoding} (byte {error.start}); get it again.") from error


def _class_of(spelled: str, labels: Labels, where: str) -> int:
    if spelled.strip() not in labels:
        raise DataError(f"{where}: {unknown_name('the label', spelled.strip()[:40], labels)}")
    return labels[spelled.strip()]


def _only(files: Sequence[Path], split: Split) -> Path:
    """The one file of `split`, by its name."""
    found = [file for file in files if split in file.name]
    if len(found) != 1:
        known = ", ".join(str(file) for file in files)
        raise DataError(f"one file with {split.value!r} in its name is needed, and {known} has {len(found)}.")
    return found[0]


def yelp_polarity(files: Sequence[Path]) -> Parts:
    r"""Reads CSV without a header: "1" (negative) or "2", then the review. Escapes \n and \" are undone."""
    rows = []
    for file in files:
        for line, record in _records(file, "utf-8-sig"):
            if len(record) != 2:
                raise DataError(f"{file}: line {line} has {len(record)} fields; a label and a review are needed.")
            text = record[1].replace("\\n", "\n").replace('\\"', '"')
            rows.append(RawRow(text, _class_of(record[0], {"1": 0, "2": 1}, f"{file}: line {line}")))
    return {None: rows}


def lines(labels: Labels, *, separator: str, label_first: bool, encoding: str) -> Reader:
    """Reads a row a line without quoting: label, separator, text; or the other way round, cut at the last separator."""

    def row(line: str, where: str) -> RawRow:
        before, found, after = line.partition(separator) if label_first else line.rpartition(separator)
        if not found:
            raise DataError(f"{where} has no {separator!r} between label and text; it is another file or a broken one.")
        label, text = (before, after) if label_first else (after, before)
        return RawRow(text, _class_of(label, labels, where))

    def read(files: Sequence[Path]) -> Parts:
        rows = []
        for file in files:
            # Not splitlines: texts hold other line separators of Unicode.
            for number, line in enumerate(_decoded(file, encoding).split("\n"), start=1):
                if line.strip():
                    rows.append(row(line.removesuffix("\r"), f"{file}: line {number}"))
        return {None: rows}

    return read


def without_breaks(read: Reader) -> Reader:
    """As `read`, with a space for each <br />: the mark-up of a web page, not the reviewer's."""

    def read_clean(files: Sequence[Path]) -> Parts:
        parts = read(files)
        return {
            split: [RawRow(row.text.replace("<br />", " "), row.label) for row in rows] for split, rows in parts.items()
        }

    return read_clean


def folders(labels: Labels) -> Reader:
    """Reads files that are one text each, in folders named as the labels."""

    def read(files: Sequence[Path]) -> Parts:
        return {
            None: [RawRow(_decoded(file, "utf-8"), _class_of(file.parent.name, labels, str(file))) for file in files]
        }

    return read


def wrench(n_classes: int) -> Reader:
    """Reads WRENCH's train.json, valid.json and test.json: a row under each key, with label, weak_labels and text."""

    def read(files: Sequence[Path]) -> Parts:
        return {split: _wrench_rows(_only(files, split), n_classes) for split in Split}

    return read


def _wrench_rows(file: Path, n_classes: int) -> list[RawRow]:
    try:
        content = json.loads(_decoded(file, "utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error}); get it again.") from error
    if not isinstance(content, dict):
        raise DataError(f'{file} is not a JSON object of rows, as {{"0": {{"label": ...}}}}; it is another file.')
    rows = [_wrench_row(row, f"{file}: row {key!r}", n_classes) for key, row in content.items()]
    widths = {len(row.votes or ()) for row in rows}
    if len(widths) > 1:
        raise DataError(f"{file} has rows of {min(widths)} and of {max(widths)} weak_labels; get it again.")
    return rows


def _wrench_row(row: Any, where: str, n_classes: int) -> RawRow:
    try:
        text, label, votes = row["data"]["text"], row["label"], row["weak_labels"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f'{where} lacks "label", "weak_labels" or "data" with its "text"; it is another file.'
        ) from error
    if not isinstance(text, str):
        raise DataError(f"{where} has {type(text).__name__} where a text is needed.")
    if not _is_class(label, range(n_classes)):
        raise DataError(f"{where} has the label {str(label)[:40]}; 0..{n_classes - 1} is needed.")
    if not isinstance(votes, list) or not all(_is_class(vote, range(ABSTAIN, n_classes)) for vote in votes):
        raise DataError(f"{where} has weak_labels {str(votes)[:40]}; a list of -1..{n_classes - 1} is needed.")
    return RawRow(text, label, tuple(votes) or None)


def _is_class(value: Any, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _decoded(file: Path, encoding: str) -> str:
    if not file.is_file():
        raise DataError(f"{file} is not a file; name the raw file.")  # a pipe would keep its reader waiting
    try:
        return file.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in {error.encoding} (byte {error.start}); get it again.") from error
