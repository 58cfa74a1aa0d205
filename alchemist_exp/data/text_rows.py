"""Rows that are texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.hashing import texts_fingerprint
from alchemist_exp.data.row_kind import RowKind, TablePart
from alchemist_exp.data.text_column import TextColumn
from alchemist_exp.data.texts import as_text, check_texts, has_text, letters_and_digits

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TextRows(RowKind):
    """Texts; a program receives a str."""

    name = "texts"
    parameter = None
    annotation = "str"
    without_content = "Without text"
    repeated = "Repeated texts"

    def fingerprint(self, rows: Iterable[str]) -> str:
        """Return a key of the texts."""
        return texts_fingerprint(rows)

    def is_empty(self, row: str) -> bool:
        """Return whether a text has no visible character."""
        return not has_text(row)

    def check(self, rows: Sequence[str], n_rows: int, where: str) -> None:
        """Check that the rows are texts, see `check_texts`."""
        check_texts(rows, n_rows, where)

    def show(self, row: str, n_chars: int | None = None) -> str:
        """Return the text as it is."""
        return row

    def content(self, row: str) -> str:
        """Return the text as it is."""
        return row

    def repeat_key(self, row: str) -> str:
        """Return the letters and digits of the text."""
        return letters_and_digits(row)

    def extractor_input(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the texts as they are."""
        return rows

    def values(self, rows: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return no columns: a text has none."""
        return {}

    def arrow_columns(self, rows: Sequence[str]) -> "Mapping[str, pa.Array]":
        """Return the column text, one string per row."""
        import pyarrow as pa

        if isinstance(rows, TextColumn):
            return {"text": rows.to_arrow()}
        return {"text": pa.array(rows, pa.large_string())}

    def parse(self, line: str) -> str:
        """Return the line, which is a text."""
        return line

    def parse_columns(self, part: TablePart, names: Sequence[str]) -> list[str]:
        """Return the texts in the only column."""
        (name,) = names
        values = enumerate(part.columns[name], start=part.first_row)
        return [as_text(value, row, str(part.file)) for row, value in values]
