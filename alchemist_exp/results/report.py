"""What a comparison says, before it is written in a format: tables, notes, missing results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from alchemist_exp.core.terminal import single_line

if TYPE_CHECKING:
    import pandas as pd

SHOWN_KEY_DIGITS = 12
"""First digits of a key, which name a run or a response."""

UNKNOWN = "-"
"""The cell of a value that is not known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A table of texts, whose properties have all control characters escaped.

    Attributes:
        title: Its heading; may be empty.
        frame: The cells. The index has the labels of the rows, in one or more levels; the names of the levels are their
            headings. The columns have names, or groups and names; neighbours of one group share a heading.

    """

    title: str
    frame: "pd.DataFrame"

    @property
    def stubs(self) -> list[str]:
        """The headings of the columns that have the rows' labels."""
        return [single_line(str(name)) for name in self.frame.index.names]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The group and the name of each other column; the group is "" for a column of its own."""
        keys = [key if isinstance(key, tuple) else ("", key) for key in self.frame.columns]
        return [(single_line(str(group)), single_line(str(name))) for group, name in keys]

    @property
    def rows(self) -> list[tuple[list[str], list[str]]]:
        """The labels and the cells of each row."""
        keys = [key if isinstance(key, tuple) else (key,) for key in self.frame.index]
        texts = zip(keys, self.frame.to_numpy(), strict=True)
        return [([single_line(str(label)) for label in key], list(map(single_line, cells))) for key, cells in texts]

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Group, first column and the column after the last, of neighbours that share a group; others are alone."""
        numbered = enumerate(self.columns)
        groups = groupby(numbered, key=lambda column: (column[1][0], column[1][0] or column[0]))
        spans = [(group, [number for number, _ in columns]) for (group, _), columns in groups]
        return [(group, numbers[0], numbers[-1] + 1) for group, numbers in spans]

    @property
    def labels(self) -> list[list[str]]:
        """The rows' labels; one that repeats the row above, as do all labels before it, is empty, except the last."""
        shown: list[list[str]] = []
        above: list[str] = []
        for labels, _ in self.rows:
            same = 0
            while same < len(labels) - 1 and above and above[same] == labels[same]:
                same += 1
            shown.append([""] * same + labels[same:])
            above = labels
        return shown

    def parts(self, width: int) -> "list[Grid]":
        """Cut the grid between groups of columns.

        Args:
            width: Characters that a part may be wide, unless it is a single group.

        Returns:
            The parts, each with all rows and their labels.

        """
        table = [[*self.stubs, *(name for _, name in self.columns)], *([*labels, *row] for labels, row in self.rows)]
        widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
        n_stubs = len(self.stubs)
        room = width - sum(widths[:n_stubs])
        cuts, left = [0], room
        for _, start, stop in self.spans:
            needed = sum(widths[n_stubs + start : n_stubs + stop])
            if needed > left and start:
                cuts.append(start)
                left = room
            left -= needed
        bounds = zip(cuts, [*cuts[1:], len(self.columns)], strict=True)
        return [replace(self, frame=self.frame.iloc[:, start:stop]) for start, stop in bounds]


@dataclass(frozen=True, kw_only=True)
class MissingResult:
    """A place in a table without a result.

    Attributes:
        place: Which place.
        reason: Why it has no result.
        command: The command that makes it.
        of_sweep: Whether the table's sweep makes it.

    """

    place: str
    reason: str
    command: str
    of_sweep: bool = True


@dataclass(frozen=True, kw_only=True)
class Report:
    """A comparison.

    Attributes:
        name: The stem of its files.
        title: Its heading.
        captions: Sentences under the heading.
        grids: Its tables.
        notes: What a reader should know of the runs.
        missing: The results that are not there.
        sweep_command: The command that makes all of them; "" for a report that is not of the paper.
        flat: One row for each result, for CSV.
        svg: A picture; "" for none.

    """

    name: str
    title: str
    captions: Sequence[str]
    grids: Sequence[Grid]
    notes: Sequence[str]
    missing: Sequence[MissingResult]
    sweep_command: str
    flat: "pd.DataFrame"
    svg: str = ""


def usd_text(value: float | None) -> str:
    """Return dollars for people.

    Args:
        value: Dollars; None and NaN where they are not known.

    Returns:
        A text such as "$0.0060", or "unknown".

    """
    # Rounded first, since sums of the same dollars in another order differ in their last bits.
    return "unknown" if value is None or math.isnan(value) else f"${round(value, 9):,.4f}"
