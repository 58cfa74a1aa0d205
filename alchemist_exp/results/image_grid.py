"""Test images as a picture: what the concept scores and the programs say about each, right and wrong ones apart."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.errors import ConfigError, install_command
from alchemist_exp.core.types import BoolArray, IntArray
from alchemist_exp.results.canvas import (
    GRAY,
    INK,
    SMALL,
    TEXT,
    Canvas,
    as_png,
    stack,
)
from alchemist_exp.results.fonts import drawable, text_width, wrap
from alchemist_exp.results.image_cells import (
    CELL_WIDTH,
    GAP,
    LABEL_WIDTH,
    CellLayout,
    GridCell,
    class_marks,
    draw_status,
)

MAX_CELLS: Final = 16

_MARGIN = 20  # pixels
_MAX_COLUMNS = 4
_TITLE, _HEADING = 20, 15  # sizes of the font
_WIDE_GAP = 5 * " "


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
    too_long = any(text_width(label, SMALL) > LABEL_WIDTH - 8 for label in labels)
    if too_long:
        labels = [f"{number} {label}" for number, label in enumerate(labels, start=1)]
    grid = CellLayout(
        marks=class_marks(cells),
        labels=tuple(labels),
        ranges=tuple(_range(cell.scores[i] for cell in cells if cell.scores) for i in range(len(labels))),
        n_programs=len(programs) if any(cell.votes for cell in cells) else 0,
    )
    blocks = {right: [cell for cell in cells if cell.right is right] for right in (True, False, None)}
    n_columns = min(_MAX_COLUMNS, max(2, *map(len, blocks.values())))
    width = n_columns * (CELL_WIDTH + GAP) - GAP
    parts = [_paragraph([drawable(title)], width, _TITLE, INK)]
    if grid.marks:
        parts.append(grid.class_legend(width))
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
    return as_png(stack(parts, GAP, _MARGIN))


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
    x = draw_status(canvas, 0, 18, right)
    canvas.write(x, 18, f"{text} ({n_cells} shown)", _HEADING, bold=True)
    return canvas
