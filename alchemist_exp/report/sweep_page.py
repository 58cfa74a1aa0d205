"""Composes the page of a sweep: all runs of an outputs directory."""

from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import StoreError
from alchemist_exp.report.blocks import (
    Columns,
    Page,
    PageSection,
)
from alchemist_exp.report.html import render_within_limit
from alchemist_exp.report.sweep_sections import (
    cost_chart,
    cost_curve_chart,
    figure5_charts,
    note_blocks,
    overview,
    score_chart,
    setting_names,
    settings_table,
)
from alchemist_exp.results.aggregate import measurements
from alchemist_exp.results.comparison import compare_runs
from alchemist_exp.results.cost_curve import cost_curves
from alchemist_exp.results.report import Report
from alchemist_exp.results.runs import RunIndex, RunState

MAX_LINES: Final = 1_000
"""Rows of the table of settings; `alchemist compare` writes them all."""


def sweep_report(index: RunIndex, outputs: Path) -> str:
    """Return the report of the runs in an outputs directory as HTML.

    Args:
        index: Its runs.
        outputs: The directory, for texts.

    Returns:
        One HTML file that needs no other file and no network.

    Raises:
        StoreError: No run has finished.

    """
    runs = index.runs
    if not (runs["state"] == RunState.DONE).any():
        raise StoreError(f"no run in {outputs} has finished; see alchemist status {outputs}.")
    report = compare_runs(runs, outputs)
    return render_within_limit(lambda share: _page(index, report, outputs, max(1, round(MAX_LINES * share))))


def _page(index: RunIndex, report: Report, outputs: Path, n_lines: int) -> Page:
    runs = index.runs
    labels = setting_names(report.grids[0])
    flat = report.flat.assign(place=range(len(report.flat)), dataset=report.flat["dataset"].astype(str))
    of_datasets = [(str(name), lines) for name, lines in flat.groupby("dataset", sort=False)]
    points = measurements(runs)
    spread = [chart for name, lines in of_datasets if (chart := score_chart(name, lines, labels, points))]
    curves = [cost_curve_chart(curve) for curve in cost_curves(report.flat)]
    cost = [chart for name, lines in of_datasets if (chart := cost_chart(name, lines, labels))]
    sections = [
        PageSection(id="runs", title="Runs", blocks=overview(index, report)),
        PageSection(
            id="settings", title="Settings", lead=" ".join(report.captions), blocks=settings_table(report, n_lines)
        ),
        PageSection(
            id="spread",
            title="Spread over seeds",
            lead="A point is the test score of the distilled model with one seed; a bar is their mean.",
            blocks=spread,
        ),
        PageSection(
            id="cost",
            title="Cost and score",
            lead="The list price of the LLM calls and the test score of each setting.",
            blocks=[Columns(blocks=cost)] if cost else [],
        ),
        PageSection(
            id="curve",
            title="Score against dollars",
            lead="Programs alone, programs and an LLM on the most doubtful rows of train, and the LLM on all rows.",
            blocks=[Columns(blocks=curves)] if curves else [],
        ),
        PageSection(id="figure5", title="Number of programs", blocks=[*figure5_charts(runs)]),
        PageSection(id="notes", title="Notes", blocks=note_blocks(index, report)),
    ]
    return Page(
        title=report.title,
        subtitle=f"alchemist compare {outputs}",
        sections=[section for section in sections if section.blocks],
    )
