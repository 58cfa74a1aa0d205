"""What `alchemist label` prints: what is in the file, what was written, and what to do next."""

import argparse
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import apply_command, edit_command, report_command, show_command
from alchemist_exp.cli.labeled_table import LabeledTable
from alchemist_exp.cli.saved_dataset import SAVED_TO
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.data.class_names import count_labels
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.table import Table
from alchemist_exp.data.text_formats import DELIMITERS
from alchemist_exp.data.texts import has_text

SHOWN_VALUES = 12
"""Labels or columns that are named on the screen."""


def show_found(file: str, table: Table, row_columns: list[str], label_column: str | None) -> None:
    """Print what is in the file: rows, columns, texts and labels.

    Args:
        file: The file, as the user named it.
        table: Its content.
        row_columns: The columns of the texts.
        label_column: The column of gold labels; None without one.

    """
    columns = table.columns
    rows = list(
        zip(
            *([None if is_missing(v) or not has_text(str(v)) else str(v) for v in columns[n]] for n in row_columns),
            strict=True,
        )
    )
    without = (None,) * len(row_columns)
    n_repeated = sum(count - 1 for row, count in Counter(rows).items() if row != without)
    encoding = {None: [], "utf-8-sig": ["UTF-8 with a byte order mark"]}.get(
        table.encoding, [str(table.encoding).upper()]
    )
    read_as = encoding + ([f"separated by {DELIMITERS[table.delimiter]}"] if table.delimiter else [])
    how = f" ({', '.join(read_as)})" if read_as else ""
    print(f"{single_line(file)}{how}: {_count(len(rows), 'row')}; columns: {_listed(columns)}")
    empty, repeated = _count(rows.count(without), "row"), _count(n_repeated, "text")
    names = ", ".join(repr(single_line(name)) for name in row_columns)
    print(f"texts in {names}: {empty} without text, {repeated} repeated from an earlier row")
    if label_column is not None and label_column in columns:
        merged, n_spellings = count_labels(columns[label_column])
        counts = _listed(f"{count:,} {name}" for name, count in merged.items())
        n_labeled = f"{_count(sum(merged.values()), 'row')}: {counts}" if merged else "none, the column is empty"
        together = " (spellings that differ only in case or blanks are counted together)"
        print(f"labels in {single_line(label_column)!r}: {n_labeled}{together * (n_spellings > len(merged))}")
    else:
        print("no labels: no score can be computed (a column of gold labels: --label COLUMN)")


def show_next(
    chosen: argparse.Namespace,
    table: LabeledTable,
    row_columns: list[str],
    directory: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    editable: bool,
) -> None:
    """Print where the table is, and what to do next.

    Args:
        chosen: The arguments of the command.
        table: The table that was written.
        row_columns: The columns of the texts.
        directory: The run's directory.
        overrides: The run's overrides.
        out: The file of the table.
        editable: Whether `alchemist programs edit` can change a program of the run.

    """
    labels, labeled_by = table.columns["label"], list(table.columns["labeled_by"])
    counts = Counter(label for label in labels if label is not None)
    n_without = sum(label is None for label in labels)
    without = f"; {_count(n_without, 'row')} without a label" if n_without else ""
    by_model, given = labeled_by.count("model"), labeled_by.count("given")
    print(f"wrote {single_line(str(out))}: {_listed(f'{n:,} {name}' for name, n in counts.most_common())}{without}")
    if given:
        print(
            f"kept the label of the file in {_count(given, 'row')}; programs vote on {table.n_compared:,} of these "
            f"and disagree on {table.n_differing:,}"
        )
    if by_model:
        print(f"no program votes on {_count(by_model, 'row')}, which the distilled model has labeled")
    print("\nNext")
    if chosen.programs is None:
        again = ["alchemist", "label", chosen.file, "--task", chosen.task, "--text", chosen.text or row_columns[0]]
        again += ["--classes", chosen.classes] * (chosen.classes is not None)
        again += ["--label", chosen.label] * (chosen.label is not None)
        print(f"  copy the programs, correct one:  cp -r {shlex.quote(str(directory / 'programs'))} programs")
        print(f"  label with the corrected ones:   {shlex.join(again)} --programs programs")
    else:
        print(f"  correct a program in {single_line(chosen.programs)} and run the same command again")
    print(f"  the same run, with any setting:  {_run_command(chosen, overrides)}")
    if editable:
        print(f"  change a program, see the rows:  {edit_command(directory)}")
    print(f"  this screen again:               {show_command(directory)}")
    print(f"  a page with rows and programs:   {report_command(directory)}")
    print(f"  label other rows:                {apply_command(directory)}")


def _run_command(chosen: argparse.Namespace, overrides: Sequence[str]) -> str:
    """Return the command of `alchemist run` that makes the same run."""
    words = ["--config-dir", chosen.config_dir or SAVED_TO] if chosen.config_dir or chosen.save else []
    if chosen.save:
        rest = [text for text in overrides if not text.startswith(("dataset=", "dataset."))]
        return shlex.join(["alchemist", "run", *words, f"dataset={chosen.save}", *rest])
    return shlex.join(["alchemist", "run", *words, *overrides])


def _listed(names: Iterable[str]) -> str:
    shown = [sanitize(name) for name in names]
    more = f" and {len(shown) - SHOWN_VALUES} more" if len(shown) > SHOWN_VALUES else ""
    return ", ".join(shown[:SHOWN_VALUES]) + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
