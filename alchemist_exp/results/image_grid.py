"""Test images as a picture: what the concept scores and the programs say about each, right and wrong ones apart."""

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import ConfigError, install_command
from alchemist_exp.core.types import BoolArray, IntArray
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
    as_png,
    stack,
)
from alchemist_exp.results.fonts import drawable, shorten, text_width, wrap

MAX_CELLS: Final = 16

# All sizes are in pixels.
_MARGIN, _GAP, _PADDING = 20, 12, 10
_INNER = 296  # width of a cell without its padding
_CELL_WIDTH = _INNER + 2 * _PADDING
_MAX_COLUMNS = 4
_HEADER, _IMAGE, _CLASS_LINE, _CAPTION, _BAR_LINE, _VOTE_LINE = 26, 160, 20, 20, 16, 28
_LABEL_WIDTH, _VALUE_WIDTH, _BAR_HEIGHT = 166, 44, 7
_VOTES_PER_LINE = 20
_TITLE, _HEADING = 20, 15  # sizes of the font
_WIDE_GAP = 5 * " "


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


def choose_cells(right: BoolArray, n: int, seed: int) -> IntArray:
    """Choose rows at random: half of them right and half of them wrong, if there are enough.

    Args:
        right: Boolean array of shape (n_rows,): whether the prediction of each row is right.
        n: Largest number of rows. If it is odd, the larger half is for wrong rows.
        seed: Any whole number from 0. Equal arguments give equal rows.

    Returns:
        int64 array of shape (n_chosen,): row numbers, first of right rows and then of wrong ones, each in ascending
        order. There are fewer than `n` if right or wrong rows are fewer than half of it.

    Example:
        >>> choose_cells(np.array([True, False, True, True]), 2, seed=0).tolist()
        [3, 1]

    """
    chosen = []
    for rows, limit in ((np.flatnonzero(right), n // 2), (np.flatnonzero(~right), n - n // 2)):
        rng = np.random.default_rng(seed)
        chosen.append(np.sort(rng.permutation(rows)[:limit]))
    return np.concatenate(chosen).astype(np.int64)


def image_grid(cells: Sequence[GridCell], *, descriptions: Sequence[str], programs: Sequence[str], title: str) -> bytes:
    """Draw images with their classes, a bar for each score and a mark for each vote.

    Right predictions, wrong ones and images without a gold class are in separate blocks.

    Args:
        cells: 1 to `MAX_CELLS` images.
        descriptions: What the scores are similarities to. All bars of a description have one scale, from its lowest to
            its highest score over the cells.
        programs: The names of the programs that vote.
        title: The title of the picture.

    Returns:
        The picture as PNG, to be read without magnification. The same arguments give the same bytes under the same
        version of Pillow.

    Raises:
        ConfigError: Pillow is not installed.
        ValueError: There are no cells or too many, or a cell has another number of scores or votes.

    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"a picture of images needs the package pillow; install it with: {install_command('images')}"
        ) from error
    if not 1 <= len(cells) <= MAX_CELLS:
        raise ValueError(f"there are {len(cells)} cells; expected 1 to {MAX_CELLS}")
    for cell in cells:
        if len(cell.scores) not in (0, len(descriptions)) or len(cell.votes) not in (0, len(programs)):
            raise ValueError(
                f"a cell has {len(cell.scores)} scores and {len(cell.votes)} votes; expected {len(descriptions)} and "
                f"{len(programs)}, or none"
            )
    texts = [drawable(text) for text in descriptions] if any(cell.scores for cell in cells) else []
    start, labels = _without_shared_start(texts)
    too_long = any(text_width(label, SMALL) > _LABEL_WIDTH - 8 for label in labels)
    if too_long:
        labels = [f"{number} {label}" for number, label in enumerate(labels, start=1)]
    grid = _Grid(
        marks=_class_marks(cells),
        labels=tuple(labels),
        ranges=tuple(_range(cell.scores[i] for cell in cells if cell.scores) for i in range(len(labels))),
        n_programs=len(programs) if any(cell.votes for cell in cells) else 0,
    )
    blocks = {right: [cell for cell in cells if cell.right is right] for right in (True, False, None)}
    n_columns = min(_MAX_COLUMNS, max(2, *map(len, blocks.values())))
    width = n_columns * (_CELL_WIDTH + _GAP) - _GAP
    parts = [_paragraph([drawable(title)], width, _TITLE, INK)]
    if grid.marks:
        parts.append(_class_legend(grid, width))
    if labels:
        parts.append(_paragraph(_bar_legend(start).split(), width))
    for right, block in blocks.items():
        if block:
            parts.append(_heading(right, len(block), width))
        parts += [grid.row(block[i : i + n_columns], width) for i in range(0, len(block), n_columns)]
    if too_long:
        parts.append(_paragraph(["Texts of the bars:", *_numbered(texts)], width, gap=_WIDE_GAP))
    if grid.n_programs:
        names = _numbered([drawable(name) for name in programs])
        parts.append(_paragraph(["Programs, by the number above their votes:", *names], width, gap=_WIDE_GAP))
    return as_png(stack(parts, _GAP, _MARGIN))


@dataclass(frozen=True, kw_only=True)
class _Grid:
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
        bars = _CAPTION + _BAR_LINE * len(self.labels) if self.labels else 0
        n_lines = math.ceil(self.n_programs / _VOTES_PER_LINE)
        votes = _CAPTION + _VOTE_LINE * n_lines if n_lines else 0
        return 2 * _PADDING + _HEADER + _IMAGE + _GAP + 2 * _CLASS_LINE + bars + votes

    def row(self, cells: Sequence[GridCell], width: int) -> Canvas:
        """Draw cells next to each other."""
        row = Canvas(width, self.cell_height)
        for i, cell in enumerate(cells):
            row.image.paste(self._cell(cell).image, (i * (_CELL_WIDTH + _GAP), 0))
        return row

    def _cell(self, cell: GridCell) -> Canvas:
        canvas = Canvas(_CELL_WIDTH, self.cell_height)
        if cell.right is False:
            canvas.dashed_frame(WRONG)
        else:
            canvas.pen.rectangle([0, 0, _CELL_WIDTH - 1, self.cell_height - 1], outline="#BBBBBB")
        y = _PADDING
        status = _draw_status(canvas, _PADDING, y + 8, cell.right)
        canvas.write(status, y + 8, {True: "right", False: "WRONG", None: "no gold class"}[cell.right], bold=True)
        name = shorten(drawable(cell.name), SMALL, _INNER - 110)
        canvas.write(_CELL_WIDTH - _PADDING, y + 8, name, SMALL, GRAY, align="right")
        y += _HEADER
        canvas.paste_image(cell.image, (_PADDING, y, _INNER, _IMAGE))
        y += _IMAGE + _GAP
        for what, of, missing in (("gold", cell.gold, "none"), ("predicted", cell.predicted, "no prediction")):
            self._draw_class(canvas, y + _CLASS_LINE // 2, what, of, missing)
            y += _CLASS_LINE
        if self.labels:
            y = self._draw_bars(canvas, y, cell.scores)
        if self.n_programs:
            self._draw_votes(canvas, y, cell.votes)
        return canvas

    def _draw_class(self, canvas: Canvas, y: int, what: str, name: str | None, missing: str) -> None:
        canvas.write(_PADDING, y, what, color=GRAY)
        x = _PADDING + 74
        if name is None:
            canvas.write(x, y, missing)
            return
        canvas.class_mark(x + MARK_SIZE / 2, y, self.marks[name])
        canvas.write(x + 22, y, shorten(self.marks[name].name, TEXT, _INNER - 96), bold=True)

    def _draw_bars(self, canvas: Canvas, y: int, scores: Sequence[float]) -> int:
        """Draw a line per description: its text, its bar on a track, and the number. Return where they end."""
        canvas.write(_PADDING, y + _CAPTION / 2 + 2, "similarity to" if scores else "no scores", SMALL, GRAY)
        y += _CAPTION
        left, right = _PADDING + _LABEL_WIDTH, _PADDING + _INNER - _VALUE_WIDTH
        for label, (low, high), score in zip(self.labels, self.ranges, scores, strict=False):
            middle, top = y + _BAR_LINE / 2, y + (_BAR_LINE - _BAR_HEIGHT) // 2
            canvas.write(_PADDING, middle, shorten(label, SMALL, _LABEL_WIDTH - 8), SMALL)
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


def _class_marks(cells: Iterable[GridCell]) -> dict[str, ClassMark]:
    """Return the mark of each class that occurs: its first letter if all have different ones, else A, B, C ..."""
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


def _without_shared_start(texts: Sequence[str]) -> tuple[str, list[str]]:
    """Return the words with which all texts begin, and the rest of each, at least one word."""
    words = [text.split() for text in texts]
    limit = min(len(each) for each in words) - 1 if len(words) > 1 else 0
    n_shared = 0
    while n_shared < limit and len({each[n_shared] for each in words}) == 1:
        n_shared += 1
    return " ".join(words[0][:n_shared]) if words else "", [" ".join(each[n_shared:]) for each in words]


def _range(scores: Iterable[float]) -> tuple[float, float]:
    finite = [score for score in scores if math.isfinite(score)]
    return min(finite, default=0.0), max(finite, default=0.0)


def _bar_legend(start: str) -> str:
    texts = f"texts that begin with “{start} …”" if start else "these texts"
    return (
        f"Bars: the similarity score of the image and {texts}. Each text has a separate scale: the bar is empty for "
        "its lowest score among the images shown, and full for its highest."
    )


def _numbered(texts: Sequence[str]) -> list[str]:
    return [f"{number} = {text}" for number, text in enumerate(texts, start=1)]


def _paragraph(words: Sequence[str], width: int, size: int = TEXT, color: str = GRAY, gap: str = " ") -> Canvas:
    lines = wrap(words, size, width, gap)
    height = round(1.4 * size)
    canvas = Canvas(width, height * len(lines))
    for i, line in enumerate(lines):
        canvas.write(0, (i + 0.5) * height, line, size, color)
    return canvas


def _heading(right: bool | None, n_cells: int, width: int) -> Canvas:
    canvas = Canvas(width, 30)
    text = {True: "Right predictions", False: "Wrong predictions", None: "Images without a gold class"}[right]
    x = _draw_status(canvas, 0, 18, right)
    canvas.write(x, 18, f"{text} ({n_cells} shown)", _HEADING, bold=True)
    return canvas


def _draw_status(canvas: Canvas, x: int, y: int, right: bool | None) -> int:
    """Draw the mark of right or wrong, and return where the text after it begins."""
    if right is None:
        return x
    draw = canvas.right_mark if right else canvas.wrong_mark
    draw(x + 10, y)
    return x + 26


def _class_legend(grid: _Grid, width: int) -> Canvas:
    """Draw the mark of each class with its name, and the mark of abstain, on as many lines as they need."""
    places, x, y = [], 0, 0
    entries = [(mark, shorten(mark.name, TEXT, width // 2)) for mark in grid.marks.values()]
    for mark, text in [*entries, *([(None, "the program abstains")] if grid.n_programs else [])]:
        needed = 22 + math.ceil(text_width(text, TEXT))
        if x and x + needed > width:
            x, y = 0, y + _CLASS_LINE
        places.append((x, y + _CLASS_LINE / 2, mark, text))
        x += needed + 24
    canvas = Canvas(width, y + _CLASS_LINE)
    for x, middle, mark, text in places:
        if mark is None:
            canvas.abstain_mark(x + MARK_SIZE / 2, middle)
        else:
            canvas.class_mark(x + MARK_SIZE / 2, middle, mark)
        canvas.write(x + 22, middle, text)
    return canvas
