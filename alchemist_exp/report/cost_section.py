"""The section of a run's page on its cost."""

from collections.abc import Mapping
from typing import Any

from alchemist_exp.report.blocks import (
    Cell,
    Columns,
    Figure,
    PageSection,
    PageTable,
    TableColumn,
)
from alchemist_exp.report.plots import Axis, PlotLine, plot
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.report import usd_text


def cost_section(record: RunRecord) -> PageSection:
    """Return what programs and zero-shot labeling cost at the same price.

    Args:
        record: Its record.

    """
    cost, estimate = record.cost, record.cost["break_even"]
    entries = [
        (record.programs["source"], estimate["programs_calls"], estimate["programs_usd"]),
        ("zero-shot labeling", estimate["zero_shot_calls"], estimate["zero_shot_usd"]),
        ("zero-shot labeling, batch API", estimate["zero_shot_calls"], estimate["zero_shot_batch_usd"]),
    ]
    table = PageTable(
        columns=[
            TableColumn(name="labels by", numeric=False),
            TableColumn(name="LLM calls"),
            TableColumn(name="list price"),
        ],
        rows=[
            [Cell(text=name), Cell(text=f"{calls:,}", sort=calls), Cell(text=usd_text(usd), sort=usd or 0.0)]
            for name, calls, usd in entries
            if calls is not None and usd is not None
        ],
    )
    prices = (
        f"Prices: {estimate['price_as_of']}." if estimate["price_as_of"] else "The price of the model is not known."
    )
    spent = f"This run has spent {usd_text(cost['spent_usd'])}"
    spent += " (the responses are recorded)." if cost["replayed"] and cost["calls"] else "."
    chart = _cost_chart(estimate)
    return PageSection(
        id="cost",
        title="Cost",
        lead=f"Estimated from {estimate['basis']}. {prices} {spent}",
        blocks=[Columns(blocks=[table, *([chart] if chart else [])])],
    )


def _cost_chart(estimate: Mapping[str, Any]) -> Figure | None:
    programs, zero_shot, n_rows = (estimate[key] for key in ("programs_usd", "zero_shot_usd", "zero_shot_calls"))
    if not programs or not zero_shot or not n_rows:
        return None
    per_row = zero_shot / n_rows
    crossing = programs / per_row
    first, last = min(1.0, crossing / 10), max(10.0 * n_rows, 10.0 * crossing)
    lines = [
        PlotLine(
            xs=[first, last],
            ys=[per_row * first, per_row * last],
            label="zero-shot labeling",
            style="plain",
            dash="5 4",
        ),
        PlotLine(xs=[first, last], ys=[programs, programs], label="programs"),
        PlotLine(xs=[crossing], ys=[programs], style="ours", marks=[0]),
    ]
    x = Axis(name="rows", low=first, high=last, logarithmic=True)
    y = Axis(name="US dollars", low=min(programs, per_row * first) / 2, high=per_row * last * 2, logarithmic=True)
    text = f"Cost by number of rows. Both methods cost the same at about {crossing:,.0f} rows."
    return Figure(svg=plot(lines, x, y, text, y_text=lambda usd: f"${usd:,.4g}"), caption=text)
