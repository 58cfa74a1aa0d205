"""What a comparison says, before it is written in a format: tables, notes, missing results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "-"
"""The cell of a value that is not known."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of texts.

    Attributes:
        title: Its heading; may be empty.
        stubs: The headings of the columns that hold the rows' labels.
        columns: The group and the name of each other column; neighbours of one group share a heading.
        rows: The labels of each row, one for each stub, and its cells, one for each column.

    """

    title: str
    stubs: Sequence[str]
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[Sequence[str], Sequence[str]]]

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Group, first column and the column after the last, of neighbours that share a group; others are alone."""
        spans = []
        for (group, _), columns in groupby(
            enumerate(self.columns), key=lambda column: (column[1][0], column[1][0] or column[0])
        ):
            numbers = [number for number, _ in columns]
            spans.append((group, numbers[0], numbers[-1] + 1))
        return spans

    @property
    def labels(self) -> list[list[str]]:
        """The rows' labels; one that repeats the row above, as do all labels before it, is empty, except the last."""
        shown: list[list[str]] = []
        above: Sequence[str] = ()
        for labels, _ in self.rows:
            same = 0
            while same < len(labels) - 1 and above and above[same] == labels[same]:
                same += 1
            shown.append([""] * same + list(labels[same:]))
            above = labels
        return shown

    def parts(self, width: int) -> "list[Grid]":
        """Cut the grid between groups of columns.

        Args:
            width: Characters that a part may be wide, unless it is a single group.

        Returns:
            The parts, each with all rows and their labels.

        """
        cells = [[name, *(row[i] for _, row in self.rows)] for i, (_, name) in enumerate(self.columns)]
        widths = [max(map(len, texts)) + 2 for texts in cells]
        stubs = sum(
            max(map(len, [name, *(labels[i] for labels, _ in self.rows)])) + 2 for i, name in enumerate(self.stubs)
        )
        cuts, left = [0], width - stubs
        for _, start, stop in self.spans:
            if sum(widths[start:stop]) > left and start:
                cuts.append(start)
                left = width - stubs
            left -= sum(widths[start:stop])
        return [
            replace(
                self, columns=self.columns[start:stop], rows=[(labels, row[start:stop]) for labels, row in self.rows]
            )
            for start, stop in zip(cuts, [*cuts[1:], len(self.columns)], strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class MissingResult:
    """A place in a table without a result: which, why, and the command that makes it."""

    place: str
    reason: str
    command: str


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
