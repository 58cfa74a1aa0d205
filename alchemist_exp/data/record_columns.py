"""The columns of records: how tables become rows, and the types of their values."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.task import Column
from alchemist_exp.core.types import Split

Value = str | int | float | bool | None
"""A value of a record."""

MAX_CATEGORIES: Final = 100
MAX_CATEGORY_CHARACTERS: Final = 50
"""Most different strings of a column of categories, and characters of each; longer ones are sentences."""

MIN_ROWS_PER_CATEGORY: Final = 5
"""Rows that a category has on average, at least; a column with fewer is text."""

N_EXAMPLES: Final = 2
MAX_EXAMPLE_CHARACTERS: Final = 40
"""Values of a column that a prompt may show, and characters of each."""

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
"""No leading zeros and at most 18 digits, which fit in 64 bits: other numbers are ids."""

_FLOAT = re.compile(r"-?(0|[1-9]\d{0,17})?(\.\d*)?(?<=[\d.])([eE][-+]?\d{1,3})?", re.ASCII)
_NO_NUMBER: Final = frozenset(("", "nan", "na", "n/a", "null", "none"))
"""What may be in a column of numbers in place of a missing one, in lower case."""

_MAX_INTEGER: Final = 2**63


@dataclass(frozen=True, kw_only=True)
class RecordTable:
    """The columns of a split that records are made of.

    Attributes:
        where: The file, for messages.
        columns: The columns by name, each with one value per row.
        untyped: Whether all values are strings because the format has no types (CSV, TSV, Excel).
        class_names: The class names of columns of class indices; by column.
        first_row: The number of the first row, for messages.

    """

    where: str
    columns: Mapping[str, Sequence[Any]]
    untyped: bool
    class_names: Mapping[str, Sequence[str]]
    first_row: int = 1


def read_records(names: Sequence[str], tables: Mapping[Split, RecordTable]) -> tuple[dict[Split, list[str]], list[str]]:
    """Make records of tables. The type of a column is decided over all splits.

    Args:
        names: The columns of a record, in their order.
        tables: The splits; each has all of these columns.

    Returns:
        The rows of each split, and notes on columns.

    Raises:
        DataError: A column has values that are not text, numbers or booleans.

    """
    columns: dict[str, dict[Split, list[Value]]] = {}
    notes: list[str] = []
    for name in names:
        columns[name] = _read_column(name, tables, notes)
    rows = {
        split: [
            json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
            for values in zip(*(columns[name][split] for name in names), strict=True)
        ]
        for split in tables
    }
    return rows, notes


def _read_column(name: str, tables: Mapping[Split, RecordTable], notes: list[str]) -> dict[Split, list[Value]]:
    """Return a column of each split with values of one type, and add a note if its values had several."""
    found = {split: column_values(name, table) for split, table in tables.items()}
    untyped = {value for split, table in tables.items() if table.untyped for value in found[split]} - {None}
    typed = {type(value) for split, table in tables.items() if not table.untyped for value in found[split]}
    numbers = {value: _number(value) for value in untyped if isinstance(value, str)}
    are_numbers = all(number is not None or _no_number(text) for text, number in numbers.items())
    if str not in typed and are_numbers and any(number is not None for number in numbers.values()):
        for split, table in tables.items():
            if table.untyped:
                found[split] = [numbers.get(value) if isinstance(value, str) else None for value in found[split]]
    types = {type(value) for values in found.values() for value in values} - {type(None)}
    if not types:
        notes.append(f"The column {name!r} has no value in any row.")
    if types <= {int, float} and len(types) > 1:
        return {split: [None if v is None else float(v) for v in values] for split, values in found.items()}
    if len(types) > 1:
        kinds = ", ".join(sorted(kind.__name__ for kind in types))
        notes.append(f"The column {name!r} has values of several types ({kinds}); programs receive them as str.")
        return {
            split: [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
            for split, values in found.items()
        }
    return found


def column_values(name: str, table: RecordTable) -> list[Value]:
    """Return the values of a column of one split as str, int, float, bool or None."""
    values: list[Value] = []
    class_names = table.class_names.get(name)
    for row, value in enumerate(table.columns[name], start=table.first_row):
        match value:
            case None:
                values.append(None)
            case str():
                values.append(None if table.untyped and not value.strip() else value)
            case int() if class_names and not isinstance(value, bool):
                values.append(class_names[value] if 0 <= value < len(class_names) else None)
            case bool():
                values.append(value)
            case int():
                values.append(value if abs(value) < _MAX_INTEGER else str(value))
            case float() | Decimal():
                values.append(float(value) if math.isfinite(value) else None)
            case date() | time():  # a datetime is a date
                values.append(value.isoformat())
            case list() | dict():
                values.append(_as_json(value, name, row, table.where))
            case _:
                raise _no_value(name, type(value).__name__, row, table.where)
    return values


def _as_json(value: object, name: str, row: int, where: str) -> str:
    def convert(inner: object) -> str:
        """Return a value that JSON does not have as text, or refuse its type."""
        if isinstance(inner, date | time | Decimal):
            return str(inner)
        raise _no_value(name, type(inner).__name__, row, where)

    return json.dumps(value, ensure_ascii=False, default=convert)


def _no_value(name: str, kind: str, row: int, where: str) -> DataError:
    return DataError(
        f"{where}: row {row} has a value of type {kind} in the column {name!r}, and columns have text, numbers and "
        "booleans; leave the column out of dataset.columns, or write its values as text."
    )


def _number(text: str) -> int | float | None:
    """Return the number that a string is, None if it is none."""
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if text not in ("", ".", "-.") and _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return None


def _no_number(text: str) -> bool:
    return text.strip().casefold() in _NO_NUMBER


def describe_columns(
    names: Sequence[str], rows: Mapping[Split, Sequence[str]], *, examples: bool
) -> tuple[Column, ...]:
    """Describe the columns of records.

    Args:
        names: The columns.
        rows: The rows of each split. Types are those of all splits; everything else is found on train.
        examples: Whether values of train may be shown.

    Returns:
        The columns, in the order of their names.

    """
    train = [json.loads(row) for row in rows[Split.TRAIN]]
    others = [json.loads(row) for split, part in rows.items() if split is not Split.TRAIN for row in part]
    described = []
    for name in names:
        values = [record[name] for record in train if record[name] is not None]
        more = (record[name] for record in others if record[name] is not None)
        kind = type(next(iter(values), next(more, "")))
        counts = Counter(values) if kind is str else Counter[Any]()
        few = 0 < len(counts) <= min(MAX_CATEGORIES, len(values) // MIN_ROWS_PER_CATEGORY)
        shown = dict.fromkeys(value_line(value) for value in values[:1000])
        described.append(
            Column(
                name=name,
                type=kind.__name__,
                category=few and max(map(len, counts)) <= MAX_CATEGORY_CHARACTERS,
                missing=1 - len(values) / len(train),
                examples=tuple(shorten(text, MAX_EXAMPLE_CHARACTERS) for text in list(shown)[:N_EXAMPLES])
                if examples
                else (),
            )
        )
    return tuple(described)


def convert_value(value: object, column: Column) -> Value:
    """Return a value in the type of a column."""
    table = RecordTable(where="", columns={column.name: [value]}, untyped=False, class_names={})
    (plain,) = column_values(column.name, table)
    if plain is None or type(plain).__name__ == column.type:
        return plain
    if column.type == "str":
        return json.dumps(plain)
    number = _number(plain) if isinstance(plain, str) else plain
    match column.type, number:
        case "float", int() | float() if not isinstance(number, bool):
            return float(number)
        case "int", int() if not isinstance(number, bool):
            return number
        case "int", float() if number.is_integer():
            return int(number)
        case "int" | "float", None if isinstance(plain, str) and _no_number(plain):
            return None
        case _:
            raise ValueError(f"{column.name} is {str(value)[:40]!r}; expected {column.type}")


def value_text(value: str | float) -> str:
    """Return a value as text; numbers and booleans as in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def value_line(value: str | float) -> str:
    """Return a value as text on one line, with single spaces."""
    return " ".join(value_text(value).split())


def shorten(text: str, n_chars: int) -> str:
    """Return the first `n_chars` characters of a text, with three dots if there are more."""
    return text if len(text) <= n_chars else f"{text[:n_chars].rstrip()}..."
