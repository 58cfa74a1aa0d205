"""Labels a table part by part: all columns of the input, then the label, its probabilities and the votes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.data.part_writers import write_parts
from alchemist_exp.data.readers import extension, similar_column
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.data.table_stream import TableStream
from alchemist_exp.labeling.labelers import RowLabeler, RowLabels
from alchemist_exp.labeling.run_files import StoredRun

if TYPE_CHECKING:
    import pyarrow as pa

LABEL: Final = "label"
CONFIDENCE: Final = "confidence"
INPUT_PREFIX: Final = "input_"
"""Is put before the name of a column of the input that has the name of one of ours."""

DECIMALS: Final = 6

IMAGE_COLUMNS: Final = ("path", "image", "file")
"""Columns that may have the paths of images, if neither the user nor the run names one."""


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """What was written.

    Attributes:
        n_rows: The number of rows.
        labels: Rows by label; rows without one are not counted.
        reasons: Why rows have no content, with the number of rows; empty if the kind gives no reasons.
        failures: By program, the number of parts on which it did not finish, and the first reason.
        outcomes: Rows by outcome, added up over the programs; empty without programs.

    """

    n_rows: int
    labels: Mapping[str, int]
    reasons: Mapping[str, int]
    failures: Mapping[str, tuple[int, str]]
    outcomes: Mapping[str, int] = field(default_factory=dict)


def label_table(
    table: TableStream,
    row_columns: Sequence[str],
    labeler: RowLabeler,
    out: Path,
    advance: Callable[[int], None],
    *,
    keep: Sequence[str] | None = None,
    metadata: Callable[[LabelSummary], Mapping[str, str]] | None = None,
) -> LabelSummary:
    """Label the rows of a table and write them with their labels.

    Args:
        table: The table.
        row_columns: The columns that rows are made of.
        labeler: Labels the rows.
        out: The file to write; it is replaced at the end.
        advance: Is called with the number of rows that were labeled since its last call.
        keep: The columns of the input that are written; None for all.
        metadata: Returns the key-value metadata of a Parquet file, given what was written.

    Returns:
        What was written.

    Raises:
        AlchemistError: The table cannot be read, labeled or written; `out` is then unchanged.

    """
    rng = np.random.default_rng(0)
    ours = own_columns(labeler)
    if keep is not None:
        table = table.select(list(dict.fromkeys([*row_columns, *keep])))
    names = output_names(table.columns if keep is None else keep, ours)
    labels: Counter[str] = Counter()
    failures: dict[str, tuple[int, str]] = {}
    reasons: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    n_rows = 0
    types = _types(table, names, ours)

    def summary() -> LabelSummary:
        return LabelSummary(
            n_rows=n_rows,
            labels=dict(labels.most_common()),
            reasons=dict(reasons.most_common()),
            failures=failures,
            outcomes=dict(outcomes),
        )

    is_csv = (out.suffix.lower(), extension(table.path).removesuffix(".gz")) == (".csv", ".csv")
    with write_parts(
        out,
        [*names.values(), *ours],
        types=types,
        delimiter=table.delimiter if is_csv and table.delimiter else ",",
        byte_order_mark=table.byte_order_mark,
        metadata=lambda: metadata(summary()) if metadata else {},
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
            write({names[name]: columns[name] for name in names} | _label_columns(found, labeler))
            n_rows += len(rows)
            reasons.update(filter(None, map(labeler.kind.reason_without_content, rows)))
            outcomes.update(found.outcomes)
            labels.update(labeler.classes[c] for c in found.classes.tolist() if c != ABSTAIN)
            for name, reason in found.failures.items():
                count, first = failures.get(name, (0, reason))
                failures[name] = (count + 1, first)
            advance(len(rows))
    return summary()


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


def check_kept(table: TableStream, keep: Sequence[str] | None) -> None:
    """Check that a table has the columns that are to be written beside the labels.

    Args:
        table: The table.
        keep: Their names; None for all columns.

    Raises:
        ConfigError: It does not have one of them.

    """
    if absent := next((name for name in keep or () if name not in table.columns), None):
        raise ConfigError(f"{table.path} has no column {absent!r}, which --keep names.")


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

        found = table.arrow_types()
        of_input = {written: found[name] for name, written in names.items()}
        numbers = {name for name in ours if name == CONFIDENCE or name.startswith("p(")}
        return of_input | {name: pa.float64() if name in numbers else pa.string() for name in ours}

    return types


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
    table: TableStream, labeler: RowLabeler, wanted: Sequence[str], asked: str | None
) -> tuple[str, ...]:
    """Return the columns of a table that rows are made of.

    Args:
        table: The table.
        labeler: Labels the rows.
        wanted: See `wanted_columns`.
        asked: The column that the user names; None for that of the run.

    Raises:
        ConfigError: The table does not have them, or --text names one for rows of several columns.

    """
    columns = ", ".join(map(repr, table.columns))
    if labeler.kind.columns:
        if asked is not None:
            raise ConfigError(f"--text is for texts; the rows of this run have the columns {', '.join(wanted)}.")
    elif asked is None:
        found = next((name for name in wanted if name in table.columns), None)
        if found is None and len(table.columns) == 1:
            found = table.columns[0]
        if found is None:
            guess = similar_column(wanted[0], table.columns)
            hint = "" if guess is None else f" (did you mean {guess!r}?)"
            raise ConfigError(
                f"{table.path} has no column {sanitize(wanted[0])!r}{hint}; name the column of the rows by --text: "
                f"{columns}."
            )
        return (found,)
    if absent := next((name for name in wanted if name not in table.columns), None):
        guess = similar_column(absent, table.columns)
        hint = "" if guess is None else f" (did you mean {guess!r}?)"
        raise ConfigError(f"{table.path} has no column {sanitize(absent)!r}{hint}; the columns are {columns}.")
    return tuple(wanted)
