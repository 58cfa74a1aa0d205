"""The labels of two runs on the same rows, from files that another person may have made."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.label_sets import SEPARATOR
from alchemist_exp.core.terminal import single_line
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.pipeline.artifacts import LABELS

_NAMES: Final = ("split", "gold", "weak_label", "predicted")
"""The columns that have a name or, with dataset.multi_label=true, a list of names."""


@dataclass(frozen=True, kw_only=True)
class DiffedLabels:
    """The labels of a run A and a run B.

    Attributes:
        before: Columns of A: split, row, gold, weak_label and predicted, one value per row. A list of classes is one
            text.
        after: The same columns of B, with as many rows.

    """

    before: Mapping[str, Sequence[Any]]
    after: Mapping[str, Sequence[Any]]

    @property
    def flipped(self) -> list[int]:
        """The positions of the rows with another weak label."""
        pairs = zip(self.before["weak_label"], self.after["weak_label"], strict=True)
        return [i for i, (a, b) in enumerate(pairs) if a != b]


def read_diffed_labels(before: Path, after: Path) -> DiffedLabels:
    """Read the labels of two runs that were made from the same data.

    Args:
        before: The directory of A.
        after: The directory of B.

    Returns:
        The labels.

    Raises:
        StoreError: A file is missing or broken, or one has other rows than the other.

    """
    old, new = (_read_labels(directory / LABELS) for directory in (before, after))
    if (old["split"], old["row"]) != (new["split"], new["row"]):
        raise StoreError(
            f"{before / LABELS} and {after / LABELS} have different rows, though both runs have the same data; run one "
            "again with force=true."
        )
    return DiffedLabels(before=old, after=new)


def read_content(run: Path, columns: Sequence[str], positions: Sequence[int]) -> list[Mapping[str, Any]]:
    """Read columns of a few rows; only the row groups that have one of them are read.

    Args:
        run: The directory of the run.
        columns: The columns.
        positions: The positions of the rows in the file, ascending.

    Returns:
        The values of each row, by column.

    Raises:
        StoreError: The file is broken.

    """
    from pyarrow import ArrowException, parquet

    path, found, first = run / LABELS, [], 0
    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                n_rows = file.metadata.row_group(group).num_rows
                if chosen := [i - first for i in positions if first <= i < first + n_rows]:
                    check_decoded_size(path, [group], columns)
                    found += file.read_row_group(group, columns=[*columns]).take(chosen).to_pylist()
                first += n_rows
    except (OSError, ArrowException, ValueError) as error:
        raise _unreadable(path, error) from error
    return found


def _read_labels(path: Path) -> dict[str, list[Any]]:
    from pyarrow import ArrowException, parquet

    names = ["row", *_NAMES]
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError("it is not a regular file")
        present = parquet.read_schema(path).names
        if missing := [name for name in names if name not in present]:
            raise ValueError(f"it has no column {missing[0]}")
        check_decoded_size(path, columns=names)
        columns: dict[str, list[Any]] = parquet.read_table(path, columns=names).to_pydict()
        return {name: [*map(_as_text, values)] if name in _NAMES else values for name, values in columns.items()}
    except (OSError, ArrowException, ValueError) as error:
        raise _unreadable(path, error) from error


def _as_text(value: Any) -> str | None:
    """Return a name as it is and a list of names as one text."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return SEPARATOR.join(value) or SEPARATOR
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{value!r:.60} is not a class name")


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = single_line(str(error))[:200]
    return StoreError(f"the labels {path} cannot be read ({reason}); run it again with force=true.")
