"""Figure 5 as a picture: the label model's test score against the programs drawn from each strategy."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from alchemist_exp.core.errors import ConfigError, install_command
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.results.details import SCORES
from alchemist_exp.results.filled import Filled, ours_with
from alchemist_exp.results.paper import score_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by people of any colour vision; marks and strokes differ too.
_STYLES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))

_INCHES = (3.35, 2.6)
"""A column of a two-column page."""


def figure5(filled: Filled) -> Mapping[str, bytes]:
    """The picture as "svg" and "png" (300 dots per inch): a line of means with a band of one sd for each dataset.

    The same figures give the same bytes under the same version of matplotlib. ConfigError where that is not installed.
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
        drawing = Figure(figsize=_INCHES, layout="constrained")
        axes = drawing.add_subplot()
        for dataset, (colour, mark, stroke) in zip(filled.table.datasets, _STYLES, strict=False):
            for gold in filled.golds:
                fill = colour if gold == filled.golds[0] else "white"
                _draw(axes, filled, dataset, gold, color=colour, marker=mark, linestyle=stroke, markerfacecolor=fill)
        _dress(axes, _counts(filled))
        if axes.lines:
            columns = 3 if len(filled.golds) == 1 else 2
            drawing.legend(
                loc="outside upper center", ncols=columns, frameon=False, fontsize=7, handlelength=2.4, columnspacing=1
            )
        pictures = {}
        for kind, metadata in (("svg", {"Date": None}), ("png", {})):  # without the time of day
            raw = io.BytesIO()
            drawing.savefig(raw, format=kind, dpi=300, metadata=metadata)
            pictures[kind] = raw.getvalue()
        return pictures


def _counts(filled: Filled) -> list[int]:
    return [int(n) for n in filled.table.items]


def _draw(axes: "Axes", filled: Filled, dataset: str, gold: str, **style: Any) -> None:
    """One line of means and its band. It breaks at a number without runs: nothing is drawn that was not measured."""
    found = [filled.ours.get((n, ours_with(gold), "label_model", dataset)) for n in filled.table.items]
    if not any(found):
        return
    means = np.array([np.nan if figure is None else figure.mean for figure in found])
    spread = np.array([0.0 if figure is None else figure.std or 0.0 for figure in found])
    label = f"{dataset} ({SCORES[score_of(dataset)]})"
    if len(filled.golds) > 1:
        label += f", gold={sanitize(gold)}"
    counts = _counts(filled)
    axes.fill_between(counts, means - spread, means + spread, color=style["color"], alpha=0.16, linewidth=0)
    # The band needs a neighbour; a point that has none shows its spread as a bar.
    measured = np.pad(~np.isnan(means), 1)
    alone = measured[1:-1] & ~measured[:-2] & ~measured[2:]
    if alone.any():
        at = np.array(counts)[alone]
        axes.errorbar(at, means[alone], yerr=spread[alone], fmt="none", ecolor=style["color"], elinewidth=1, capsize=2)
    axes.plot(counts, means, linewidth=1.3, markersize=4, label=label, **style)


def _dress(axes: "Axes", counts: list[int]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("programs drawn from each of five strategies")
    axes.set_ylabel("label model, test score")
    axes.set_xticks(counts)
    axes.set_xlim(min(counts) - 0.25, max(counts) + 0.25)
    axes.grid(axis="y", linewidth=0.4, alpha=0.4)
