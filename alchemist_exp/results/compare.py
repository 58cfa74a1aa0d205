"""A table of the paper with our figures beside the paper's, and what is missing from it."""

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from alchemist_exp.results import paper
from alchemist_exp.results.details import SCORES, details, notes
from alchemist_exp.results.figures import figure_text
from alchemist_exp.results.filled import At, Filled, ours_with
from alchemist_exp.results.gaps import gaps
from alchemist_exp.results.report import NOTHING, Column, Grid, Report, Row
from alchemist_exp.results.tables import Axis, Quantity


def report(filled: Filled, outputs: Path, *, all_runs: int) -> Report:
    """The table, the abstract's claims where it has them, the details, and what is missing."""
    grids = [main_grid(filled)]
    if filled.name == "table1":
        grids.append(claims_grid(filled))
    if (more := details(filled.table, filled.places, filled.finished, filled.golds)).rows:
        grids.append(more)
    return Report(
        name=filled.name,
        title=filled.table.title,
        captions=_captions(filled, all_runs),
        grids=grids,
        notes=[*notes(filled.finished), *_left_out(filled, outputs)],
        gaps=list(gaps(filled, outputs)),
        filling=f"alchemist run +experiment={filled.name} {shlex.quote(f'paths.outputs={outputs}')}",
        flat=[dict(line) for line in _flat(filled)],
    )


def _captions(filled: Filled, all_runs: int) -> list[str]:
    gold = " and ".join(f"gold={gold}" for gold in filled.golds)
    label_model = any(measure.quantity is Quantity.LABEL_MODEL for measure in filled.table.measures.values())
    of_label_model = "; ours are over the rows that have a label" if label_model else ""
    used = len(filled.finished)
    return [
        f"Ours: {_over(filled)}{gold}; {used} of {all_runs} finished runs.",
        f"Paper: {paper.citation()}. Scores: F1 on sms, accuracy elsewhere{of_label_model}.",
    ]


def _over(filled: Filled) -> str:
    """What our means are over; nothing where the table has single figures."""
    kind, what = Quantity.DISTILLED, "seeds"
    if filled.name == "figure5":
        kind, what = Quantity.LABEL_MODEL, "draws of programs"
    counts = {found.n for at, found in filled.ours.items() if filled.table.measures[at[2]].quantity is kind}
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    if high == 1:
        return f"one of the {what}; "
    return (
        f"mean ± sd over {high} {what}; " if low == high else f"mean ± sd over {low} to {high} {what}, as said below; "
    )


def _left_out(filled: Filled, outputs: Path) -> Iterator[str]:
    """A word about runs that a mean could be lacking without showing it."""
    if filled.limited:
        yield f"{filled.limited} runs over a part of their dataset are left out; dataset.limit=N shows them"
    if count := len(filled.runs) - len(filled.finished):
        yield f"{count} of the runs that belong here have not finished: alchemist status {shlex.quote(str(outputs))}"


def main_grid(filled: Filled) -> Grid:
    """The figures in the rows and columns of the paper."""
    table = filled.table
    kept: dict[Axis, list[str]] = {Axis.ITEM: [], Axis.MEASURE: [], Axis.DATASET: []}
    for place in filled.places:
        for axis, value in zip(kept, (place.item, place.measure, place.dataset), strict=True):
            if value not in kept[axis]:
                kept[axis].append(value)
    sources = [source for source in paper.SOURCES if any(at[1] == source for at in filled.printed)]
    values = {**kept, Axis.SOURCE: [*sources, *map(ours_with, filled.golds)]}
    pairs = {(at[0], at[1]) for at in filled.printed}
    rows, columns = (list(_lines(axes, values, pairs)) for axes in (table.rows, table.columns))
    return Grid(
        title="",
        stubs=[_STUBS[axis] for axis in table.rows],
        columns=[_column(filled, column) for column in columns],
        rows=[
            Row(
                labels=[_label(filled, axis, row) for axis in table.rows],
                cells=[_cell(filled, {**row, **column}) for column in columns],
                ours=row.get(Axis.SOURCE, "").startswith("ours:"),
            )
            for row in rows
        ],
    )


_STUBS = {Axis.ITEM: "", Axis.SOURCE: "by", Axis.MEASURE: "", Axis.DATASET: "dataset"}


def _lines(
    axes: Sequence[Axis], values: Mapping[Axis, Sequence[str]], pairs: set[tuple[str, str]]
) -> Iterator[dict[Axis, str]]:
    """The rows or columns along `axes`, without sources that the paper does not have of an item."""
    for line in itertools.product(*(values[axis] for axis in axes)):
        at = dict(zip(axes, line, strict=True))
        item, source = at.get(Axis.ITEM), at.get(Axis.SOURCE)
        if item is None or source is None or source.startswith("ours:") or (item, source) in pairs:
            yield at


