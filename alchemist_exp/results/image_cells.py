"""The cells of a picture of images: the image, its classes, a bar for each score and a mark for each vote."""

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alchemist_exp.results.canvas import (
    CLASS_COLORS,
    GRAY,
    INK,
    LIGHT,
    MARK_SIZE,
    SMALL,
    TEXT,
    TINY,
    WRONG,
    Canvas,
    ClassMark,
)
from alchemist_exp.results.fonts import drawable, shorten, text_width

# All sizes are in pixels.
GAP, _PADDING = 12, 10
_INNER = 296  # width of a cell without its padding
CELL_WIDTH = _INNER + 2 * _PADDING
_HEADER, _IMAGE, CLASS_LINE, _CAPTION, _BAR_LINE, _VOTE_LINE = 26, 160, 20, 20, 16, 28
LABEL_WIDTH, _VALUE_WIDTH, _BAR_HEIGHT = 166, 44, 7
_VOTES_PER_LINE = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class GridCell:
    """One image of the grid, and what is known about it.

    Attributes:
        image: uint8 array of shape (height, width, 3), RGB, of any size.
        name: The name of the row or file.
        gold: The gold class; None if the row has none.
        predicted: The predicted class; None if there is no prediction.
        right: Whether the prediction is the gold class; None if the row has no gold class.
        scores: The score of each description; empty if there are none.
        votes: The vote of each program, a class or None for abstain; empty if there are none.

    Raises:
        ValueError: The image has another type or shape, or no pixels.

    """

    image: npt.NDArray[np.uint8]
    name: str
    gold: str | None
    predicted: str | None
    right: bool | None
    scores: tuple[float, ...] = ()
    votes: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        """Check the image, and make `right` a bool."""
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3 or not self.image.size:
            raise ValueError(
                f"the image is {self.image.dtype} of shape {self.image.shape}; expected uint8 (height, width, 3)"
            )
        if self.right is not None:  # numpy's True is not the True that the blocks are made by
            object.__setattr__(self, "right", bool(self.right))


