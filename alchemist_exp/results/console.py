"""What a person sees: bars while a run lasts, tables when it has ended.

Tables go to standard output, bars and notices to standard error, so that output can be piped.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from alchemist_exp.results.record import RunRecord, Section

SHOWN_PROGRAMS = 12
"""Rows of the programs' table; the record has them all."""


class RichProgress:
    """A bar on standard error, gone when its stage is over; on a file or a pipe, nothing."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def start(self, what: str, total: int | None) -> None:
        """Shows a bar, or a spinner when `total` is None."""
        counted = [BarColumn(), MofNCompleteColumn()] if total else []
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), *counted, TimeElapsedColumn()]
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bar.add_task(what, total=total)
        self._bar.start()

    def advance(self, steps: int) -> None:
        """Moves the bar on."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def render(record: RunRecord, folder: str, *, reused: bool) -> RenderableType:
    """The tables of a finished record."""
    chosen = [record.config[group]["name"] for group in ("dataset", "method", "label_model", "end_model")]
    parts: list[RenderableType] = [Text("\n" + "  ·  ".join(chosen), style="bold")]
    if reused:
        parts.append(
            Text(
                f"finished before, on {record.finished_at}: nothing was run or logged anew; force=true does",
                style="italic",
            )
        )
    parts += [*_scores(record), *_programs(record.programs), *_cost(record.cost), _seconds(record.seconds)]
    parts += [Text(f"! {note}", style="yellow") for note in record.notes + record.label_model["warnings"]]
    parts.append(Text(f"gold used  {', '.join(record.data['gold_used']) or 'none'}"))
    parts.append(Text(f"record, labels, programs, model  {folder}\n", overflow="fold"))
    return Group(*parts)


def show(record: RunRecord, folder: str, *, reused: bool) -> None:
    """Prints the tables; lines are not broken when nobody reads them on a terminal."""
    # What is shown may come from files and programs of others: it is text, never markup.
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(render(record, folder, reused=reused))


def _heading(title: str, detail: str = "") -> Text:
    return Text.assemble("\n", (title, "bold cyan"), (f"  {detail}" if detail else "", "dim"))


def _table(*columns: str) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _scores(record: RunRecord) -> list[RenderableType]:
    seeds = len(record.end_model["seeds"])
    positive = record.data["positive_class"]
    f1 = f"F1 of {positive}" if positive else "weighted F1"
    table = _table("", "coverage", "accuracy", f1, "macro F1")
    label_model, end_model = record.label_model, record.end_model
    for split in record.data["rows"]:
        scores = label_model["metrics"].get(split)
        cells = [_number(scores[name] if scores else None) for name in _SCORES]
        table.add_row(f"{label_model['name']}, {split}", _number(label_model["coverage"].get(split)), *cells)
    for split, summary in end_model["metrics"].items():
        cells = [_spread(summary[name]) for name in _SCORES]
        table.add_row(f"distilled {end_model['name']}, {split}", "", *cells, style="bold" if split == "test" else "")
    for split, share in record.data["most_frequent_class"].items():
        table.add_row(f"most frequent class, {split}", "", _number(share), style="dim")
    over = f"mean ± sd over {seeds} seeds" if seeds > 1 else "one seed"
    what = f"{label_model['name']}: covered rows; {end_model['name']}: {over}"
    counts = ", ".join(f"{count:,} {name}" for name, count in label_model["labels"].items())
    return [_heading("Scores", what), table, Text(f"labels by {label_model['name']} on train: {counts}")]


_SCORES = ("accuracy", "f1", "macro_f1")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spread(summary: Mapping[str, Any]) -> str:
    spread = f" ± {summary['std']:.3f}" if len(summary["per_seed"]) > 1 else ""
    return f"{summary['mean']:.3f}{spread}"


def _programs(programs: Section) -> list[RenderableType]:
    rejected, listed = programs["rejected"], programs["list"]
    if programs["sandbox"]:
        what = f"{programs['requested']} candidates, {programs['accepted']} accepted, {len(rejected)} rejected"
        what += f"; sandbox: {programs['sandbox']}"
    else:
        what = f"{programs['accepted']} human-crafted functions, whose votes came with the dataset"
    table = _table("", "id", "coverage", "accuracy", "faults")
    for program in listed[:SHOWN_PROGRAMS]:
        faults = ", ".join(
            [f"{count} {kind}" for kind, count in program["faults"].items()]
            + ["nondeterministic"] * bool(program.get("nondeterministic"))
        )
        numbers = _number(program["coverage"]), _number(program["accuracy"])
        table.add_row(program["origin"], program["id"], *numbers, faults or "-")
    parts: list[RenderableType] = [_heading("Programs", what), table]
    if len(listed) > SHOWN_PROGRAMS:
        parts.append(Text(f"and {len(listed) - SHOWN_PROGRAMS} more in the record", style="dim"))
    parts += [Text(f"rejected {r['origin']}: {r['reason']}", style="yellow") for r in rejected]
    return parts


def _cost(cost: Section) -> list[RenderableType]:
    expected = cost["estimate"]
    table = _table("", "LLM calls", "estimate", "spent")
    calls = cost["calls"] + cost["cached_calls"]
    replayed = " (replayed)" if cost["replayed"] and calls else ""
    table.add_row(f"programs{replayed}", f"{calls:,}", _usd(expected["programs_usd"]), _usd(cost["spent_usd"]))
    table.add_row("zero-shot labeling", f"{expected['zero_shot_calls']:,}", _usd(expected["zero_shot_usd"]), "-")
    unmetered = "; usage was not metered, so the list price is unknown" if cost["list_price_usd"] is None else ""
    return [_heading("Cost", f"estimate: {expected['basis']}{unmetered}"), table]


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:,.4f}"


def _seconds(seconds: Section) -> Text:
    stages = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in seconds.items() if name != "total")
    return Text(f"\nseconds    {seconds['total']:.1f}: {stages}")
