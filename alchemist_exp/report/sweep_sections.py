"""The sections of the page of a sweep: overview, settings, scores of seeds, cost, figure 5 and notes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.report.blocks import (
    Block,
    BulletList,
    Cell,
    Columns,
    Figure,
    PageTable,
    Paragraph,
    TableColumn,
    Tile,
    Tiles,
    shorten,
)
from alchemist_exp.report.plots import PlotLine, axis_over, plot, strips
from alchemist_exp.results.cost_curve import ASKED, asked_text
from alchemist_exp.results.filled_table import fill
from alchemist_exp.results.paper import score_of
from alchemist_exp.results.paper_tables import Quantity
from alchemist_exp.results.record import SCORES
from alchemist_exp.results.report import SHOWN_KEY_DIGITS, UNKNOWN, Grid, Report
from alchemist_exp.results.runs import RunIndex, RunState

MAX_DRAWN: Final = 30
"""Settings of a dataset in a chart."""

MAX_LISTED: Final = 200

_RESULTS: Final = {
    "programs",
    "coverage",
    "score",
    "split",
    "label model",
    "distilled",
    "ensemble",
    "combined",
    "n",
    ASKED,
    "spent",
    "list price",
    "run",
}
"""Columns of a comparison that are results; others are settings."""

_NUMBER: Final = re.compile(r"[$\d.,± ]+|-")


def overview(index: RunIndex, report: Report) -> list[Block]:
    """Return what the runs are: how many have finished, the datasets, and the cost.

    Args:
        index: The runs.
        report: Their comparison.

    """
    states = index.runs["state"].value_counts()
    done = index.runs[index.runs["state"] == RunState.DONE]
    other = ", ".join(f"{count:,} {state}" for state, count in states.items() if state != RunState.DONE)
    spent = sum(float(usd) for usd in done["cost.spent_usd"] if isinstance(usd, int | float))
    seconds = sum(float(value) for value in done.get("seconds.total", ()) if isinstance(value, int | float))
    datasets = report.flat["dataset"].astype(str).unique().tolist()
    return [
        Tiles(
            tiles=[
                Tile(label="finished runs", value=f"{len(done):,}", detail=other or "none failed or is missing"),
                Tile(label="settings", value=f"{len(report.flat):,}", detail="runs that differ in more than seeds"),
                Tile(label="datasets", value=f"{len(datasets):,}", detail=shorten(", ".join(datasets), 90)),
                Tile(label="spent on LLM calls", value=f"${spent:,.2f}", detail=f"{seconds / 3600:,.2f} hours of runs"),
            ]
        )
    ]


def settings_table(report: Report, n_lines: int) -> list[Block]:
    """Return the table of the settings, and how many are left out.

    Args:
        report: The comparison of the runs.
        n_lines: The most rows of the table.

    """
    grid = report.grids[0]
    names = [*grid.stubs, *(name if not group else f"{group} {name}" for group, name in grid.columns)]
    texts = [[*labels, *cells] for labels, cells in grid.rows]
    numeric = [all(_NUMBER.fullmatch(row[number]) for row in texts) for number in range(len(names))]
    table = PageTable(
        columns=[
            TableColumn(name=shorten(name), numeric=is_number) for name, is_number in zip(names, numeric, strict=True)
        ],
        rows=[[Cell(text=shorten(text)) for text in row] for row in texts[:n_lines]],
    )
    more = len(texts) - n_lines
    return [table, *([Paragraph(text=f"{n_lines:,} of {len(texts):,} settings are shown.")] if more > 0 else [])]


def setting_names(grid: Grid) -> list[str]:
    """Return a text for each setting: what differs between settings, without the dataset.

    Args:
        grid: The table of the comparison.

    """
    names = [*grid.stubs, *(name for _, name in grid.columns)]
    kept = [number for number, name in enumerate(names) if name not in _RESULTS and name != "dataset"]
    kept = [number for number in kept if number < len(grid.stubs) or not grid.columns[number - len(grid.stubs)][0]]
    rows = [[*labels, *cells] for labels, cells in grid.rows]
    return [" ".join(row[number] for number in kept if row[number] != UNKNOWN) for row in rows]


def score_chart(dataset: str, lines: pd.DataFrame, labels: list[str], points: pd.DataFrame) -> Figure | None:
    """Return the scores of each seed of the settings of a dataset; None if there are no scores.

    Args:
        dataset: The name of the dataset.
        lines: Its rows of `Report.flat`, with `place`, the position among all rows.
        labels: The name of each setting, by its place.
        points: The measurements of the runs, as `aggregate.measurements` returns them.

    """
    scores = {heading: key for key, heading in SCORES.items()}
    rows = []
    for line in lines.to_dict("records"):
        of_runs = points["run"].isin(str(line["runs"]).split()) & (points["score"] == scores.get(str(line["score"])))
        values = points[of_runs & (points["quantity"] == Quantity.DISTILLED)]["value"].tolist()
        if values:
            rows.append((labels[line["place"]] or str(line["runs"])[:SHOWN_KEY_DIGITS], values))
    if not rows:
        return None
    shown = rows[:MAX_DRAWN]
    score = str(lines["score"].iloc[0])
    of_all = f"; the best {len(shown)} of {len(rows):,} settings" if len(shown) < len(rows) else ""
    text = f"{shorten(dataset)}, {score} on test{of_all}."
    axis = axis_over(score, [value for _, values in shown for value in values])
    return Figure(svg=strips(shown, axis, text), caption=text)


def cost_chart(dataset: str, lines: pd.DataFrame, labels: list[str]) -> Figure | None:
    """Return the scores of the settings by their list price; None if all settings cost the same.

    Args:
        dataset: The name of the dataset.
        lines: Its rows of `Report.flat`, with `place`, the position among all rows.
        labels: The name of each setting, by its place.

    """
    found: list[tuple[float, float, str]] = []
    for line in lines.to_dict("records"):
        score = line["distilled"] if line["distilled"] == line["distilled"] else line["label model"]
        price = line["list price"]
        if isinstance(price, int | float) and price > 0 and score == score:
            found.append((float(price), float(score), labels[line["place"]]))
    if len({price for price, *_ in found}) < 2:
        return None
    shown = found[:MAX_DRAWN]
    near = (max(score for _, score, _ in shown) - min(score for _, score, _ in shown)) / 15
    points, labeled = [], list[tuple[float, float]]()
    for price, score, label in shown:
        # A label that would cover another one is left out; the table of settings has all of them.
        covered = any(other / 3 < price < 3 * other and abs(of_other - score) < near for other, of_other in labeled)
        labeled += [] if covered else [(price, score)]
        points.append(PlotLine(xs=[price], ys=[score], label="" if covered else shorten(label, 40), marks=[0]))
    name = f"{lines['score'].iloc[0]} on test"
    text = f"{shorten(dataset)}: {name} by list price."
    x = axis_over("US dollars", [price for price, *_ in shown], logarithmic=True)
    y = axis_over(name, [score for _, score, _ in shown])
    return Figure(svg=plot(points, x, y, text, x_text=lambda usd: f"${usd:,.4g}"), caption=text)


def cost_curve_chart(curve: pd.DataFrame) -> Figure:
    """Return the plot of a curve of `cost_curves`; a bar is one standard deviation over seeds.

    Args:
        curve: A frame of `cost_curves`.

    """
    prices, means, spread = (curve[name].fillna(0.0).tolist() for name in ("list price", "distilled", "sd"))
    name = f"{curve['score'].iloc[0]} on {curve['split'].iloc[0]}"
    last = len(curve) - 1
    lines = [PlotLine(xs=prices, ys=means, marks=range(len(curve)), spread=spread)]
    for place, line in enumerate(curve.to_dict("records")):
        if place in (0, last) or line["method"] != "hybrid":
            label = f"{asked_text(line)} rows"
            lines.append(PlotLine(xs=[prices[place]], ys=[means[place]], label=label))
    low = [mean - sd for mean, sd in zip(means, spread, strict=True)]
    high = [mean + sd for mean, sd in zip(means, spread, strict=True)]
    text = (
        f"{shorten(str(curve['dataset'].iloc[0]))}: {name} by list price; a label is the rows the LLM was asked about."
    )
    x, y = axis_over("US dollars", prices), axis_over(name, [*low, *high])
    return Figure(svg=plot(lines, x, y, text, x_text=lambda usd: f"${usd:,.4g}"), caption=text)


def figure5_charts(runs: pd.DataFrame) -> Iterator[Block]:
    """Yield figure 5 for each dataset whose runs drew different numbers of programs.

    Args:
        runs: Rows of `RunIndex.runs`.

    """
    try:
        filled = fill("figure5", runs, {})
    except ConfigError:  # runs that were not made in the same way; `alchemist compare` says which
        return
    ours = filled.cells[filled.cells["gold"].notna() & filled.cells["mean"].notna()]
    figures = []
    for (dataset, gold), cells in ours.groupby(["dataset", "gold"], sort=False):
        cells = cells.assign(count=cells["item"].astype(int)).sort_values("count")
        if len(cells) < 2:
            continue
        counts, means = cells["count"].tolist(), cells["mean"].tolist()
        spread = cells["sd"].fillna(0.0).tolist()
        name = f"label model, {SCORES[score_of(str(dataset))]} on test"
        low = [mean - sd for mean, sd in zip(means, spread, strict=True)]
        high = [mean + sd for mean, sd in zip(means, spread, strict=True)]
        text = f"{dataset}, gold={gold}: {name} by programs drawn from each strategy; a bar is one standard deviation."
        line = PlotLine(xs=counts, ys=means, marks=range(len(counts)), spread=spread)
        x, y = axis_over("programs of each strategy", counts), axis_over(name, [*low, *high])
        figures.append(Figure(svg=plot([line], x, y, text), caption=text))
    if figures:
        yield Columns(blocks=figures)


def note_blocks(index: RunIndex, report: Report) -> list[Block]:
    """Return the notes of the comparison and the records that cannot be read, then the runs that failed.

    Args:
        index: The runs.
        report: Their comparison.

    """
    blocks: list[Block] = []
    if notes := [shorten(note, 1_000) for note in [*report.notes, *index.errors]]:
        blocks.append(BulletList(items=notes[:MAX_LISTED], title="Notes and warnings", warning=True))
    others: list[Mapping[str, Any]] = index.runs[index.runs["state"] != RunState.DONE].reset_index().to_dict("records")
    if others:
        rows = [
            [
                Cell(text=shorten(run["run"], SHOWN_KEY_DIGITS)),
                Cell(text=str(run["state"]), wrong=run["state"] != RunState.RUNNING),
                Cell(text=shorten(run["error"], 300) if isinstance(run["error"], str) else UNKNOWN),
                Cell(text=shorten(" ".join(map(str, run["overrides"])), 200)),
            ]
            for run in others[:MAX_LISTED]
        ]
        columns = [TableColumn(name=name, numeric=False) for name in ("run", "state", "error", "overrides")]
        caption = f"Runs without a result ({len(rows):,} of {len(others):,})"
        blocks.append(PageTable(columns=columns, rows=rows, caption=caption))
    return blocks