def _column(filled: Filled, at: Mapping[Axis, str]) -> Column:
    axes = [axis for axis in filled.table.columns if axis is not Axis.DATASET]
    labels = [filled.table.items[at[axis]].short if axis is Axis.ITEM else _label(filled, axis, at) for axis in axes]
    return Column(
        group=at.get(Axis.DATASET, ""),
        name=", ".join(filter(None, labels)),
        ours=at.get(Axis.SOURCE, "").startswith("ours:"),
    )


def _label(filled: Filled, axis: Axis, at: Mapping[Axis, str]) -> str:
    value = at[axis]
    match axis:
        case Axis.ITEM:
            return filled.table.items[value].label
        case Axis.SOURCE if value.startswith("ours:"):
            return "ours" if len(filled.golds) == 1 else f"ours, gold={value.removeprefix('ours:')}"
        case Axis.SOURCE:
            return paper.SOURCES[value]
        case Axis.MEASURE:
            score = SCORES[paper.score_of(at.get(Axis.DATASET, ""))]
            return filled.table.measures[value].label or score
        case Axis.DATASET:
            return value


def _cell(filled: Filled, at: Mapping[Axis, str]) -> str:
    (measure,) = [at[Axis.MEASURE]] if Axis.MEASURE in at else filled.table.measures
    place = at[Axis.ITEM], at[Axis.SOURCE], measure, at[Axis.DATASET]
    quantity = filled.table.measures[measure].quantity
    if (found := filled.ours.get(place)) is not None:
        return figure_text(found, 0 if quantity is Quantity.PROGRAMS else 4 if quantity is Quantity.DOLLARS else 3)
    if (number := filled.printed.get(place)) is not None:
        decimals = {Quantity.PROGRAMS: 0, Quantity.COVERAGE: 2, Quantity.DOLLARS: 3}
        return f"{number:,.{decimals.get(quantity, filled.table.decimals)}f}"
    return NOTHING


def claims_grid(filled: Filled) -> Grid:
    """The abstract's two claims from the paper's own table and from our figures."""
    gain, ratio = paper.claimed()
    rows = [Row(labels=["the abstract"], cells=[f"{gain:.1%}", NOTHING, f"{ratio:,.0f}x"])]
    by_source = {"the paper's table": "gpt-3.5"} | {
        f"ours, gold={gold}" if len(filled.golds) > 1 else "ours": ours_with(gold) for gold in filled.golds
    }
    values = {**filled.printed, **{at: found.mean for at, found in filled.ours.items()}}
    for label, source in by_source.items():
        found = paper.claims(_pairs(values, source, "distilled"), _pairs(values, source, "cost_usd"))
        of_improved = f" ({found.improved} of {found.scored} improve)"
        cells = [
            "needs zero-shot runs" if not found.scored else _share(found.gain) + of_improved,
            _share(found.gain_over_all),
            NOTHING if found.cost_ratio is None else f"{found.cost_ratio:,.0f}x (over {found.priced})",
        ]
        rows.append(Row(labels=[label], cells=cells, ours=source != "gpt-3.5"))
    columns = ["gain where programs improve", "gain over all", "summed costs, by datasets"]
    return Grid(
        title="The abstract's claims: relative gain over zero-shot labeling, zero-shot dollars to programs' dollars",
        stubs=[""],
        columns=[Column(name=name) for name in columns],
        rows=rows,
    )


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _pairs(values: Mapping[At, float], source: str, measure: str) -> dict[str, tuple[float, float]]:
    """Dataset -> (zero-shot labeling, programs), where both are known."""
    both = {
        dataset: (
            values.get(("zero_shot", source, measure, dataset)),
            values.get(("alchemist", source, measure, dataset)),
        )
        for dataset in paper.DATASETS
    }
    return {dataset: (a, b) for dataset, (a, b) in both.items() if a is not None and b is not None}


def _flat(filled: Filled) -> Iterator[dict[str, str]]:
    """Every figure once: the paper's, then ours, with an empty value where it is missing."""
    for (item, source, measure, dataset), number in filled.printed.items():
        yield _line(filled, item, measure, dataset) | {"source": f"paper {source}", "mean": repr(number)}
    for place, gold in itertools.product(filled.places, filled.golds):
        found = filled.ours.get((place.item, ours_with(gold), place.measure, place.dataset))
        figures = {} if found is None else {"mean": repr(found.mean), "n": str(found.n)}
        if found is not None and found.std is not None:
            figures["sd"] = repr(found.std)
        yield _line(filled, place.item, place.measure, place.dataset) | {"source": "ours", "gold": gold} | figures


def _line(filled: Filled, item: str, measure: str, dataset: str) -> dict[str, str]:
    quantity = filled.table.measures[measure].quantity
    scored = quantity in (Quantity.DISTILLED, Quantity.LABEL_MODEL)
    kind = SCORES[paper.score_of(dataset)] if scored else quantity.value
    empty = {"source": "", "gold": "", "mean": "", "sd": "", "n": ""}
    return {"table": filled.name, "dataset": dataset, "item": item, "measure": measure, "kind": kind} | empty
