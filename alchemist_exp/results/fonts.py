"""Text in pictures that are drawn with Pillow: widths and masks of texts, and texts of others that must fit a width."""

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from alchemist_exp.core.terminal import sanitize

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from PIL.ImageFont import FreeTypeFont

_SCALE = 4  # texts are drawn in this size and reduced: small letters otherwise have whole pixels between them


@lru_cache(maxsize=16)
def _load_font(size: int) -> "FreeTypeFont":
    """Load the font that is part of Pillow, so that pictures do not depend on the fonts of the machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # as always for a size
    return font


def text_width(text: str, size: int) -> float:
    """Return the width of a text in pixels, for a size of the font in pixels."""
    return _load_font(size * _SCALE).getlength(text) / _SCALE


def text_mask(text: str, size: int, shift: float, *, bold: bool) -> "PILImage":
    """Draw a text as a mask.

    Args:
        text: A text that `drawable` has returned.
        size: Size of the font in pixels.
        shift: Part of a pixel by which the text is further to the right.
        bold: Whether the strokes are thicker.

    Returns:
        Image of mode L, in which the text begins `size` pixels from the left edge; its middle is `size` pixels from the
        upper edge.

    """
    from PIL import Image, ImageDraw

    large = Image.new("L", (_SCALE * (math.ceil(text_width(text, size)) + 2 * size + 1), _SCALE * 2 * size))
    ImageDraw.Draw(large).text(
        (_SCALE * (size + shift), _SCALE * size),
        text,
        255,
        _load_font(size * _SCALE),
        "lm",
        stroke_width=1.2 if bold else 0,
    )
    return large.reduce(_SCALE)


def drawable(text: str) -> str:
    r"""Replace what the font does not have, so that no empty boxes are drawn.

    Args:
        text: Any text.

    Returns:
        The text on one line of at most 300 characters, before replacements. Letters lose their accents, and
        dashes become hyphens; other characters that the font does not have become their escapes.

    Example:
        >>> drawable("Grünspecht\n鳥")
        'Grunspecht \\u9ce5'

    """
    return "".join(_drawable_character(character) for character in sanitize(text))


@lru_cache(maxsize=4096)
def _drawable_character(character: str) -> str:
    if _in_font(character):
        return character
    if unicodedata.category(character) == "Pd":  # dashes
        return "-"
    parts = unicodedata.normalize("NFKD", character)
    base = "".join(part for part in parts if not unicodedata.combining(part))
    return base if base and all(map(_in_font, base)) else ascii(character)[1:-1]


def _in_font(character: str) -> bool:
    """Return whether the font draws a character differently from one that no font has."""
    font = _load_font(24)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))


@lru_cache(maxsize=1024)
def shorten(text: str, size: int, width: int) -> str:
    """Cut the middle out of a text that is too wide: descriptions and paths mostly differ at their ends.

    Args:
        text: A text that `drawable` has returned.
        size: Size of the font.
        width: Available width in pixels.

    Returns:
        The text; if it is shortened, its first and last words with an ellipsis between them, or letters if two words
        are too wide.

    """
    if text_width(text, size) <= width:
        return text
    words = text.split()
    short = _shorten(
        len(words), lambda n: f"{' '.join(words[: n - n // 2])} … {' '.join(words[-(n // 2) :])}", size, width
    )
    return short or _shorten(len(text), lambda n: f"{text[: n - n // 2]}…{text[-(n // 2) :]}", size, width) or "…"


def _shorten(n_parts: int, shortened: Callable[[int], str], size: int, width: int) -> str:
    """Return the longest text that fits, of at least two parts and at most all but one; empty if none fits."""
    counts = range(2, n_parts)
    n_fitting = bisect_right(counts, float(width), key=lambda n: text_width(shortened(n), size))
    return shortened(counts[n_fitting - 1]) if n_fitting else ""


def wrap(words: Sequence[str], size: int, width: int, gap: str = " ") -> list[str]:
    """Distribute words over lines.

    Args:
        words: Texts that `drawable` has returned; none of them is divided, and one that is wider than a line is
            shortened.
        size: Size of the font.
        width: Available width in pixels.
        gap: What separates two words of a line.

    Returns:
        The lines.

    """
    lines: list[str] = []
    for word in words:
        if lines and text_width(longer := lines[-1] + gap + word, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, size, width))
    return lines
