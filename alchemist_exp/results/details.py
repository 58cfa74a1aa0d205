"""What lies behind the figures of a table: every score of each place, and what a reader should know of the runs."""

import itertools
from collections.abc import Iterator, Sequence

from alchemist_exp.results import paper
from alchemist_exp.results.figures import figure, figure_text
from alchemist_exp.results.report import NOTHING, Column, Grid, Row
from alchemist_exp.results.runs import Run
from alchemist_exp.results.tables import Place, Quantity, Table

SCORES = {"accuracy": "accuracy", "f1": "F1", "macro_f1": "macro F1"}


def details(table: Table, wanted: Sequence[Place], finished: Sequence[Run], golds: Sequence[str]) -> Grid:
    """A row for each set of runs that gives figures; scores are those on test."""
    rows = []
    told = set()
    for place, gold in itertools.product(wanted, golds):
        runs = [run for run in finished if run.is_of({**place.runs, "gold": gold})]
        if not runs or (repr(place.runs), gold) in told:
            continue
        told.add((repr(place.runs), gold))
        label_model = runs[0].member("label_model") if runs[0].member("method") != "zero_shot" else NOTHING
        distilled = [figure(Quantity.DISTILLED, runs, score) for score in SCORES]
        weighed = [figure(Quantity.LABEL_MODEL, runs, score) for score in SCORES]
        coverages = [run.figures.coverage for run in runs if run.figures]
        cells = [
            _range([run.figures.programs for run in runs if run.figures]),
            _range([round(coverage, 3) for coverage in coverages]),
            *(NOTHING if found is None else figure_text(found) for found in weighed),
            *(NOTHING if found is None else figure_text(found) for found in distilled),
            str(next((found.n for found in distilled if found), NOTHING)),
        ]
        rows.append(
            Row(labels=[place.dataset, table.items[place.item].label, label_model, gold], cells=cells, ours=True)
        )
    columns = [
        Column(name="programs"),
        Column(name="coverage"),
        *(Column(group="label model", name=label) for label in SCORES.values()),
        *(Column(group="distilled", name=label) for label in SCORES.values()),
        Column(name="seeds"),
    ]
    stubs = ["dataset", "runs", "label model", "gold"]
    return Grid(title="Behind our figures: scores on test, coverage on train", stubs=stubs, columns=columns, rows=rows)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def notes(finished: Sequence[Run]) -> Iterator[str]:
    """Who wrote the programs, by which program they were run, where the data is not the paper's, and warnings."""
    for model in sorted({str(run.values["llm.model"]) for run in finished if _replays(run)}):
        yield (
            f"Our programs are recordings of {model}: its ten answers to a prompt were written one after another and "
            "the model knows these public sets from its training. They are not the paper's programs."
        )
    for run in {run.member("dataset"): run for run in finished}.values():
        dataset, rows = run.member("dataset"), run.figures.train_rows if run.figures else 0
        if dataset in paper.DATASETS and rows != (theirs := paper.train_rows(dataset)):
            yield f"{dataset}: {rows:,} training rows here, {theirs:,} in the paper."
    for basis in sorted({run.figures.cost_basis for run in finished if run.figures}):
        yield f"Our costs are estimates, {basis}."
    for code in sorted({str(run.values["code"])[:12] for run in finished}):
        yield f"Our runs were made by version {code} of the program."
    warned: dict[str, list[str]] = {}
    for run in finished:
        for warning in run.figures.warnings if run.figures else ():
            warned.setdefault(warning, []).append(f"{run.member('dataset')}, {run.member('label_model')}")
    for warning, where in warned.items():
        yield f"{'; '.join(dict.fromkeys(where))}: {warning}"


def _replays(run: Run) -> bool:
    return run.member("llm") == "recorded" and run.member("method") == "alchemist"
