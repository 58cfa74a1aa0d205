"""What a person sees: bars while a run lasts, tables when it has ended.

Tables go to standard output, bars and notices to standard error, so that output can be piped.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
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
        columns = [SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn()]
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
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
        parts.append(Text(f"finished before, on {record.finished_at}; force=true runs it again", style="italic"))
    parts += [_scores(record), _programs(record.programs), _cost(record.cost), _seconds(record.seconds)]
    parts += [Text(f"! {note}", style="yellow") for note in record.notes + record.label_model["warnings"]]
    parts.append(Text(f"gold used: {', '.join(record.data['gold_used']) or 'none'}"))
    parts.append(Text(f"record, labels, programs, model: {folder}", overflow="fold"))
    return Padding(Group(*parts), (0, 0, 1, 1))


def show(record: RunRecord, folder: str, *, reused: bool) -> None:
    """Prints the tables; as wide as they need to be when nobody reads them on a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    console.print(render(record, folder, reused=reused))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold cyan", header_style="dim", box=None, pad_edge=False
    )
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _scores(record: RunRecord) -> Table:
    seeds = len(record.end_model["seeds"])
    positive = record.data["positive_class"]
    f1 = f"F1 of {positive}" if positive else "weighted F1"
    table = _table(
        f"\nScores (distilled: mean ± sd over {seeds} seed{'s' * (seeds > 1)})",
        "",
        "coverage",
        "accuracy",
        f1,
        "macro F1",
    )
    for split in record.data["rows"]:
        coverage = record.label_model["coverage"][split]
        scores = record.label_model["metrics"].get(split)
        cells = [_number(scores[name]) if scores else "-" for name in ("accuracy", "f1", "macro_f1")]
        table.add_row(f"{record.label_model['name']}, {split}", _number(coverage), *cells)
    for split, summary in record.end_model["metrics"].items():
        cells = [_spread(summary[name]) for name in ("accuracy", "f1", "macro_f1")]
        table.add_row(
            f"{record.end_model['name']} distilled, {split}", "", *cells, style="bold" if split == "test" else ""
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spread(summary: Mapping[str, Any]) -> str:
    return f"{summary['mean']:.3f} ± {summary['std']:.3f}"


def _programs(programs: Section) -> RenderableType:
    rejected = programs["rejected"]
    head = f"\nPrograms: {programs['requested']} {'in all' if not programs['sandbox'] else 'candidates'}, "
    head += f"{programs['accepted']} accepted, {len(rejected)} rejected"
    head += f" (sandbox: {programs['sandbox']})" if programs["sandbox"] else ""
    table = _table(head, "", "id", "coverage", "accuracy", "faults")
    for program in programs["list"][:SHOWN_PROGRAMS]:
        faults = ", ".join(f"{count} {kind}" for kind, count in program["faults"].items())
        table.add_row(
            program["origin"], program["id"], _number(program["coverage"]), _number(program["accuracy"]), faults or "-"
        )
    parts: list[RenderableType] = [table]
    if more := len(programs["list"]) - SHOWN_PROGRAMS:
        parts += [Text(f"and {more} more in the record", style="dim")] if more > 0 else []
    parts += [Text(f"rejected {r['origin']}: {r['reason']}", style="yellow") for r in rejected]
    return Group(*parts)


def _cost(cost: Section) -> Table:
    expected = cost["estimate"]
    table = _table("\nCost", "", "calls", "estimate", "spent")
    asked = cost["calls"] + cost["cached_calls"]
    table.add_row("programs", f"{asked:,}", _usd(expected["programs_usd"]), _usd(cost["spent_usd"]))
    table.add_row("zero-shot labeling", f"{expected['zero_shot_calls']:,}", _usd(expected["zero_shot_usd"]), "-")
    unknown = " Usage was not metered, so the list price is unknown." if cost["list_price_usd"] is None else ""
    table.caption = f"estimate: {expected['basis']}.{unknown}"
    table.caption_justify = "left"
    return table


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:,.4f}"


def _seconds(seconds: Section) -> Text:
    stages = [f"{name.replace('_', ' ')} {value:.1f}" for name, value in seconds.items() if name != "total"]
    return Text(f"\nseconds: {seconds['total']:.1f} in all ({', '.join(stages)})")
