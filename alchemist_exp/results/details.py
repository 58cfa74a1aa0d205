"""What lies behind the figures of a table: every score of each place, and what a reader should know of the runs."""

import itertools
from collections.abc import Iterator, Sequence

from alchemist_exp.results import paper
from alchemist_exp.results.figures import figure, figure_text
from alchemist_exp.results.report import NOTHING, Column, Grid, Row
from alchemist_exp.results.runs import UNUSED, Run
from alchemist_exp.results.tables import Place, Quantity, Table

SCORES = {"accuracy": "accuracy", "f1": "F1", "macro_f1": "macro F1"}


def details(table: Table, wanted: Sequence[Place], finished: Sequence[Run], golds: Sequence[str]) -> Grid:
    """A row for each set of runs that gives figures; the distilled model's scores only where the table has them."""
    kinds = [Quantity.LABEL_MODEL, Quantity.DISTILLED]
    if all(measure.quantity is not Quantity.DISTILLED for measure in table.measures.values()):
        kinds.pop()
    rows = {}
    for place, gold in itertools.product(wanted, golds):
        runs = [run for run in finished if run.is_of({**place.runs, "gold": gold})]
        if runs:
            labels = [place.dataset, table.items[place.item].label, _label_model(runs[0]), gold]
            rows[tuple(labels)] = Row(labels=labels, cells=_cells(runs, kinds), ours=True)
    over = "seeds" if Quantity.DISTILLED in kinds else "draws"
    columns = [Column(name=name) for name in (over, "programs", "coverage")]
    columns += [Column(group=kind.value, name=label) for kind in kinds for label in SCORES.values()]
    title = "Behind our figures: every score, the label model's over covered rows; coverage on train"
    return Grid(title=title, stubs=["dataset", "", "label model", "gold"], columns=columns, rows=list(rows.values()))


def _cells(runs: Sequence[Run], kinds: Sequence[Quantity]) -> list[str]:
    measured = [run.figures for run in runs if run.figures]
    found = {(kind, score): figure(kind, runs, score) for kind in kinds for score in SCORES}
    counts = [over.n for (kind, _), over in found.items() if over and kind is kinds[-1]]
    return [
        str(max(counts, default=NOTHING)),
        _range([str(figures.programs) for figures in measured]),
        _range([f"{figures.coverage:.3f}" for figures in measured]),
        *(figure_text(over) if over else NOTHING for over in found.values()),
    ]


def _label_model(run: Run) -> str:
    return NOTHING if "label_model" in UNUSED.get(run.member("method"), ()) else run.member("label_model")


def _range(values: Sequence[str]) -> str:
    low, high = min(values, key=float), max(values, key=float)
    return low if low == high else f"{low} to {high}"


def notes(finished: Sequence[Run]) -> Iterator[str]:
    """Who wrote the programs, by which program they were run, where the data is not the paper's, and warnings."""
    for model in sorted({str(run.values.get("llm.model")) for run in finished if _replays(run)}):
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
