"""Labels a table part by part: all columns of the input, then the label, its probabilities and the votes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.data.part_writers import write_parts
from alchemist_exp.data.readers import extension, similar_column
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.data.table import Columns
from alchemist_exp.data.table_base import TableStream
from alchemist_exp.labeling.label_columns import CONFIDENCE, label_columns, output_names, own_columns, shown_label
from alchemist_exp.labeling.row_labeler import RowLabeler, RowLabels
from alchemist_exp.labeling.run_files import StoredRun

if TYPE_CHECKING:
    import pyarrow as pa

MAX_REASONS: Final = 1000
"""Each row may have its own reason, such as a missing image."""

IMAGE_COLUMNS: Final = ("path", "image", "file")
"""Columns that may have the paths of images, if neither the user nor the run names one."""


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """What was written.

    Attributes:
        n_rows: The number of rows.
        labels: Rows by label, the most frequent first; rows without one are not counted.
        reasons: Why rows have no content, with the number of rows; empty if the kind gives no reasons. A sum has the
            `MAX_REASONS` most frequent ones.
        failures: By program, the number of parts on which it did not finish, and the first reason.
        outcomes: Rows by outcome, added up over the programs; empty without programs.

    """

    n_rows: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "LabelSummary") -> "LabelSummary":
        """Return the summary of both; of each program's failures the first reason."""
        failures = dict(self.failures)
        for name, (count, reason) in other.failures.items():
            before, first = failures.get(name, (0, reason))
            failures[name] = (before + count, first)
        return LabelSummary(
            n_rows=self.n_rows + other.n_rows,
            labels=_sums(self.labels, other.labels),
            reasons=_sums(self.reasons, other.reasons, MAX_REASONS),
            failures=failures,
            outcomes=_sums(self.outcomes, other.outcomes),
        )


def _sums(one: Mapping[str, int], other: Mapping[str, int], limit: int | None = None) -> dict[str, int]:
    """Return the sums of counts, the largest first."""
    return dict((Counter(one) + Counter(other)).most_common(limit))


@dataclass(frozen=True, kw_only=True, eq=False)
class TableLabeler:
    """Labels the rows of a table and writes them with their labels, to one file or to several.

    Attributes:
        table: The table.
        row_columns: The columns that rows are made of.
        labeler: Labels the rows.
        keep: The columns of the table that are written; None for all.

    """

    table: TableStream
    row_columns: Sequence[str]
    labeler: RowLabeler
    keep: Sequence[str] | None = None

    def write(
        self,
        out: Path,
        parts: Iterable[Columns],
        advance: Callable[[int], None],
        *,
        number: int = 0,
        skipped_rows: int = 0,
        metadata: Callable[[LabelSummary], Mapping[str, str]] | None = None,
    ) -> LabelSummary:
        """Label rows and write them to a file.

        Args:
            out: The file; it is replaced at the end.
            parts: The rows.
            advance: Is called with the number of rows that were labeled since its last call.
            number: The number of the file, if the table is written to several; ties between classes depend on it.
            skipped_rows: The rows of the table before these, for messages.
            metadata: Returns the key-value metadata of a Parquet file, given what was written.

        Returns:
            What was written.

        Raises:
            AlchemistError: The table cannot be read, labeled or written; `out` is then unchanged.

        """
        rng = np.random.default_rng(number)
        table, labeler, names = self.table, self.labeler, self._names
        summary = LabelSummary()
        is_csv = (out.suffix.lower(), extension(table.path).removesuffix(".gz")) == (".csv", ".csv")
        with write_parts(
            out,
            [*names.values(), *own_columns(labeler)],
            types=lambda: self._types,
            delimiter=table.delimiter if is_csv and table.delimiter else ",",
            byte_order_mark=table.byte_order_mark,
            metadata=lambda: metadata(summary) if metadata else {},
        ) as write:
            for columns in parts:
                part = TablePart(
                    file=table.path,
                    columns=columns,
                    untyped=table.untyped,
                    class_names=table.class_names,
                    first_row=table.first_row + skipped_rows + summary.n_rows,
                )
                rows = labeler.kind.parse_columns(part, self.row_columns)
                found = labeler.label(rows, rng)
                ending = out.suffix.lower()
                labels = label_columns(
                    found, labeler, spreadsheet=ending in (".csv", ".tsv"), joined=ending in (".csv", ".tsv", ".xlsx")
                )
                write({names[name]: columns[name] for name in names} | labels)
                summary += summarize(rows, found, labeler)
                advance(len(rows))
        return summary

    @cached_property
    def _names(self) -> dict[str, str]:
        """The name of each column of the table in the output."""
        return output_names(self.table.columns if self.keep is None else self.keep, own_columns(self.labeler))

    @cached_property
    def _types(self) -> "Mapping[str, pa.DataType]":
        """The type of each column of a Parquet file; equal in all files."""
        import pyarrow as pa

        found, ours = self.table.arrow_types(), own_columns(self.labeler)
        of_input = {written: found[name] for name, written in self._names.items()}
        numbers = {name for name in ours if name == CONFIDENCE or name.startswith("p(")}
        label = pa.list_(pa.string()) if self.labeler.multi_label else pa.string()
        return of_input | {name: pa.float64() if name in numbers else label for name in ours}


