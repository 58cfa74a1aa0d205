"""Reads one row of a finished run from its labels file, which another person may have made."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import Split
from alchemist_exp.data.row_kind import RowKind, TablePart
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.labeling.review import stored_columns
from alchemist_exp.labeling.run_files import MADE_AGAIN, StoredRun, broken
from alchemist_exp.pipeline.artifacts import LABELS


@dataclass(frozen=True, kw_only=True)
class StoredRow:
    """A row of a run.

    Attributes:
        row: The row, as its kind stores it.
        gold: Its gold label; None where the run has none.
        weak_label: The label that the run gave it; None for none.
        votes: By column of votes, the class that was voted for; None where the program abstained.

    """

    row: str
    gold: str | None
    weak_label: str | None
    votes: Mapping[str, str | None]


def read_row(run: StoredRun, kind: RowKind, split: Split, number: int, vote_columns: list[str]) -> StoredRow:
    """Read a row of a run.

    Args:
        run: The run.
        kind: The kind of its rows.
        split: The split.
        number: The number of the row in the input, from 0.
        vote_columns: The columns of votes.

    Returns:
        The row.

    Raises:
        ConfigError: The run does not have this row, or it has no content.
        StoreError: The file is missing or broken.

    """
    columns = stored_columns(kind)
    wanted = ["gold", "weak_label", *columns.values(), *vote_columns]
    found = _read(run, wanted, [("split", "==", split.value), ("row", "==", number)])
    if not found["gold"]:
        numbers = [row for row in _read(run, ["row"], [("split", "==", split.value)])["row"] if isinstance(row, int)]
        if numbers:
            raise ConfigError(
                f"--row is {number}; the rows of {split} are numbered from {min(numbers)} to {max(numbers)}."
            )
        splits = [one.value for one in Split if one in set(_read(run, ["split"], None)["split"])]
        raise ConfigError(f"--split is {split}, but the run has no rows of that split; choose {' or '.join(splits)}.")
    part = TablePart(file=run.directory / LABELS, columns={name: found[of][:1] for name, of in columns.items()})
    (row,) = kind.parse_columns(part, [*columns])
    if kind.is_empty(row):
        raise ConfigError(f"row {number} of {split} has no content, so it has no label; choose another --row.")

    def class_in(column: str) -> str | None:
        """Return the class in a column of the row; None for a value that is not one of the run's classes."""
        return next((name for name in run.classes if found[column][0] == name), None)

    return StoredRow(
        row=row,
        gold=class_in("gold"),
        weak_label=class_in("weak_label"),
        votes={column: class_in(column) for column in vote_columns},
    )


def _read(run: StoredRun, columns: list[str], filters: list[tuple[str, str, Any]] | None) -> dict[str, list[Any]]:
    """Return columns of the labels file."""
    from pyarrow import ArrowException, parquet

    path = run.directory / LABELS
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise broken(path, "it is not a regular file")
        with parquet.ParquetFile(path) as file:
            groups = [
                group for group in range(file.num_row_groups) if _may_have(file.metadata.row_group(group), filters)
            ]
        check_decoded_size(path, groups, columns)
        found: dict[str, list[Any]] = parquet.read_table(path, columns=columns, filters=filters).to_pydict()
    except (OSError, ArrowException, TypeError, ValueError, KeyError) as error:
        raise StoreError(
            f"the labels {path} cannot be read ({single_line(str(error))[:200]}); {MADE_AGAIN}."
        ) from error
    return found


def _may_have(group: Any, filters: list[tuple[str, str, Any]] | None) -> bool:
    """Return whether a group of rows may have one that passes filters for equality, by its smallest and largest values.

    The reader of Parquet skips the others, too.
    """
    wanted = {name: value for name, _, value in filters or ()}
    for chunk in map(group.column, range(group.num_columns)):
        value, statistics = wanted.get(chunk.path_in_schema), chunk.statistics
        known = value is not None and statistics is not None and statistics.has_min_max
        if known and not statistics.min <= value <= statistics.max:
            return False
    return True
