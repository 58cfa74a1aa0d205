"""Rows of several columns: how tables become records, and what a record is for the stages of a run.

A record is stored as one line of JSON, so that it cannot be changed, and a worker of the sandbox makes a separate dict
of it for each call.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.hashing import key_of, texts_fingerprint
from alchemist_exp.data.record_columns import (
    RecordTable,
    Value,
    column_values,
    convert_value,
    shorten,
    value_line,
    value_text,
)
from alchemist_exp.data.row_kind import RowKind, TablePart
from alchemist_exp.data.texts import MIN_SHARE_WITH_TEXT, has_text, letters_and_digits

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class RecordRows(RowKind):
    r"""Records: rows of several named columns; a program receives a dict.

    Example:
        >>> from alchemist_exp.core.task import Column
        >>> rows = RecordRows(columns=(Column(name="title", type="str"), Column(name="price", type="float")))
        >>> row = rows.parse('{"price": 3, "title": "Tea"}')
        >>> row, rows.show(row)
        ('{"title": "Tea", "price": 3.0}', 'title: Tea\nprice: 3.0')

    """

    name = "records"
    parameter = "row"
    annotation = "dict"
    without_content = "Without a value in any column"
    repeated = "Repeated rows"

    def fingerprint(self, rows: Iterable[str]) -> str:
        """Return a key of the names, types and values of all columns; texts that are the same JSON have another."""
        return key_of("records", texts_fingerprint(rows))

    def is_empty(self, row: str) -> bool:
        """Return whether all values are missing, or are texts without a visible character."""
        return not any(
            has_text(value) if isinstance(value, str) else value is not None for value in json.loads(row).values()
        )

    def check(self, rows: Sequence[str], n_rows: int, where: str) -> None:
        """Check that there are rows with values."""
        if len(rows) < MIN_SHARE_WITH_TEXT * n_rows or not rows:
            raise DataError(
                f"{where}: {n_rows - len(rows):,} of {n_rows:,} rows have no value in the columns "
                f"{', '.join(column.name for column in self.columns)}; choose others by dataset.columns, or remove "
                "the empty rows from the file."
            )

    def show(self, row: str, n_chars: int | None = None) -> str:
        """Return each column on a line; if they are shortened, all on one line."""
        lines = []
        for name, value in json.loads(row).items():
            text = "(missing)" if value is None else value_text(value)
            if n_chars is not None:
                text = shorten(value_line(text), max(n_chars // len(self.columns) - len(name) - 4, 10))
            lines.append(f"{name}: {text}")
        return ("\n" if n_chars is None else "; ").join(lines)

    def content(self, row: str) -> str:
        """Return the values of a row."""
        return "\n".join(value_text(value) for value in json.loads(row).values() if value is not None)

    def repeat_key(self, row: str) -> str:
        """Return the letters and digits of texts, and other values as they are."""
        return "\n".join(
            letters_and_digits(value) if isinstance(value, str) else repr(value) for value in json.loads(row).values()
        )

    def extractor_input(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the columns of text, one after the other."""
        names = [column.name for column in self.columns if column.type == "str" and not column.category]
        return ["\n".join(filter(None, (record[name] for name in names))) for record in map(json.loads, rows)]

    def values(self, rows: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return the values of all other columns."""
        records = list(map(json.loads, rows))
        names = [column.name for column in self.columns if column.type != "str" or column.category]
        return {name: [record[name] for record in records] for name in names}

    def arrow_columns(self, rows: Sequence[str]) -> "Mapping[str, pa.Array]":
        """Return the columns with their types."""
        import pyarrow as pa

        types = {"str": pa.large_string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        records = list(map(json.loads, rows))
        return {c.name: pa.array([record[c.name] for record in records], types[c.type]) for c in self.columns}

    def parse(self, line: str) -> str:
        """Return the record in a JSON object; a column that it does not have is missing."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"expected a JSON object with {self._names()}; this is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object with {self._names()}, not {line[:40]}")
        names = [column.name for column in self.columns]
        if not any(name in found for name in names):
            problem = unknown_name("column", next(iter(found)), names) if found else "the object is empty."
            raise ValueError(f"expected a JSON object with {self._names()}; {problem}")
        return json.dumps({c.name: convert_value(found.get(c.name), c) for c in self.columns}, ensure_ascii=False)

    def parse_columns(self, part: TablePart, names: Sequence[str]) -> list[str]:
        """Return the records; each column is converted to its type on train."""
        where = str(part.file)
        table = RecordTable(
            where=where,
            columns=part.columns,
            untyped=part.untyped,
            class_names=part.class_names,
            first_row=part.first_row,
        )
        converted: dict[str, list[Value]] = {}
        for column in self.columns:
            values = converted[column.name] = []
            for row, value in enumerate(column_values(column.name, table), start=part.first_row):
                try:
                    values.append(convert_value(value, column))
                except ValueError as error:
                    raise DataError(f"{where}: row {row}: {error}.") from error
        rows = zip(*converted.values(), strict=True)
        return [json.dumps(dict(zip(converted, values, strict=True)), ensure_ascii=False) for values in rows]

    def _names(self) -> str:
        return ", ".join(column.name for column in self.columns)
