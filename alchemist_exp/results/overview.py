"""Any sweep as a table: a row for each finished run, a column for all in which they differ."""

from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.results.figures import differences, figure, figure_text
from alchemist_exp.results.report import NOTHING, Column, Grid, Report, Row
from alchemist_exp.results.runs import UNUSED, Run, State, as_text
from alchemist_exp.results.tables import Quantity

_GROUPS = ("dataset", "method", "supplement", "label_model", "feature_extractor", "gold")
_SCORES = ("label model, test", "distilled, test")


def overview(runs: Sequence[Run], outputs: Path) -> Report:
    """A row for each finished run, of which there has to be one; what is the same in all is said once."""
    finished = sorted((run for run in runs if run.state is State.DONE), key=_order)
    differing = {key for _, key in differences(finished)}
    versions = sorted(key for key in differing if key.partition(".")[0] in ("code", "packages", "data"))
    drawn = {key for run in finished for key in ("selection.n", "selection.seed") if key in run.values}
    lines = [_line(run, [*versions, *sorted(differing - {*versions} | drawn)]) for run in finished]
    same = {
        name: text
        for name, text in lines[0].items()
        if name != "dataset" and name not in _SCORES and all(line[name] == text for line in lines)
    }
    varied = [name for name in lines[0] if name not in same]
    stubs, columns = [name for name in varied if name in _GROUPS], [name for name in varied if name not in _GROUPS]
    rows = [Row(labels=[line[name] for name in stubs], cells=[line[name] for name in columns]) for line in lines]
    notes = [
        f"These runs differ in {', '.join(versions)}: they were not made by the same program from the same data, so "
        "their figures are not strictly comparable."
    ]
    return Report(
        name="compare",
        title=f"Finished runs in {outputs}: {len(finished)}",
        captions=[
            "Scores on test (the dataset's own: accuracy or F1), mean ± sd over seeds; coverage on train.",
            "All: " + ", ".join(f"{_spoken(name)} {text}" for name, text in same.items() if text != NOTHING) + ".",
        ],
        grids=[
            Grid(
                title="",
                stubs=[_spoken(name) for name in stubs],
                columns=[Column(name=name) for name in columns],
                rows=rows,
            )
        ],
        notes=notes if versions else [],
        gaps=[],
        filling=None,
        flat=[{"run": run.key} | line for run, line in zip(finished, lines, strict=True)],
    )


def _spoken(name: str) -> str:
    return name.replace("_", " ") if name in _GROUPS else name


def _order(run: Run) -> tuple[str, ...]:
    return (*(run.member(group) for group in _GROUPS), run.member("seed"), run.key)


def _line(run: Run, keys: Sequence[str]) -> dict[str, str]:
    figures = run.figures
    if figures is None:
        raise ValueError(f"the run {run.key} has not finished")
    score = "f1" if run.values.get("dataset.metric") == "f1" else "accuracy"
    weighed, distilled, price = (
        figure(quantity, [run], score) for quantity in (Quantity.LABEL_MODEL, Quantity.DISTILLED, Quantity.DOLLARS)
    )
    unused = UNUSED.get(run.member("method"), ())
    return {
        **{group: NOTHING if group in unused else run.member(group) for group in _GROUPS},
        "seed": run.member("seed"),
        "seeds": str(distilled.n) if distilled else NOTHING,
        "programs": str(figures.programs),
        "coverage": f"{figures.coverage:.3f}",
        "score": "F1" if score == "f1" else "accuracy",
        "label model, test": figure_text(weighed) if weighed else NOTHING,
        "distilled, test": figure_text(distilled) if distilled else NOTHING,
        "spent": _usd(figures.spent_usd),
        # What replayed replies would have cost is estimated.
        "list price": _usd(price.mean if figures.list_price_usd is None and price else figures.list_price_usd),
        **{key: as_text(run.values[key])[:40] if key in run.values else NOTHING for key in keys},
    }


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${round(value, 9):,.4f}"
