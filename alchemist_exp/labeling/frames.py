"""Labels rows in memory: texts, records, or a pandas frame."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.data.table_base import MemoryTable
from alchemist_exp.labeling.label_columns import label_columns, output_names, own_columns
from alchemist_exp.labeling.row_labeler import RowLabeler
from alchemist_exp.labeling.run_files import StoredRun
from alchemist_exp.labeling.tables import LabelSummary, find_row_columns, summarize, wanted_columns

if TYPE_CHECKING:
    import pandas as pd


def label_frame(
    run: StoredRun, labeler: RowLabeler, rows: "pd.DataFrame | Iterable[Any]", text: str | None
) -> "tuple[pd.DataFrame, LabelSummary]":
    """Return rows with their labels.

    Args:
        run: The run.
        labeler: Labels the rows.
        rows: A frame with the columns that rows are made of, and others; or texts, paths of images, or mappings with
            these columns.
        text: The column of the texts or paths in a frame; None for that of the run.

    Returns:
        The columns of the rows, then label, confidence, p(CLASS) for each class and, of programs, the votes; and how
        many rows have which label.

    Raises:
        ConfigError: The rows do not have a column.
        DataError: A row is not what the run labels.

    """
    import pandas as pd

    frame = _as_frame(rows, labeler, wanted_columns(run, labeler, text))
    values = {}
    for name in frame.columns:
        # Python objects, with None for a missing value.
        pairs = zip(frame[name].tolist(), frame[name].isna().tolist(), strict=True)
        values[name] = [None if is_na else value for value, is_na in pairs]
    table = MemoryTable(path=Path("rows"), columns=tuple(frame.columns), n_rows=len(frame), values=values)
    row_columns = find_row_columns(table, labeler, wanted_columns(run, labeler, text), text, "text=")
    rng = np.random.default_rng(0)
    summary = LabelSummary()
    found: dict[str, list[Any]] = {name: [] for name in own_columns(labeler)}
    for columns in table.parts(labeler.chunk_rows):
        part = TablePart(file=table.path, columns=columns, first_row=summary.n_rows + 1)
        parsed = labeler.kind.parse_columns(part, row_columns)
        labels = labeler.label(parsed, rng)
        for name, column in label_columns(labels, labeler).items():
            found[name] += column
        summary += summarize(parsed, labels, labeler)
    named = frame.rename(columns=output_names(list(frame.columns), list(found)))
    return pd.concat([named, pd.DataFrame(found, index=frame.index)], axis=1), summary


def _as_frame(rows: "pd.DataFrame | Iterable[Any]", labeler: RowLabeler, wanted: tuple[str, ...]) -> "pd.DataFrame":
    """Return rows as a frame whose columns are strings."""
    import pandas as pd

    if isinstance(rows, str | Mapping):
        raise ConfigError(f"rows is one {type(rows).__name__}; give a list of rows, or a pandas frame.")
    if isinstance(rows, pd.DataFrame):
        frame = rows
    elif (listed := list(rows)) and all(isinstance(row, Mapping) for row in listed):
        # A key that a record does not have is a missing value.
        needed = wanted if labeler.kind.columns else ()
        names = dict.fromkeys([*needed, *(key for row in listed for key in row)])
        frame = pd.DataFrame({name: [row.get(name) for row in listed] for name in names}, dtype=object)
    elif labeler.kind.columns and listed:
        raise ConfigError(f"the rows of this run have the columns {', '.join(wanted)}; give mappings or a frame.")
    else:
        frame = pd.DataFrame(dict.fromkeys(wanted[: None if labeler.kind.columns else 1], listed), dtype=object)
    if len(set(frame.columns)) < len(frame.columns) or not all(isinstance(name, str) for name in frame.columns):
        raise ConfigError(f"the columns of rows are {list(frame.columns)}; expected different strings.")
    return frame
