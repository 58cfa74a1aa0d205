"""Labels that a person has given to rows of train, read from a file that `alchemist review` wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.task import Task
from alchemist_exp.core.terminal import sanitize, without_formula
from alchemist_exp.core.types import IntArray, read_only
from alchemist_exp.data.readers import read_table
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.texts import letters_and_digits

ROW, TEXT, LABEL = "row", "text", "label"
"""The columns that a file of reviewed rows needs: the row's number in the input from 0, its text, and the class."""

MAX_CHARS: Final = 30_000
"""Characters of a text that the file has; a cell of Excel holds 32,767."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewedRows:
    """Rows of train with labels that a person gave.

    Attributes:
        rows: int64 array of shape (n_reviewed,): row numbers of train, ascending.
        gold: int64 array of shape (n_reviewed,): their classes.

    """

    rows: IntArray
    gold: IntArray

    def __post_init__(self) -> None:
        """Make both arrays read-only, with type int64."""
        object.__setattr__(self, "rows", read_only(self.rows, np.int64))
        object.__setattr__(self, "gold", read_only(self.gold, np.int64))


def shown_text(text: str) -> str:
    """Return what a file of reviewed rows has of a row.

    Args:
        text: The row, as its kind shows it.

    """
    return without_formula(text[:MAX_CHARS])


def read_reviewed(path: Path, rows: Sequence[str], numbers: IntArray, kind: RowKind, task: Task) -> ReviewedRows:
    """Read the reviewed rows of a dataset.

    Args:
        path: The file, which has the columns `row`, `text` and `label`; rows without a label are left out.
        rows: The rows of train, as `kind` stores them. The texts are compared with them, by letters and digits.
        numbers: int64 array of shape (n_rows,): the number of each row in the input.
        kind: The kind of the rows.
        task: The task, for the class names.

    Returns:
        The rows of train that have a label in the file.

    Raises:
        DataError: A column is missing, no row has a label, a class is not known, a row occurs twice or is not a row of
            train.

    """
    if not path.is_file():
        raise DataError(f"dataset.reviewed is {str(path)!r}, which is not a file; write one by `alchemist review RUN`.")
    table = read_table(path, wanted=(ROW, TEXT, LABEL))
    if missing := [name for name in (ROW, TEXT, LABEL) if name not in table.columns]:
        raise DataError(
            f"{path} has no column {missing[0]!r}; dataset.reviewed needs {ROW}, {TEXT} and {LABEL}, as "
            "`alchemist review RUN` writes them."
        )
    places = {number: i for i, number in enumerate(numbers.tolist())}
    found: dict[int, int] = {}
    cells = zip(*(table.columns[name] for name in (ROW, TEXT, LABEL)), strict=True)
    for line, (number, text, label) in enumerate(cells, start=1):
        # An empty cell is "", None or a NaN, by the format.
        if label is None or label != label or not (name := str(label).strip()):
            continue
        where = f"{path}, line {line} after the header"
        place = places.get(_number(number), -1)
        # Spreadsheets may change blanks and quotes, so that only letters and digits are compared.
        shown = letters_and_digits(shown_text(kind.show(rows[place]))) if place >= 0 else None
        if letters_and_digits(str(text)) != shown:
            raise DataError(
                f"{where}: row {sanitize(str(number))} with the text {sanitize(str(text))[:40]!r} is not a row of "
                f"train of dataset={task.name}; use the file of a run on the same dataset, and change its column "
                f"{LABEL} only."
            )
        if place in found:
            raise DataError(f"{where}: row {_number(number)} occurs twice; keep one of the two lines.")
        found[place] = _class_index(name, task.classes, where)
    if not found:
        raise DataError(f"{path} has no label; write a class name ({', '.join(task.classes)}) in column {LABEL}.")
    labeled = sorted(found)
    return ReviewedRows(rows=np.array(labeled), gold=np.array([found[row] for row in labeled]))


def _number(cell: Any) -> int:
    """Return a row number; -1 for what is none. Spreadsheets may write 3 as 3.0."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return -1
    return int(number) if number.is_integer() and 0 <= number < 2**53 else -1


def _class_index(name: str, classes: Sequence[str], where: str) -> int:
    exact = [i for i, known in enumerate(classes) if known == name]
    equal = exact or [i for i, known in enumerate(classes) if known.strip().casefold() == name.casefold()]
    if len(equal) != 1:
        raise DataError(f"{where}: {unknown_name('the label', sanitize(name), classes)}")
    return equal[0]