def open_labeler(
    table: TableStream, run: StoredRun, labeler: RowLabeler, text: str | None, keep: Sequence[str] | None
) -> TableLabeler:
    """Find the columns of a table.

    Args:
        table: The table.
        run: The run.
        labeler: Labels the rows.
        text: The column that the user names; None for that of the run.
        keep: The columns of the table that are written; None for all.

    Returns:
        Labels the table; other columns are not read if the format allows it.

    Raises:
        ConfigError: The table does not have a column.

    """
    row_columns = find_row_columns(table, labeler, wanted_columns(run, labeler, text), text)
    if absent := next((name for name in keep or () if name not in table.columns), None):
        raise ConfigError(f"{table.path} has no column {absent!r}, which --keep names.")
    if keep is not None:
        table = table.select(list(dict.fromkeys([*row_columns, *keep])))
    return TableLabeler(table=table, row_columns=row_columns, labeler=labeler, keep=keep)


def summarize(rows: Sequence[str], found: RowLabels, labeler: RowLabeler) -> LabelSummary:
    """Return the summary of a part of the rows.

    Args:
        rows: The rows.
        found: Their labels.
        labeler: What has labeled them.

    """
    return LabelSummary(
        n_rows=len(rows),
        labels=Counter(
            "no class" if labeler.multi_label and c == 0 else shown_label(c, labeler)
            for c in found.classes.tolist()
            if c != ABSTAIN
        ),
        reasons=Counter(filter(None, map(labeler.kind.reason_without_content, rows))),
        failures={name: (1, reason) for name, reason in found.failures.items()},
        outcomes=found.outcomes,
    )


@contextmanager
def explain_encoding_errors() -> Iterator[None]:
    """Name the option --encoding in errors of readers, which name the configuration key of a dataset.

    Raises:
        AlchemistError: The error, with the name of the option.

    """
    try:
        yield
    except AlchemistError as error:
        text = (
            str(error).replace("set dataset.encoding=", "set --encoding ").replace("dataset.encoding=", "--encoding ")
        )
        raise type(error)(text.replace("set dataset.encoding", "set --encoding")) from error


def wanted_columns(run: StoredRun, labeler: RowLabeler, asked: str | None) -> tuple[str, ...]:
    """Return the columns that rows are made of, as the user or the run names them.

    Args:
        run: The run.
        labeler: Labels the rows.
        asked: The column that the user names; None for that of the run.

    """
    if labeler.kind.columns:
        return tuple(column.name for column in labeler.kind.columns)
    if asked is not None:
        return (asked,)
    dataset = run.config("dataset")
    named: Any = dataset.get("path_column" if labeler.kind.name == "images" else "text_column")
    return (named,) if isinstance(named, str) else IMAGE_COLUMNS if labeler.kind.name == "images" else ("text",)


def find_row_columns(
    table: TableStream, labeler: RowLabeler, wanted: Sequence[str], asked: str | None, option: str = "--text"
) -> tuple[str, ...]:
    """Return the columns of a table that rows are made of.

    Args:
        table: The table.
        labeler: Labels the rows.
        wanted: See `wanted_columns`.
        asked: The column that the user names; None for that of the run.
        option: How the user names it, for messages.

    Raises:
        ConfigError: The table does not have them, or the user names one for rows of several columns.

    """
    columns = ", ".join(map(repr, table.columns))
    if labeler.kind.columns:
        if asked is not None:
            raise ConfigError(f"{option} is for texts; the rows of this run have the columns {', '.join(wanted)}.")
    elif asked is None:
        found = next((name for name in wanted if name in table.columns), None)
        if found is None and len(table.columns) == 1:
            found = table.columns[0]
        if found is None:
            guess = similar_column(wanted[0], table.columns)
            hint = "" if guess is None else f" (did you mean {guess!r}?)"
            raise ConfigError(
                f"{table.path} has no column {sanitize(wanted[0])!r}{hint}; name the column of the rows by {option}, "
                f"one of {columns}."
            )
        return (found,)
    if absent := next((name for name in wanted if name not in table.columns), None):
        guess = similar_column(absent, table.columns)
        hint = "" if guess is None else f" (did you mean {guess!r}?)"
        raise ConfigError(f"{table.path} has no column {sanitize(absent)!r}{hint}; the columns are {columns}.")
    return tuple(wanted)
