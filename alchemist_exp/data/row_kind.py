"""The base class of kinds of rows: everything about a row that depends on what it is, in one place."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from alchemist_exp.core.task import Column

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """Some rows of a file, in columns.

    Attributes:
        file: The file.
        columns: The columns by name, each with one value per row.
        untyped: Whether all values are strings because the format has no types (CSV, TSV, Excel).
        class_names: The class names of columns of class indices; by column.
        first_row: The number of the first of these rows in the file, from 1.

    """

    file: Path
    columns: Mapping[str, Sequence[Any]]
    untyped: bool = False
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first_row: int = 1


@dataclass(frozen=True, kw_only=True)
class RowKind(ABC):
    """What the rows of a dataset are, for the prompt, the sandbox, the features and people.

    A row is stored as a str: a text itself, a record as one line of JSON. `kinds.KINDS` lists the kinds.

    Attributes:
        name: The kind's name in the record, and in `sandbox.inputs.INPUTS`, which gives the rows to programs.
        parameter: The name of a program's parameter; None for the subject of the task.
        annotation: The type that the prompt gives this parameter; "" for none.
        extractor_input_type: What a feature extractor for these rows reads, see `FeatureExtractor.reads`.
        without_content: How a note calls rows that have no content.
        repeated: How a note calls rows that occur again.
        repeats_by: What is equal in rows that count as repeats.
        modules: Packages that programs about these rows may import.
        columns: The columns that the prompt describes.

    Example:
        >>> from alchemist_exp.data.text_rows import TextRows
        >>> TextRows().is_empty(" "), TextRows().show("hello")
        (True, 'hello')

    """

    name: ClassVar[str]
    parameter: ClassVar[str | None]
    annotation: ClassVar[str]
    extractor_input_type: ClassVar[str] = "texts"
    without_content: ClassVar[str]
    repeated: ClassVar[str]
    repeats_by: ClassVar[str] = "letters and digits"
    modules: ClassVar[tuple[str, ...]] = ()
    columns: tuple[Column, ...] = ()

    @abstractmethod
    def fingerprint(self, rows: Iterable[str]) -> str:
        """Return a key of rows, on which votes and features depend; kinds with other contents have other keys."""

    @abstractmethod
    def is_empty(self, row: str) -> bool:
        """Return whether a row has no content; it gets no label."""

    @abstractmethod
    def check(self, rows: Sequence[str], n_rows: int, where: str) -> None:
        """Check that the rows of a split can be labeled.

        Args:
            rows: The rows of the split that are not empty.
            n_rows: The number of rows of the split.
            where: The split's file, for messages.

        Raises:
            DataError: They cannot; the message says how to fix it.

        """

    @abstractmethod
    def show(self, row: str, n_chars: int | None = None) -> str:
        """Return a row for a person or an LLM.

        Args:
            row: The row.
            n_chars: The characters that will be shown; None for all. A kind of several values shortens each of them.

        Returns:
            The text.

        """

    @abstractmethod
    def content(self, row: str) -> str:
        """Return the words of a row and nothing else: what error messages must not quote."""

    @abstractmethod
    def repeat_key(self, row: str) -> str:
        """Return a text that is equal for rows that count as repeats of each other."""

    def exact_key(self, row: str) -> str:
        """Return a text that is equal for rows with the same content without any change."""
        return row

    @abstractmethod
    def extractor_input(self, rows: Sequence[str]) -> Sequence[Any]:
        """Return what the feature extractor reads of each row: a text, "" for none, or an image."""

    def program_input(self, rows: Sequence[str]) -> Sequence[Any]:
        """Return what the sandbox encodes of each row for programs; by default the row itself."""
        return rows

    @abstractmethod
    def values(self, rows: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return the columns that become features without the extractor: numbers, booleans and categories."""

    @abstractmethod
    def arrow_columns(self, rows: Sequence[str]) -> "Mapping[str, pa.Array]":
        """Return the columns of the labels file that show the rows."""

    @abstractmethod
    def parse(self, line: str) -> str:
        """Return the row in a line of input.

        Args:
            line: The line, without its end.

        Returns:
            The row.

        Raises:
            ValueError: The line is not a row; the message says what is expected.

        """

    def reason_without_content(self, row: str) -> str:
        """Return why a row has no content; "" if it has content, or there is nothing to say."""
        return ""

    @abstractmethod
    def parse_columns(self, part: TablePart, names: Sequence[str]) -> list[str]:
        """Return the rows in a part of a table.

        Args:
            part: The part.
            names: The columns that rows are made of: those of records in their order, or one column.

        Returns:
            One row for each row of the part; equal to those that a dataset of this kind reads.

        Raises:
            DataError: A value is not what the kind needs; the message names the row.

        """
