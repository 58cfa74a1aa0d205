"""The curve of score against dollars: programs alone, programs and an LLM on some rows, the LLM on all rows."""

from typing import Final

import pandas as pd

from alchemist_exp.results.aggregate import aggregate_text
from alchemist_exp.results.report import UNKNOWN, Grid, usd_text
from alchemist_exp.results.run_cells import GROUP_COLUMNS

ASKED: Final = "asked rows"
"""The column of `compare_runs` with the rows of train that an LLM was asked about."""

_METHODS: Final = {"alchemist": "programs", "hybrid": "programs and LLM", "zero_shot": "LLM"}
_NO_SETTINGS: Final = frozenset(
    {"programs", "coverage", "score", "split", "label model", "distilled", "sd", "n", "ensemble", "combined", "spent",
     "list price", "runs", "best", "method", "method.n_rows", ASKED, *GROUP_COLUMNS}
)  # fmt: skip
_VERSIONS: Final = ("code", "packages")


def cost_curves(lines: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the curves of the runs with method=hybrid.

    Args:
        lines: The lines of `compare_runs`.

    Returns:
        A frame for each dataset and combination of the other settings: the lines of the curve by ascending list price.
        It begins with the programs alone and ends with the LLM alone, where there are such runs.

    """
    if "method" not in lines or ASKED not in lines:
        return []
    # What is no result and does not make the curve: another value of it is another curve.
    settings = [name for name in lines if name not in _NO_SETTINGS and name.partition(".")[0] not in _VERSIONS]
    curves = []
    for key, hybrid in lines[lines["method"] == "hybrid"].groupby(settings, sort=False):
        same = pd.Series(True, index=lines.index)
        for name, value in zip(settings, key, strict=True):
            # A method without programs has no label model, vetting and the like, and one without an LLM no keys of it.
            is_unknown = (lines[name] == UNKNOWN) & ((lines["method"] == "zero_shot") | name.startswith("method."))
            same &= (lines[name] == value) | is_unknown
        ends = lines[same & lines["method"].isin(["alchemist", "zero_shot"])]
        curve = pd.concat([hybrid, ends]).dropna(subset=["list price", "distilled"])
        if len(curve) > 1:
            curves.append(curve.sort_values(["list price", "distilled"], kind="stable"))
    return curves


def cost_grids(lines: pd.DataFrame, zero_shot_usd: pd.Series) -> list[Grid]:
    """Return the table of the curves; none without runs with method=hybrid.

    Args:
        lines: The lines of `compare_runs`.
        zero_shot_usd: For each line the estimated list price of asking an LLM about all rows; NaN if it is unknown.

    """
    curves = cost_curves(lines)
    if not curves:
        return []
    frames = [
        pd.DataFrame(
            {
                "dataset": curve["dataset"],
                "labeled by": curve["method"].map(_METHODS),
                ASKED: [asked_text(line) for line in curve.to_dict("records")],
                "list price": curve["list price"].map(usd_text),
                "spent": curve["spent"].map(usd_text),
                "score": curve["score"],
                "distilled": [aggregate_text(*of) for of in zip(curve["distilled"], curve["sd"], strict=True)],
            }
        )
        for curve in curves
    ]
    tables = []
    for frame, curve in zip(frames, curves, strict=True):
        tables.append(frame)
        estimate = zero_shot_usd.reindex(curve.index).max()
        if (curve["method"] != "zero_shot").all() and estimate == estimate:
            first = curve.iloc[0]
            last = [
                first["dataset"],
                _METHODS["zero_shot"],
                "all",
                usd_text(estimate),
                UNKNOWN,
                first["score"],
                UNKNOWN,
            ]
            tables.append(pd.DataFrame([last], columns=frame.columns))
    frame = pd.concat(tables).set_index(["dataset", "labeled by", ASKED])
    return [
        Grid(title="Score against dollars: an LLM labels the rows of train that programs leave in doubt", frame=frame)
    ]


def asked_text(line: dict[str, object]) -> str:
    """Return how many rows an LLM was asked about in a line of `compare_runs`.

    Example:
        >>> asked_text({"method": "hybrid", "asked rows": 100.0}), asked_text({"method": "zero_shot"})
        ('100', 'all')

    """
    if line["method"] == "zero_shot":
        return "all"
    asked = line.get(ASKED)
    return f"{asked:,.0f}" if isinstance(asked, int | float) and asked == asked else "0"
