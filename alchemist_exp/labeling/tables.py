"""Labels a table part by part: all columns of the input, then the label, its probabilities and the votes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.data.readers import extension
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.data.table_stream import TableStream, write_parts
from alchemist_exp.labeling.labelers import RowLabeler, RowLabels

if TYPE_CHECKING:
    import pyarrow as pa

LABEL: Final = "label"
CONFIDENCE: Final = "confidence"
INPUT_PREFIX: Final = "input_"
"""Is put before the name of a column of the input that has the name of one of ours."""

DECIMALS: Final = 6


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """What was written.

    Attributes:
        n_rows: The number of rows.
        labels: Rows by label; rows without one are not counted.
        reasons: Why rows have no content, with the number of rows; empty if the kind gives no reasons.
        failures: By program, the number of parts on which it did not finish, and the first reason.

    """

    n_rows: int
    labels: Mapping[str, int]
    reasons: Mapping[str, int]
    failures: Mapping[str, tuple[int, str]]


def label_table(
    table: TableStream,
    row_columns: Sequence[str],
    labeler: RowLabeler,
    out: Path,
    advance: Callable[[int], None],
) -> TableSummary:
    """Label the rows of a table and write them with their labels.

    Args:
        table: The table.
        row_columns: The columns that rows are made of.
        labeler: Labels the rows.
        out: The file to write; it is replaced at the end.
        advance: Is called with the number of rows that were labeled since its last call.

    Returns:
        What was written.

    Raises:
        AlchemistError: The table cannot be read, labeled or written; `out` is then unchanged.

    """
    rng = np.random.default_rng(0)
    ours = own_columns(labeler)
    names = output_names(table.columns, ours)
    labels: Counter[str] = Counter()
    failures: dict[str, tuple[int, str]] = {}
    reasons: Counter[str] = Counter()
    n_rows = 0
    types = _types(table, names, ours)
    is_csv = (out.suffix.lower(), extension(table.path).removesuffix(".gz")) == (".csv", ".csv")
    with write_parts(
        out,
        [*names.values(), *ours],
        types=types,
        delimiter=table.delimiter if is_csv and table.delimiter else ",",
        byte_order_mark=table.byte_order_mark,
    ) as write:
        for columns in table.parts(labeler.chunk_rows):
            part = TablePart(
                file=table.path,
                columns=columns,
                untyped=table.untyped,
                class_names=table.class_names,
                first_row=n_rows + 1,
            )
            rows = labeler.kind.parse_columns(part, row_columns)
            found = labeler.label(rows, rng)
            write({names[name]: values for name, values in columns.items()} | _label_columns(found, labeler))
            n_rows += len(rows)
            reasons.update(filter(None, map(labeler.kind.reason_without_content, rows)))
            labels.update(labeler.classes[c] for c in found.classes.tolist() if c != ABSTAIN)
            for name, reason in found.failures.items():
                count, first = failures.get(name, (0, reason))
                failures[name] = (count + 1, first)
            advance(len(rows))
    return TableSummary(
        n_rows=n_rows, labels=dict(labels.most_common()), reasons=dict(reasons.most_common()), failures=failures
    )


def own_columns(labeler: RowLabeler) -> list[str]:
    """Return the names of the columns that are added to a table.

    Args:
        labeler: Labels the rows.

    Returns:
        Different names; a program's column that would have the name of another one gets a number.

    """
    names = dict.fromkeys([LABEL, CONFIDENCE, *(f"p({name})" for name in labeler.classes)])
    for program in labeler.programs:
        name, number = f"vote {program}", 2
        while name in names:
            name, number = f"vote {program} {number}", number + 1
        names[name] = None
    return list(names)


def output_names(columns: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Return the name of each column of the input in the output.

    Args:
        columns: The names in the input.
        ours: The names of the columns that are added.

    Returns:
        By name in the input, the same name, with a prefix if another column has it.

    Example:
        >>> output_names(["text", "label", "input_label"], ["label"])
        {'text': 'text', 'label': 'input_input_label', 'input_label': 'input_label'}

    """
    names: dict[str, str] = {}
    for name in columns:
        shown = name
        while shown in ours or shown in names.values() or (shown != name and shown in columns):
            shown = INPUT_PREFIX + shown
        names[name] = shown
    return names


def _label_columns(found: RowLabels, labeler: RowLabeler) -> dict[str, list[Any]]:
    """Return the added columns of a part; None for a row without a label, and where a program abstains."""
    classes = labeler.classes
    labeled = found.classes != ABSTAIN
    probs = found.probs.astype(np.float64).round(DECIMALS)
    shares = [
        [share if has_label else None for share, has_label in zip(column, labeled.tolist(), strict=True)]
        for column in (probs.max(axis=1).tolist(), *probs.T.tolist())
    ]
    votes = [[None if vote == ABSTAIN else classes[vote] for vote in column] for column in found.votes.T.tolist()]
    label = [None if c == ABSTAIN else classes[c] for c in found.classes.tolist()]
    return dict(zip(own_columns(labeler), [label, *shares, *votes], strict=True))


def _types(
    table: TableStream, names: Mapping[str, str], ours: Sequence[str]
) -> "Callable[[], Mapping[str, pa.DataType]]":
    """Return the function that returns the types of all columns."""

    def types() -> "Mapping[str, pa.DataType]":
        import pyarrow as pa

        of_input = {names[name]: kind for name, kind in table.arrow_types().items()}
        numbers = {name for name in ours if name == CONFIDENCE or name.startswith("p(")}
        return of_input | {name: pa.float64() if name in numbers else pa.string() for name in ours}

    return types
