"""Curves as pictures: figure 5 (the label model's test score by the number of programs), and scores by hand labels."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alchemist_exp.core.errors import ConfigError, install_command, require_packages
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.results.filled_table import FilledTable
from alchemist_exp.results.paper import score_of
from alchemist_exp.results.record import SCORES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which people with any colour vision can tell apart; marks and strokes differ too.
_STYLES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))

_INCHES = (3.35, 2.6)
"""A column of a two-column page."""


def figure5(filled: FilledTable) -> Mapping[str, bytes]:
    """Draw figure 5: for each dataset a line of means and a band of one standard deviation over the draws.

    Args:
        filled: The table figure5.

    Returns:
        The picture as "svg" and "png" (300 dots per inch). The same results give the same bytes under the same version
        of matplotlib.

    Raises:
        ConfigError: matplotlib is not installed.

    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            f"the picture of figure5 needs matplotlib; install it with: {install_command('figures')} , or print the "
            "numbers with --format csv."
        ) from error

    # The salt makes the same ids, and so the same file, every time.
    with mpl.rc_context({"svg.hashsalt": "alchemist", "text.parse_math": False, "font.size": 8, "axes.linewidth": 0.6}):
        picture = Figure(figsize=_INCHES, layout="constrained")
        axes = picture.add_subplot()
        for dataset, (colour, mark, stroke) in zip(filled.table.datasets, _STYLES, strict=False):
            for gold in filled.golds:
                fill = colour if gold == filled.golds[0] else "white"
                _draw(axes, filled, dataset, gold, color=colour, marker=mark, linestyle=stroke, markerfacecolor=fill)
        counts = [int(n) for n in filled.table.items]
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("programs drawn from each of five strategies")
        axes.set_ylabel("label model, test score")
        axes.set_xticks(counts)
        axes.set_xlim(min(counts) - 0.25, max(counts) + 0.25)
        axes.grid(axis="y", linewidth=0.4, alpha=0.4)
        if axes.lines:
            columns = 3 if len(filled.golds) == 1 else 2
            picture.legend(
                loc="outside upper center", ncols=columns, frameon=False, fontsize=7, handlelength=2.4, columnspacing=1
            )
        pictures = {}
        for kind, metadata in (("svg", {"Date": None}), ("png", {})):  # without the time of day
            raw = io.BytesIO()
            picture.savefig(raw, format=kind, dpi=300, metadata=metadata)
            pictures[kind] = raw.getvalue()
        return pictures


def _draw(axes: "Axes", filled: FilledTable, dataset: str, gold: str, **style: Any) -> None:
    """Draw one line of means and its band; the line breaks where no run gives a mean."""
    cells = filled.cells[(filled.cells["dataset"] == dataset) & (filled.cells["gold"] == gold)]
    cells = cells.set_index("item").reindex(filled.table.items)
    counts, means = np.array([int(n) for n in cells.index]), cells["mean"].to_numpy()
    spread = cells["sd"].fillna(0.0).to_numpy()
    measured = ~np.isnan(means)
    if not measured.any():
        return
    label = f"{dataset} ({SCORES[score_of(dataset)]})"
    if len(filled.golds) > 1:
        label += f", gold={sanitize(gold)}"
    axes.fill_between(counts, means - spread, means + spread, color=style["color"], alpha=0.16, linewidth=0)
    # The band needs a neighbour; a point that has none shows its standard deviation as a bar.
    around = np.pad(measured, 1)
    alone = measured & ~around[:-2] & ~around[2:]
    if alone.any():
        bar = {"yerr": spread[alone], "fmt": "none", "ecolor": style["color"], "elinewidth": 1, "capsize": 2}
        axes.errorbar(counts[alone], means[alone], **bar)
    axes.plot(counts, means, linewidth=1.3, markersize=4, label=label, **style)


def label_curve(
    *, sizes: Sequence[int], means: Sequence[float], deviations: Sequence[float], target: float, score: str, kind: str
) -> bytes:
    """Draw the score of a model by its number of hand labels, and the score of the distilled model as a line.

    Args:
        sizes: Numbers of hand labels, ascending.
        means: The mean score at each.
        deviations: The standard deviation at each.
        target: The score of the distilled model.
        score: The name of the score.
        kind: "png" (300 dots per inch) or "svg".

    Returns:
        The picture.

    Raises:
        MissingPackageError: matplotlib is not installed.

    """
    require_packages("the picture", "figures", "matplotlib")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "alchemist", "text.parse_math": False, "font.size": 8, "axes.linewidth": 0.6}):
        picture = Figure(figsize=_INCHES, layout="constrained")
        axes, (colour, mark, stroke), (other, _, dashed) = picture.add_subplot(), *_STYLES[:2]
        low, high = np.subtract(means, deviations), np.add(means, deviations)
        axes.fill_between(sizes, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(sizes, means, color=colour, marker=mark, linestyle=stroke, markersize=4, label="hand labels")
        axes.axhline(target, color=other, linestyle=dashed, linewidth=1.3, label="distilled")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=6)
        axes.minorticks_off()
        axes.set_xlabel("hand labels of train")
        axes.set_ylabel(score)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.4, alpha=0.4)
        picture.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=7)
        raw = io.BytesIO()
        picture.savefig(raw, format=kind, dpi=300, metadata={"Date": None} if kind == "svg" else {})
        return raw.getvalue()
