"""A table of the paper with our figures beside the paper's, and what is missing from it."""

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemist_exp.results import paper
from alchemist_exp.results.details import SCORES, details, notes
from alchemist_exp.results.figures import Figure, figure, figure_text, refuse_mixed
from alchemist_exp.results.report import NOTHING, Column, Gap, Grid, Report, Row
from alchemist_exp.results.runs import GROUPS, Run, State
from alchemist_exp.results.tables import TABLES, Axis, Place, Quantity, Table, places

At = tuple[str, str, str, str]
"""Item, source, measure, dataset."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A table with its figures. golds: which gold labels our runs could use, each a source. runs: all that count."""

    name: str
    table: Table
    places: Sequence[Place]
    golds: Sequence[str]
    runs: Sequence[Run]
    printed: Mapping[At, float]
    ours: Mapping[At, Figure]

    @property
    def finished(self) -> list[Run]:
        """Those that give figures."""
        return [run for run in self.runs if run.state is State.DONE]

    def runs_of(self, place: Place, gold: str) -> list[Run]:
        """All runs, finished or not, that were to give this place's figure."""
        return [run for run in self.runs if run.is_of({**place.runs, "gold": gold})]


def fill(name: str, runs: Sequence[Run], filters: Mapping[str, Sequence[str]]) -> Filled:
    """The table `name` with the figures of finished runs. ConfigError when they were not made alike."""
    table = TABLES[name]
    wanted = list(places(table, filters))
    selectors = list({repr(place.runs): place.runs for place in wanted}.values())
    counted = [run for run in runs if any(run.is_of(selector) for selector in selectors)]
    finished = [run for run in counted if run.state is State.DONE]
    refuse_mixed(finished, name)
    golds = sorted({run.member("gold") for run in finished}, key=lambda gold: (gold != "valid", gold)) or ["valid"]
    ours = {}
    for place, gold in itertools.product(wanted, golds):
        quantity = table.measures[place.measure].quantity
        giving = [run for run in finished if run.is_of({**place.runs, "gold": gold})]
        if not giving and quantity is Quantity.DOLLARS and place.item == "zero_shot":
            # What zero-shot labeling would cost is estimated in every run.
            giving = [run for run in finished if run.is_of({"dataset": place.dataset, "gold": gold})]
            known = [run.figures.zero_shot_usd for run in giving if run.figures and run.figures.zero_shot_usd]
            found = Figure(mean=max(known)) if known else None
        else:
            found = figure(quantity, giving, paper.score_of(place.dataset))
        if found is not None:
            ours[place.item, ours_with(gold), place.measure, place.dataset] = found
    there = {(place.item, place.measure, place.dataset) for place in wanted}
    printed = {at: number for at, number in paper.numbers(name).items() if (at[0], at[2], at[3]) in there}
    return Filled(name=name, table=table, places=wanted, golds=golds, runs=counted, printed=printed, ours=ours)


def ours_with(gold: str) -> str:
    """The name of our figures as a source."""
    return f"ours:{gold}"


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
        notes=list(notes(filled.finished)),
        gaps=[*_gaps(filled, outputs), *_not_swept(filled, outputs)],
        filling=f"alchemist run +experiment={filled.name} {shlex.quote(f'paths.outputs={outputs}')}",
        flat=[dict(line) for line in _flat(filled)],
    )


def _captions(filled: Filled, all_runs: int) -> list[str]:
    counts = sorted({found.n for found in filled.ours.values() if found.std is not None})
    what = "draws of programs" if filled.name == "figure5" else "seeds"
    if not counts:
        spread = ""
    elif len(counts) == 1:
        spread = f"mean ± sd over {counts[0]} {what}; "
    else:
        spread = f"mean ± sd over {counts[0]} to {counts[-1]} {what}, see the details; "
    gold = " and ".join(f"gold={gold}" for gold in filled.golds)
    used = len(filled.finished)
    return [
        f"Ours: {spread}{gold}; {used} of {all_runs} finished runs.",
        f"Paper: {paper.citation()}. Scores: F1 on sms, accuracy elsewhere.",
    ]


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


def _gaps(filled: Filled, outputs: Path) -> Iterator[Gap]:
    """A gap for each set of runs that is wanted and has not finished."""
    told = set()
    for place, gold in itertools.product(filled.places, filled.golds):
        runs = filled.runs_of(place, gold)
        if place.item in filled.table.optional or (repr(place.runs), gold) in told:
            continue
        told.add((repr(place.runs), gold))
        if any(run.state is State.DONE for run in runs):
            continue
        last = runs[-1] if runs else None
        why = "missing" if last is None else last.state.value + (f": {last.error}" if last.error else "")
        item = filled.table.items[place.item]
        also = f", gold={gold}" if len(filled.golds) > 1 else ""
        name = f"{place.dataset}, {item.label}{_of_measure(filled, place)}{also}"
        yield Gap(place=name, why=why, command=_command(filled, place.runs, gold, outputs))


def _not_swept(filled: Filled, outputs: Path) -> Iterator[Gap]:
    """One gap for all datasets of each item that the sweep leaves out, where none of it has been run."""
    for name in filled.table.optional:
        wanted = [place for place in filled.places if place.item == name]
        lacking = [
            place.dataset
            for place in wanted
            if not any(run.state is State.DONE for gold in filled.golds for run in filled.runs_of(place, gold))
        ]
        if lacking:
            datasets = list(dict.fromkeys(lacking))
            command = ["alchemist", "run", "-m", "method=zero_shot", "llm=openai", f"dataset={','.join(datasets)}"]
            yield Gap(
                place=f"{', '.join(datasets)}, {filled.table.items[name].label}",
                why="not part of the sweep, since it asks an LLM for every row (alchemist plan says what that costs)",
                command=shlex.join([*command, f"paths.outputs={outputs}"]),
            )


def _of_measure(filled: Filled, place: Place) -> str:
    """The label model, where the places of an item differ in it."""
    models = {measure.runs.get("label_model") for measure in filled.table.measures.values()}
    return f", {place.runs['label_model']}" if len(models) > 1 else ""


def _command(filled: Filled, members: Mapping[str, Any], gold: str, outputs: Path) -> str:
    """Runs what is missing, otherwise as the latest run of the same method was run."""
    done = filled.finished
    alike = [run for run in done if run.member("method") == members["method"]] or done
    kept = [] if not alike else [text for text in alike[-1].overrides if _is_kept(text, alike[-1], members)]
    experiments = [text for text in kept if text.startswith("+experiment=")]
    if not experiments or experiments[0].partition("=")[2] in TABLES:
        kept = [f"+experiment={filled.name}", *(text for text in kept if text not in experiments)]
    chosen = [f"{key}={value}" for key, value in members.items() if (key, value) != ("selection", "all")]
    if gold != "valid":
        chosen.append(f"gold={gold}")
    return shlex.join(["alchemist", "run", *kept, *chosen, f"paths.outputs={outputs}"])


def _is_kept(override: str, run: Run, members: Mapping[str, Any]) -> bool:
    key = override.partition("=")[0]
    group = key.lstrip("+~").partition(".")[0]
    if group in GROUPS:
        same = run.member(group) == members.get(group, run.member(group))
        return key == "dataset.limit" or ("." in key and same and key not in ("selection.n", "selection.seed"))
    return group not in ("gold", "seed", "paths", "force", "hydra")


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
