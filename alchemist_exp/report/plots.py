"""Draws lines and points over two axes as SVG, see `charts`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from alchemist_exp.report.blocks import shorten
from alchemist_exp.report.charts import CHAR_WIDTH, LABEL_CHARS, element, picture

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 30, 40


@dataclass(frozen=True, kw_only=True)
class PlotLine:
    """A line of a plot.

    Attributes:
        xs: x of each point.
        ys: y of each point.
        label: The text at its last point.
        style: "ours", "bad" or "plain", which sets the color.
        dash: Lengths of dashes and gaps; "" for a solid line.
        marks: Positions of points that get a mark.
        spread: Half the height of a bar through each point; empty for none.

    """

    xs: Sequence[float]
    ys: Sequence[float]
    label: str = ""
    style: str = "ours"
    dash: str = ""
    marks: Sequence[int] = ()
    spread: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of a plot: its name, its range, and whether it is logarithmic."""

    name: str
    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value is, from 0 at the low end to 1 at the high end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """Values with a label: about five round numbers, or powers of ten."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first) / 6))
            return [10.0**power for power in range(first, last + 1, step)]
        size = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(size * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (size * factor) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_over(name: str, values: Sequence[float], *, logarithmic: bool = False) -> Axis:
    """Return an axis that has room for some values.

    Args:
        name: What the values are.
        values: At least one finite value; positive ones for a logarithmic axis.
        logarithmic: Whether the axis is logarithmic.

    """
    low, high = min(values), max(values)
    if logarithmic:
        return Axis(name=name, low=low / 1.5, high=high * 1.5, logarithmic=True)
    margin = 0.08 * (high - low) or max(0.05, abs(high) * 0.05)
    return Axis(name=name, low=low - margin, high=high + margin)


def tick_text(value: float) -> str:
    """Return the label of a tick.

    Example:
        >>> tick_text(0.25), tick_text(20000.0), tick_text(1e-4)
        ('0.25', '20,000', '0.0001')

    """
    return f"{value:,.0f}" if abs(value) >= 10 and value == round(value) else f"{value:.4g}"


def plot(
    lines: Sequence[PlotLine],
    x: Axis,
    y: Axis,
    description: str,
    *,
    x_text: Callable[[float], str] = tick_text,
    y_text: Callable[[float], str] = tick_text,
    size: tuple[int, int] = (520, 260),
) -> Markup:
    """Draw lines and points over two axes.

    Args:
        lines: The lines; one without a dash and with marks at all points may have a single point.
        x: The horizontal axis.
        y: The vertical axis.
        description: What the plot shows.
        x_text: Returns the label of a tick of x.
        y_text: Returns the label of a tick of y.
        size: Width and height of the view box.

    """
    width, height = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM

    def at(x_value: float, y_value: float) -> tuple[float, float]:
        """Return the place of a point in the view box, x and y."""
        return round(_LEFT + width * x.share(x_value), 1), round(_TOP + height * (1 - y.share(y_value)), 1)

    parts = []
    for tick in y.ticks:
        _, at_y = at(x.low, tick)
        parts += [
            element("line", x1=_LEFT, x2=_LEFT + width, y1=at_y, y2=at_y, class_="grid"),
            element("text", y_text(tick), x=_LEFT - 7, y=at_y + 4, class_="end"),
        ]
    for tick in x.ticks:
        at_x, _ = at(tick, y.low)
        parts.append(element("text", x_text(tick), x=at_x, y=_TOP + height + 17, class_="middle"))
    parts.append(element("line", x1=_LEFT, x2=_LEFT + width, y1=_TOP + height, y2=_TOP + height, class_="axis"))
    parts.append(element("text", x.name, x=_LEFT + width / 2, y=size[1] - 5, class_="middle name"))
    parts.append(element("text", y.name, x=_LEFT, y=12, class_="name"))
    for line in lines:
        parts += _line(line, [at(*point) for point in zip(line.xs, line.ys, strict=True)], height / (y.high - y.low))
    return picture(*size, description, *parts)


def _line(line: PlotLine, points: Sequence[tuple[float, float]], y_unit: float) -> list[Markup]:
    parts = []
    if len(points) > 1 and line.dash != "none":
        path = " ".join(f"{px},{py}" for px, py in points)
        parts.append(
            element("polyline", points=path, class_=f"{line.style} stroke", stroke_dasharray=line.dash or None)
        )
    for (px, py), half in zip(points, line.spread, strict=False):
        if half:
            parts.append(
                element("line", x1=px, x2=px, y1=py - half * y_unit, y2=py + half * y_unit, class_=f"{line.style} bar")
            )
    parts += [element("circle", cx=px, cy=py, r=3.5, class_=line.style) for px, py in (points[i] for i in line.marks)]
    if line.label and points:
        px, py = points[-1]
        inside = px > 330
        parts.append(
            element("text", line.label, x=px + (-6 if inside else 7), y=py - 7, class_="end" if inside else "start")
        )
    return parts


def strips(rows: Sequence[tuple[str, Sequence[float]]], x: Axis, description: str) -> Markup:
    """Draw the values of several settings, one line of points each, with a bar at the mean.

    Args:
        rows: The label and the values of each setting, from the top.
        x: The axis of the values.
        description: What the chart shows.

    """
    left = min(LABEL_CHARS, max(len(label) for label, _ in rows)) * CHAR_WIDTH + 12
    width, height = 640 - left - _RIGHT, 24 * len(rows)
    parts = []
    for tick in x.ticks:
        at = left + width * x.share(tick)
        parts += [
            element("line", x1=at, x2=at, y1=4, y2=height + 4, class_="grid"),
            element("text", tick_text(tick), x=at, y=height + 20, class_="middle"),
        ]
    parts.append(element("text", x.name, x=left + width / 2, y=height + 38, class_="middle name"))
    for number, (label, values) in enumerate(rows):
        y = 16 + 24 * number
        parts.append(
            element("text", shorten(label, LABEL_CHARS), element("title", label), x=left - 10, y=y + 4, class_="end")
        )
        mean = left + width * x.share(sum(values) / len(values))
        parts.append(element("line", x1=mean, x2=mean, y1=y - 8, y2=y + 8, class_="plain stroke"))
        parts += [
            element("circle", cx=left + width * x.share(value), cy=y, r=4, class_="ours", fill_opacity=0.55)
            for value in values
        ]
    return picture(640, height + 46, description, *parts)
