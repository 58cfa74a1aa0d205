"""Reads the labels and votes of a run's rows from its labels.parquet, which another person may have made."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.types import ABSTAIN, BoolArray, IntArray
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.labeling.run_files import broken
from alchemist_exp.pipeline.artifacts import LABELS
from alchemist_exp.programs.files import vote_columns

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS: Final = 400_000
"""Rows that are read; of a larger table, some groups of rows."""

MAX_FILE_BYTES: Final = 1 << 34


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledRows:
    """Rows of a run with their labels.

    Attributes:
        split: The split of each row, array of str.
        number: int64 array of shape (n_rows,): the number of each row in its file, from 0.
        gold: int64 array of shape (n_rows,): a class, or -1.
        weak: int64 array of shape (n_rows,): the label model's class, or -1.
        weak_share: float32 array of shape (n_rows,): the probability of that class; NaN for uncovered rows.
        predicted: int64 array of shape (n_rows,): the distilled model's class, or -1.
        confidence: float32 array of shape (n_rows,): its probability; NaN where there is none.
        votes: int8 array of shape (n_rows, n_programs); -1 means abstain.
        content: The columns that rows consist of, by name.
        others: The input's other columns, by name.
        n_total: Rows of the whole table.

    """

    split: npt.NDArray[np.object_]
    number: IntArray
    gold: IntArray
    weak: IntArray
    weak_share: npt.NDArray[np.float32]
    predicted: IntArray
    confidence: npt.NDArray[np.float32]
    votes: npt.NDArray[np.int8]
    content: Mapping[str, "pa.ChunkedArray"]
    others: Mapping[str, "pa.ChunkedArray"]
    n_total: int

    def __len__(self) -> int:
        """Return the number of rows that were read."""
        return len(self.split)

    @property
    def best(self) -> IntArray:
        """The distilled model's class of each row; the label model's where the run has no distilled model."""
        return self.predicted if (self.predicted != ABSTAIN).any() else self.weak

    @property
    def wrong(self) -> BoolArray:
        """Whether a row has a gold class and one of its labels differs from it."""
        differs = [(label != ABSTAIN) & (label != self.gold) for label in (self.weak, self.predicted)]
        found: BoolArray = (self.gold != ABSTAIN) & (differs[0] | differs[1])
        return found

    def of_split(self, split: str) -> BoolArray:
        """Return whether each row is in a split."""
        found: BoolArray = self.split == split
        return found

    def text(self, row: int) -> str:
        """Return the content of a row, as people read it; of several columns, each with its name."""
        values = {name: column[row].as_py() for name, column in self.content.items()}
        if len(values) == 1:
            return "" if (value := next(iter(values.values()))) is None else str(value)
        return "\n".join(f"{name}: {value}" for name, value in values.items() if value is not None)


def read_rows(directory: Path, classes: Sequence[str], programs: Sequence[str]) -> LabeledRows | None:
    """Read the rows of a run.

    Args:
        directory: The run's directory.
        classes: The class names.
        programs: The names of the programs that voted.

    Returns:
        The rows; None where the run has no such file.

    Raises:
        StoreError: The file is not a regular file, is too large or is broken.

    """
    import pyarrow as pa
    from pyarrow import parquet

    path = directory / LABELS
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
        raise StoreError(f"{path} is not a regular file of at most {MAX_FILE_BYTES:,} bytes, so it is not read.")
    try:
        with parquet.ParquetFile(path) as file:
            n_groups, n_total = file.num_row_groups, file.metadata.num_rows
            chosen = [*range(n_groups)]
            if n_total > MAX_ROWS:  # evenly spaced groups of rows
                n_read = max(1, n_groups * MAX_ROWS // n_total)
                chosen = sorted({*np.linspace(0, n_groups - 1, n_read).round().astype(int).tolist()})
            check_decoded_size(path, chosen)
            table = file.read_row_groups(chosen, use_threads=False)
        return _rows(table, classes, programs, n_total)
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error


def _rows(table: "pa.Table", classes: Sequence[str], programs: Sequence[str], n_total: int) -> LabeledRows:
    names = table.column_names
    n_content = names.index("gold")
    shares = np.column_stack([_floats(table, f"p({name})") for name in classes])
    weak = _classes(table, "weak_label", classes)
    columns = [name for name in vote_columns(programs) if name in names]
    columns = columns if len(columns) == len(programs) else []  # earlier versions wrote no votes
    ours = {"split", "row", "gold", "weak_label", "predicted", "confidence", *columns}
    ours |= {f"p({name})" for name in classes}
    share = shares[np.arange(len(shares)), np.maximum(weak, 0)]
    return LabeledRows(
        split=np.array(table["split"].to_pylist(), dtype=object),
        number=table["row"].to_numpy().astype(np.int64),
        gold=_classes(table, "gold", classes),
        weak=weak,
        weak_share=np.where(weak == ABSTAIN, np.float32(np.nan), share),
        predicted=_classes(table, "predicted", classes),
        confidence=_floats(table, "confidence"),
        votes=np.column_stack([_classes(table, name, classes).astype(np.int8) for name in columns])
        if columns
        else np.empty((table.num_rows, 0), dtype=np.int8),
        content={name: table[name] for name in names[:n_content] if name not in ours},
        others={name: table[name] for name in names[n_content:] if name not in ours},
        n_total=n_total,
    )


def _classes(table: "pa.Table", name: str, classes: Sequence[str]) -> IntArray:
    """Return the class index of each row; -1 where the column has null, or there is no such column."""
    import pyarrow as pa
    from pyarrow import compute

    if name not in table.column_names:
        return np.full(table.num_rows, ABSTAIN, dtype=np.int64)
    column = table[name].cast(pa.large_string())
    found = compute.index_in(column, value_set=pa.array(classes, pa.large_string()))
    return np.asarray(found.fill_null(ABSTAIN).to_numpy(), dtype=np.int64)


def _floats(table: "pa.Table", name: str) -> npt.NDArray[np.float32]:
    """Return the numbers of a column; NaN where it has null, or there is no such column."""
    import pyarrow as pa

    if name not in table.column_names:
        return np.full(table.num_rows, np.nan, dtype=np.float32)
    return np.asarray(table[name].cast(pa.float32()).to_numpy(), dtype=np.float32)