@dataclass(frozen=True, kw_only=True)
class CellLayout:
    """What all cells have in common.

    Attributes:
        marks: The mark of each class.
        labels: The short text of each description; empty if there are no scores.
        ranges: The lowest and the highest score of each description.
        n_programs: The number of programs; 0 if there are no votes.

    """

    marks: Mapping[str, ClassMark]
    labels: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    n_programs: int

    @property
    def cell_height(self) -> int:
        """The height of every cell, in pixels: with bars and votes only if some cell has them."""
        bars = _CAPTION + _BAR_LINE * len(self.labels) if self.labels else 0
        n_lines = math.ceil(self.n_programs / _VOTES_PER_LINE)
        votes = _CAPTION + _VOTE_LINE * n_lines if n_lines else 0
        return 2 * _PADDING + _HEADER + _IMAGE + GAP + 2 * CLASS_LINE + bars + votes

    def row(self, cells: Sequence[GridCell], width: int) -> Canvas:
        """Draw cells next to each other.

        Args:
            cells: The cells of the row.
            width: The width of the picture, in pixels.

        """
        row = Canvas(width, self.cell_height)
        for i, cell in enumerate(cells):
            row.image.paste(self._cell(cell).image, (i * (CELL_WIDTH + GAP), 0))
        return row

    def class_legend(self, width: int) -> Canvas:
        """Draw the mark of each class with its name, and the mark of abstain, on as many lines as they need.

        Args:
            width: The width of the picture, in pixels.

        """
        places, x, y = [], 0, 0
        entries = [(mark, shorten(mark.name, TEXT, width // 2)) for mark in self.marks.values()]
        for mark, text in [*entries, *([(None, "the program abstains")] if self.n_programs else [])]:
            needed = 22 + math.ceil(text_width(text, TEXT))
            if x and x + needed > width:
                x, y = 0, y + CLASS_LINE
            places.append((x, y + CLASS_LINE / 2, mark, text))
            x += needed + 24
        canvas = Canvas(width, y + CLASS_LINE)
        for x, middle, mark, text in places:
            if mark is None:
                canvas.abstain_mark(x + MARK_SIZE / 2, middle)
            else:
                canvas.class_mark(x + MARK_SIZE / 2, middle, mark)
            canvas.write(x + 22, middle, text)
        return canvas

    def _cell(self, cell: GridCell) -> Canvas:
        canvas = Canvas(CELL_WIDTH, self.cell_height)
        if cell.right is False:
            canvas.dashed_frame(WRONG)
        else:
            canvas.pen.rectangle([0, 0, CELL_WIDTH - 1, self.cell_height - 1], outline="#BBBBBB")
        y = _PADDING
        status = draw_status(canvas, _PADDING, y + 8, cell.right)
        canvas.write(status, y + 8, {True: "right", False: "WRONG", None: "no gold class"}[cell.right], bold=True)
        name = shorten(drawable(cell.name), SMALL, _INNER - 110)
        canvas.write(CELL_WIDTH - _PADDING, y + 8, name, SMALL, GRAY, align="right")
        y += _HEADER
        canvas.paste_image(cell.image, (_PADDING, y, _INNER, _IMAGE))
        y += _IMAGE + GAP
        for what, of, missing in (("gold", cell.gold, "none"), ("predicted", cell.predicted, "no prediction")):
            middle, x = y + CLASS_LINE // 2, _PADDING + 74
            canvas.write(_PADDING, middle, what, color=GRAY)
            if of is None:
                canvas.write(x, middle, missing)
            else:
                canvas.class_mark(x + MARK_SIZE / 2, middle, self.marks[of])
                canvas.write(x + 22, middle, shorten(self.marks[of].name, TEXT, _INNER - 96), bold=True)
            y += CLASS_LINE
        if self.labels:
            y = self._draw_bars(canvas, y, cell.scores)
        if self.n_programs:
            self._draw_votes(canvas, y, cell.votes)
        return canvas

    def _draw_bars(self, canvas: Canvas, y: int, scores: Sequence[float]) -> int:
        """Draw a line per description: its text, its bar on a track, and the number. Return where they end."""
        canvas.write(_PADDING, y + _CAPTION / 2 + 2, "similarity to" if scores else "no scores", SMALL, GRAY)
        y += _CAPTION
        left, right = _PADDING + LABEL_WIDTH, _PADDING + _INNER - _VALUE_WIDTH
        for label, (low, high), score in zip(self.labels, self.ranges, scores, strict=False):
            middle, top = y + _BAR_LINE / 2, y + (_BAR_LINE - _BAR_HEIGHT) // 2
            canvas.write(_PADDING, middle, shorten(label, SMALL, LABEL_WIDTH - 8), SMALL)
            canvas.pen.rectangle([left, top, right, top + _BAR_HEIGHT], fill=LIGHT)
            if math.isfinite(score):
                share = (score - low) / (high - low) if high > low else 0.5
                canvas.pen.rectangle([left, top, left + 1 + share * (right - left - 1), top + _BAR_HEIGHT], fill=INK)
            number = f"{score:.3f}" if abs(score) < 100 else f"{score:.0e}"
            canvas.write(_PADDING + _INNER, middle, number, SMALL, align="right")
            y += _BAR_LINE
        return y + _BAR_LINE * (len(self.labels) - len(scores))

    def _draw_votes(self, canvas: Canvas, y: int, votes: Sequence[str | None]) -> None:
        """Draw the number of each program, and below it its vote."""
        canvas.write(_PADDING, y + _CAPTION / 2 + 2, "votes of the programs" if votes else "no votes", SMALL, GRAY)
        step = min(20, _INNER // min(self.n_programs, _VOTES_PER_LINE))
        for i, vote in enumerate(votes):
            x = _PADDING + step * (i % _VOTES_PER_LINE) + step / 2
            top = y + _CAPTION + _VOTE_LINE * (i // _VOTES_PER_LINE)
            canvas.write(x, top + 5, str(i + 1), TINY, GRAY, align="center")
            if vote is None:
                canvas.abstain_mark(x, top + 18)
            else:
                canvas.class_mark(x, top + 18, self.marks[vote], min(MARK_SIZE, step - 1))


def draw_status(canvas: Canvas, x: int, y: int, right: bool | None) -> int:
    """Draw the mark of right or wrong, and return where the text after it begins.

    Args:
        canvas: The canvas to draw on.
        x: The left end of the mark, in pixels.
        y: Its middle, in pixels.
        right: Whether the prediction is right; None draws nothing.

    """
    if right is None:
        return x
    draw = canvas.right_mark if right else canvas.wrong_mark
    draw(x + 10, y)
    return x + 26


def class_marks(cells: Iterable[GridCell]) -> dict[str, ClassMark]:
    """Return the mark of each class that occurs: its first letter if all have different ones, else A, B, C ...

    Args:
        cells: The cells of the picture.

    """
    found = {name for cell in cells for name in (cell.gold, cell.predicted, *cell.votes) if name is not None}
    names = sorted(found)
    letters = [drawable(name)[:1].upper() for name in names]
    if len(set(letters)) < len(names) or not all(letter in string.ascii_uppercase for letter in letters):
        alphabet = string.ascii_uppercase
        letters = [alphabet[i] if len(names) <= len(alphabet) else str(i + 1) for i in range(len(names))]
    return {
        name: ClassMark(letter=letter, color=CLASS_COLORS[i % len(CLASS_COLORS)], name=drawable(name))
        for i, (name, letter) in enumerate(zip(names, letters, strict=True))
    }
