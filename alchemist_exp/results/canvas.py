"""Drawing with Pillow: lines of text and marks that differ by shape or letter, not by color only."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from alchemist_exp.results.fonts import text_mask, text_width

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

INK: Final = "#222222"
GRAY: Final = "#666666"
LIGHT: Final = "#E2E2E2"
PAPER: Final = "#FFFFFF"

# Okabe and Ito's palette, which people with any colour vision can tell apart.
WRONG: Final = "#D55E00"
CLASS_COLORS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
_DARK = ("#0072B2", "#009E73")

TEXT: Final = 14
SMALL: Final = 12
TINY: Final = 10

MARK_SIZE: Final = 15
"""Height and width of the mark of a class in pixels."""

_LARGE = 80  # marks are drawn at this size and reduced, since Pillow does not smooth edges


@dataclass(frozen=True, kw_only=True)
class ClassMark:
    """The mark of a class in a picture.

    Attributes:
        letter: What is written in the mark, one to three characters.
        color: One of `CLASS_COLORS`.
        name: The name of the class, without characters that cannot be drawn.

    """

    letter: str
    color: str
    name: str


class Canvas:
    """A picture on white paper; all coordinates are pixels from its upper left corner.

    Attributes:
        image: The picture, mode RGB.
        pen: Draws rectangles and lines on it.

    """

    def __init__(self, width: int, height: int) -> None:
        """Make an empty canvas; width and height are in pixels."""
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (width, height), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        size: int = TEXT,
        color: str = INK,
        *,
        align: Literal["left", "center", "right"] = "left",
        bold: bool = False,
    ) -> None:
        """Write one line of text.

        Args:
            x: The left end, the center or the right end of the text, as `align` says.
            y: The middle of the line.
            text: A text that `drawable` has returned.
            size: Size of the font.
            color: Its color.
            align: What is at `x`.
            bold: Whether the strokes are thicker.

        """
        x -= {"left": 0.0, "center": 0.5, "right": 1.0}[align] * text_width(text, size)
        mask = text_mask(text, size, x - math.floor(x), bold=bold)
        self.image.paste(color, (math.floor(x) - size, round(y) - size), mask)

    def paste_image(self, pixels: npt.NDArray[np.uint8], box: tuple[int, int, int, int]) -> None:
        """Draw an image in the middle of a box, as large as possible.

        Args:
            pixels: uint8 array of shape (height, width, 3), RGB.
            box: Left, top, width and height.

        """
        from PIL import Image

        left, top, width, height = box
        image = Image.fromarray(np.ascontiguousarray(pixels))
        scale = min(width / image.width, height / image.height)
        size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
        image = image.resize(size, Image.Resampling.LANCZOS)
        self.image.paste(image, (left + (width - size[0]) // 2, top + (height - size[1]) // 2))

    def class_mark(self, x: float, y: float, mark: ClassMark, size: int = MARK_SIZE) -> None:
        """Draw a square with a letter, its center at (x, y)."""
        left, top = round(x - size / 2), round(y - size / 2)
        self.pen.rounded_rectangle([left, top, left + size - 1, top + size - 1], 2, fill=mark.color)
        ink = PAPER if mark.color in _DARK else "#000000"
        font = SMALL if len(mark.letter) == 1 else TINY
        self.write(left + size / 2, top + size / 2, mark.letter, font, ink, align="center")

    def abstain_mark(self, x: float, y: float) -> None:
        """Draw a gray dot, its center at (x, y)."""
        self._smooth(x, y, 6, lambda pen: pen.ellipse([0, 0, _LARGE - 1, _LARGE - 1], fill=GRAY))

    def right_mark(self, x: float, y: float) -> None:
        """Draw a check mark in a circle, its center at (x, y)."""

        def _draw(pen: "ImageDraw") -> None:
            pen.ellipse([4, 4, 75, 75], outline=INK, width=6)
            pen.line([(22, 41), (35, 54), (58, 27)], fill=INK, width=8, joint="curve")

        self._smooth(x, y, 18, _draw)

    def wrong_mark(self, x: float, y: float) -> None:
        """Draw a white cross on a square that stands on its corner, its center at (x, y)."""

        def _draw(pen: "ImageDraw") -> None:
            pen.polygon([(40, 0), (79, 40), (40, 79), (0, 40)], fill=WRONG)
            for start, end in (((28, 28), (52, 52)), ((28, 52), (52, 28))):
                pen.line([start, end], fill=PAPER, width=9)

        self._smooth(x, y, 20, _draw)

    def _smooth(self, x: float, y: float, size: int, draw: "Callable[[ImageDraw], None]") -> None:
        from PIL import Image, ImageDraw

        large = Image.new("RGB", (_LARGE, _LARGE), PAPER)
        draw(ImageDraw.Draw(large))
        small = large.resize((size, size), Image.Resampling.LANCZOS)
        self.image.paste(small, (round(x - size / 2), round(y - size / 2)))

    def dashed_frame(self, color: str, *, dash: int = 9, gap: int = 5) -> None:
        """Draw a dashed line of 2 pixels along the edges."""
        width, height = self.image.size
        for start in range(0, width, dash + gap):
            for top in (0, height - 2):
                self.pen.rectangle([start, top, min(start + dash, width) - 1, top + 1], fill=color)
        for start in range(0, height, dash + gap):
            for left in (0, width - 2):
                self.pen.rectangle([left, start, left + 1, min(start + dash, height) - 1], fill=color)


def stack(parts: list[Canvas], gap: int, margin: int) -> Canvas:
    """Put canvases of one width below each other.

    Args:
        parts: The canvases, the upper one first.
        gap: Pixels between two of them.
        margin: Pixels around all of them.

    Returns:
        A new canvas with all of them.

    """
    height = sum(part.image.height for part in parts) + gap * (len(parts) - 1)
    whole = Canvas(parts[0].image.width + 2 * margin, height + 2 * margin)
    y = margin
    for part in parts:
        whole.image.paste(part.image, (margin, y))
        y += part.image.height + gap
    return whole


def as_png(canvas: Canvas) -> bytes:
    """Return the bytes of a PNG file."""
    raw = io.BytesIO()
    canvas.image.save(raw, "PNG")
    return raw.getvalue()
