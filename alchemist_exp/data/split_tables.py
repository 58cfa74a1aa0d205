"""The splits of a dataset as tables, and the check that they have the expected columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.overrides import typed
from alchemist_exp.core.types import Split
from alchemist_exp.data.readers import similar_column
from alchemist_exp.data.table import Columns
from alchemist_exp.data.text_data import LABEL


@dataclass(frozen=True, kw_only=True)
class SplitTable:
    """The rows of a split, as its file has them.

    Attributes:
        where: The file, for messages.
        file: The file; None if the rows are not from a file.
        columns: The columns by name, each with one value per row.
        class_names: The class names that the file itself has; by column.

    """

    where: str
    file: Path | None = None
    columns: Columns
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """The number of rows of the table."""
        return max(map(len, self.columns.values()), default=0)


@dataclass(frozen=True, kw_only=True)
class SplitTables:
    """The splits of a dataset, as its files have them.

    Attributes:
        splits: The rows of each split.
        notes: What the user should know, one sentence each.
        origin: Repository and commit on the Hugging Face Hub; None for files.

    """

    splits: Mapping[Split, SplitTable]
    notes: tuple[str, ...] = ()
    origin: str | None = None


def check_row_columns(source: SplitTables, names: Sequence[str], *, are_records: bool) -> None:
    """Refuse tables without rows, or without a column that rows are made of.

    Args:
        source: The tables of all splits.
        names: The columns that rows are made of.
        are_records: Whether they are dataset.columns; else the only one is dataset.text_column.

    Raises:
        DataError: A split has no such column, or no rows.

    """
    columns = {name for table in source.splits.values() for name in table.columns}
    for table in source.splits.values():
        if absent := next((name for name in names if name not in table.columns), None):
            similar = similar_column(absent, table.columns)
            if are_records:
                advice = "Correct dataset.columns"
            elif absent in columns:  # another split has it
                advice = f"Rename the column of the texts to {absent!r} in every file"
            else:
                advice = "Set the column of the texts by " + (
                    "dataset.text_column=NAME" if similar is None else typed("dataset.text_column", similar)
                )
            raise DataError(
                f"{table.where} has no column {absent!r}"
                f"{'' if similar is None else f' (did you mean {similar!r}?)'}; it has "
                f"{', '.join(map(repr, table.columns)) or 'none'}. "
                f"{advice}."
            )
        if not table.n_rows:
            raise DataError(f"{table.where} has no rows.")


def check_label_column(
    source: SplitTables, label: str | None, human_votes: str | None, rows: Sequence[str], *, are_records: bool
) -> list[str]:
    """Refuse labels under another name than dataset.label_column.

    Args:
        source: The tables of all splits.
        label: dataset.label_column; None for rows without labels.
        human_votes: The column of the human votes; None for none.
        rows: The columns that rows are made of.
        are_records: Whether they are dataset.columns; else the only one is dataset.text_column.

    Returns:
        A note if some split has no labels, otherwise nothing.

    Raises:
        DataError: No split has the column, or a split has one with nearly its name instead.

    """
    if label is None:
        return []
    near: dict[str, str] = {}
    columns = dict.fromkeys(name for table in source.splits.values() for name in table.columns)
    unlabeled: list[str] = []
    for split, table in source.splits.items():
        if label not in table.columns:
            unlabeled.append(split.value)
            # Columns of records count too: one of them with nearly this name is probably the labels.
            others = [name for name in table.columns if name not in (human_votes, *(() if are_records else rows))]
            if similar := similar_column(label, others):
                near[table.where] = similar
    # Unlabeled data does not have the default column; a column that the user names must exist.
    if label not in (LABEL, *columns):
        similar = similar_column(label, columns)
        raise DataError(
            f"dataset.label_column={label!r} is in no split"
            f"{'' if similar is None else f' (did you mean {similar!r}?)'}; the columns are "
            f"{', '.join(map(repr, sorted(columns)))}."
        )
    if near:
        names = ", ".join(f"{where} has {name!r}" for where, name in near.items())
        first, *others = dict.fromkeys(near.values())
        if label in columns:  # another split has it, so another dataset.label_column does not help
            fix = f"rename the column to {label!r} in every file, or to something else if it has no"
            raise DataError(f"some splits have the column {label!r}, but {names}; {fix} labels.")
        fix = "rename them" if others else f"set {typed('dataset.label_column', first)}"
        raise DataError(
            f"no column is called {label!r} where the labels are expected, but {names}; {fix}, or set "
            "dataset.label_column=null if the rows are unlabeled."
        )
    others = [name for name in columns if name not in (*rows, human_votes)]
    if not unlabeled or not others:
        return []
    if len(unlabeled) < len(source.splits):
        return [f"There are no labels on {' and '.join(unlabeled)}: no column is called {label!r} there."]
    shown = ", ".join(map(repr, others))
    return [
        f"No row has a label: no column is called {label!r}. If one of {shown} has the labels, set "
        "dataset.label_column."
    ]
