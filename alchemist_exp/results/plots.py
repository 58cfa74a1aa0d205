"""Figure 5 as a picture: the label model's test score against the programs drawn from each strategy."""

import io
from collections.abc import Mapping

import numpy as np

from alchemist_exp.core.display import harmless
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results.details import SCORES
from alchemist_exp.results.filled import Filled, ours_with
from alchemist_exp.results.paper import score_of

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
            "figure5's picture needs matplotlib; pip install 'alchemist-exp[figures]', or ask for the numbers alone, "
            "as in --format csv."
        ) from error

    # The salt makes the same ids, and so the same file, every time.
    with mpl.rc_context({"svg.hashsalt": "alchemist", "text.parse_math": False, "font.size": 8, "axes.linewidth": 0.6}):
        drawing = Figure(figsize=_INCHES, layout="constrained")
        axes = drawing.add_subplot()
        series = [(dataset, source) for dataset in filled.table.datasets for source in map(ours_with, filled.golds)]
        for i, (dataset, source) in enumerate(series):
            # A number without runs breaks the line: nothing is drawn where nothing was measured.
            found = [filled.ours.get((n, source, "label_model", dataset)) for n in filled.table.items]
            if not any(found):
                continue
            counts = [int(n) for n in filled.table.items]
            means = np.array([np.nan if figure is None else figure.mean for figure in found])
            spread = np.array([0.0 if figure is None else figure.std or 0.0 for figure in found])
            colour, mark, stroke = _STYLES[i // len(filled.golds) % len(_STYLES)]
            hollow = source != ours_with(filled.golds[0])
            axes.fill_between(counts, means - spread, means + spread, color=colour, alpha=0.16, linewidth=0)
            axes.plot(
                counts, means, color=colour, marker=mark, linestyle=stroke, linewidth=1.3, markersize=4,
                markerfacecolor="white" if hollow else colour, label=_label(filled, dataset, source),
            )  # fmt: skip
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("programs drawn from each of five strategies")
        axes.set_ylabel("label model, test score")
        axes.set_xticks([int(n) for n in filled.table.items])
        axes.grid(axis="y", linewidth=0.4, alpha=0.4)
        if axes.lines:
            columns = 3 if len(filled.golds) == 1 else 2
            drawing.legend(
                loc="outside upper center", ncols=columns, frameon=False, fontsize=7, handlelength=2.4, columnspacing=1
            )
        return {kind: _saved(drawing, kind) for kind in ("svg", "png")}


def _label(filled: Filled, dataset: str, source: str) -> str:
    gold = f", gold={harmless(source.removeprefix('ours:'))}" if len(filled.golds) > 1 else ""
    return f"{dataset} ({SCORES[score_of(dataset)]}){gold}"


def _saved(drawing: object, kind: str) -> bytes:
    from matplotlib.figure import Figure

    if not isinstance(drawing, Figure):
        raise TypeError("a drawing of matplotlib's is needed")
    raw = io.BytesIO()
    without_time = {"Date": None} if kind == "svg" else {}
    drawing.savefig(raw, format=kind, dpi=300, metadata=without_time)
    return raw.getvalue()
