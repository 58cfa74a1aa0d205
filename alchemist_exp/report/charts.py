"""Draws bars and heat maps as SVG elements that take their colors from the style sheet of the page.

matplotlib is an optional package here and its SVG files have fixed colors and 15 to 40 KB each; these have 2 to 10 KB
and follow the light or dark theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from alchemist_exp.core.terminal import single_line
from alchemist_exp.report.blocks import shorten

LABEL_CHARS: Final = 34
"""Characters that are shown of a label."""

CHAR_WIDTH: Final = 6.6
"""Width of a character of the labels in units of the view box; the font has 12 units."""


def element(name: str, *content: Markup | str, **attributes: object) -> Markup:
    """Return an SVG element; everything that is not Markup is escaped.

    Args:
        name: The name of the element.
        content: Elements and texts inside it.
        attributes: Its attributes; `_` stands for a hyphen, and `class_` for class. None leaves one out.

    Example:
        >>> element("text", "a < b", class_="label", x=1.23456)
        Markup('<text class="label" x="1.235">a &lt; b</text>')

    """
    shown = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(f"{value:.4g}" if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(part if isinstance(part, Markup) else escape(single_line(part)) for part in content)
    return Markup(f"<{name}{''.join(shown)}>{inner}</{name}>")


def picture(width: float, height: float, description: str, *content: Markup) -> Markup:
    """Return an SVG picture, which screen readers describe by a text.

    Args:
        width: Width of the view box.
        height: Height of the view box.
        description: What the picture shows.
        content: Its elements.

    """
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width),
        height=round(height),
        role="img",
        aria_label=single_line(description),
    )


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A horizontal bar: its label, its length, the text at its end, and whether it is a bad thing."""

    label: str
    value: float
    text: str
    wrong: bool = False


def bars(rows: Sequence[Bar], *, maximum: float, description: str) -> Markup:
    """Draw horizontal bars with their labels at the left.

    Args:
        rows: The bars, from the top.
        maximum: The value of a bar of full length.
        description: What the chart shows.

    """
    left = min(LABEL_CHARS, max(len(row.label) for row in rows)) * CHAR_WIDTH + 10
    length, parts = 520 - left - 90, []
    for number, row in enumerate(rows):
        y = 6 + 26 * number
        width = length * min(1.0, max(0.0, row.value / maximum)) if maximum else 0.0
        parts += [
            element("text", shorten(row.label, LABEL_CHARS), x=left - 8, y=y + 14, class_="end"),
            element("rect", x=left, y=y, width=max(width, 1.5), height=19, class_="bad" if row.wrong else "ours"),
            element("text", row.text, x=left + width + 6, y=y + 14, class_="number"),
        ]
    return picture(520, 12 + 26 * len(rows), description, *parts)


def heat_map(names: Sequence[str], values: Sequence[Sequence[float | None]], description: str) -> Markup:
    """Draw a square matrix of shares from 0 to 1; the cell of the lowest share is the lightest.

    Args:
        names: The name of each row and column.
        values: The shares; None where there is none.
        description: What the chart shows.

    """
    n = len(names)
    size = 38 if n <= 12 else 24 if n <= 24 else 15
    left = min(LABEL_CHARS, max(map(len, names))) * CHAR_WIDTH + 10
    top = 24
    parts = []
    lowest = min((value for row in values for value in row if value is not None), default=0.0)
    for row, name in enumerate(names):
        y = top + size * row
        parts.append(element("text", shorten(name, LABEL_CHARS), x=left - 8, y=y + size / 2 + 4, class_="end"))
        parts.append(element("text", str(row), x=left + size * (row + 0.5), y=top - 8, class_="middle"))
        for column, value in enumerate(values[row]):
            x = left + size * column
            title = f"{name} and {names[column]}: " + ("no common rows" if value is None else f"{value:.3f}")
            fill = 0.0 if value is None else round(0.08 + 0.92 * (value - lowest) / max(1 - lowest, 0.05), 2)
            parts.append(
                element(
                    "rect", element("title", title), x=x, y=y, width=size - 1, height=size - 1, class_="ours heat",
                    fill_opacity=fill,
                )
            )  # fmt: skip
            if size >= 38:
                text = "-" if value is None else f"{value:.2f}".removeprefix("0").replace("1.00", "1")
                mark = "middle on" if fill > 0.55 else "middle"
                parts.append(element("text", text, x=x + size / 2, y=y + size / 2 + 4, class_=mark))
    return picture(max(left + size * n + 4, 260), top + size * n + 4, description, *parts)
