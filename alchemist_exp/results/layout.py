"""The console, table and heading that all commands print with."""

import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alchemist_exp.results.report import UNKNOWN


def new_console() -> Console:
    """Return a console for standard output that prints texts as they are.

    It wraps lines on a terminal, or at the width that the environment variable COLUMNS has; never in a pipe without it.
    """
    # Texts come from other people's files and programs: they must not act as markup.
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 1000
    return console


def new_table(*columns: str) -> Table:
    """Return an empty table without a frame.

    Args:
        *columns: The headings. The first column is aligned to the left, the others to the right.

    Returns:
        The table.

    """
    table = Table(header_style="dim", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


def heading(title: str, detail: str = "") -> Text:
    """Return the heading of a section, after an empty line.

    Args:
        title: The heading.
        detail: Is shown next to it, less prominent.

    Returns:
        A styled text.

    """
    return Text.assemble("\n", (title, "bold cyan"), (f"  {detail}" if detail else "", "dim"))


def number_text(value: float | None) -> str:
    """Return a share or a score for people.

    Args:
        value: A number; None where it is not known.

    Returns:
        Three decimals, or "-".

    """
    return UNKNOWN if value is None else f"{value:.3f}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Return counts as one text.

    Args:
        counts: The count of each kind.

    Returns:
        A text such as "12 spam, 1,300 ham".

    """
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def mean_text(summary: Mapping[str, Any] | None, n_seeds: int) -> str:
    """Return a score over seeds for people.

    Args:
        summary: `mean` and `std`; None where the score is not defined.
        n_seeds: How many seeds there are.

    Returns:
        Mean and, with several seeds, standard deviation; or "-".

    """
    if summary is None:
        return UNKNOWN
    return number_text(summary["mean"]) + (f" ± {summary['std']:.3f}" if n_seeds > 1 else "")
