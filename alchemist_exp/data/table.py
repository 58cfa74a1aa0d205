"""The content of a file with columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Columns = Mapping[str, list[Any]]


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
