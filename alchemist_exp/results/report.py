"""What a comparison says, before it is put into a format: tables with one or two lines of heading, notes, commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOTHING = "-"
"""Stands where a figure is not known."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of figures. group: what several neighbours share. ours: whether the figures are from our runs."""

    group: str = ""
    name: str
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line: one label for each stub of its grid, one cell for each column."""

    labels: Sequence[str]
    cells: Sequence[str]
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table. stubs: the headings of the columns that hold the rows' labels."""

    title: str
    stubs: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[Row]

    def parts(self, room: int) -> "list[Grid]":
        """The grid cut between groups of columns, each part as wide as `room` allows, in characters."""
        stubs = sum(_width([name, *(row.labels[i] for row in self.rows)]) for i, name in enumerate(self.stubs))
        parts: list[list[int]] = []
        left = 0
        for group in self._groups():
            width = sum(_width([self.columns[i].name, *(row.cells[i] for row in self.rows)]) for i in group)
            if not parts or width > left:
                parts.append([])
                left = room - stubs
            parts[-1] += group
            left -= width
        return [self._with(part) for part in parts] or [self]

    def _groups(self) -> list[list[int]]:
        """Neighbours of the same group; columns without a group stand alone."""
        groups: list[list[int]] = []
        for i, column in enumerate(self.columns):
            if groups and column.group and column.group == self.columns[i - 1].group:
                groups[-1].append(i)
            else:
                groups.append([i])
        return groups

    def _with(self, chosen: Sequence[int]) -> "Grid":
        rows = [Row(labels=row.labels, cells=[row.cells[i] for i in chosen], ours=row.ours) for row in self.rows]
        return Grid(title=self.title, stubs=self.stubs, columns=[self.columns[i] for i in chosen], rows=rows)


def _width(texts: Sequence[str]) -> int:
    return max(map(len, texts)) + 2


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A place in a table without a figure: which, why, and the command that would fill it."""

    place: str
    why: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A comparison.

    flat: every figure once, for CSV. filling: the command for all gaps. svg: a picture, if there is one.
    """

    name: str
    title: str
    captions: Sequence[str]
    grids: Sequence[Grid]
    notes: Sequence[str]
    gaps: Sequence[Gap]
    filling: str | None
    flat: Sequence[Mapping[str, str]]
    svg: str | None = None
