"""The tables a person sees when a run has ended, on standard output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.results.record import RunRecord, Section

SHOWN_PROGRAMS = 12
"""Rows of the programs' table; the record has them all."""


def render(record: RunRecord, folder: str, *, reused: bool) -> RenderableType:
    """The tables of a finished record."""
    dataset, method, end_model = (record.config[group]["name"] for group in ("dataset", "method", "end_model"))
    chosen = dict.fromkeys((dataset, method, record.label_model["name"], end_model))  # zero-shot labels by itself
    parts: list[RenderableType] = [Text("\n" + "  ·  ".join(map(sanitize, chosen)), style="bold")]
    if reused:
        parts.append(
            Text(
                f"finished before, on {record.finished_at}: nothing was run or logged anew; force=true does",
                style="italic",
            )
        )
    parts += [
        *_scores(record),
        *_programs(record.programs),
        *_cost(record.cost, record.config["method"]["name"]),
        _seconds(record.seconds),
    ]
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
    if programs["row_outcomes"]:
        asked = f"{programs['list'][0]['origin']} was asked for each row: {_answers(programs['row_outcomes'])}"
        return [_heading("Answers", asked)]
    if programs["sandbox"]:
        what = f"{programs['candidates']} written, {programs['accepted']} kept{_lost(programs['rejected_by_stage'])}"
        if programs["selected"] < programs["accepted"]:
            what += f", {programs['selected']} chosen"
        what += f"; sandbox: {programs['sandbox']}"
    else:
        what = f"{programs['accepted']} human-crafted functions, whose votes came with the dataset"
    table = _table("", "id", "coverage", "accuracy", "errors")
    for program in listed[:SHOWN_PROGRAMS]:
        faults = ", ".join(
            [f"{count} {kind}" for kind, count in program["errors"].items()]
            + ["nondeterministic"] * bool(program.get("nondeterministic"))
        )
        numbers = _number(program["coverage"]), _number(program["accuracy"])
        table.add_row(program["origin"], program["id"], *numbers, faults or "-")
    parts: list[RenderableType] = [_heading("Programs", what), table]
    if len(listed) > SHOWN_PROGRAMS:
        parts.append(Text(f"and {len(listed) - SHOWN_PROGRAMS} more in the record", style="dim"))
    parts += [Text(f"rejected {r['origin']}: {r['reason']}", style="yellow") for r in rejected[:SHOWN_PROGRAMS]]
    if len(rejected) > SHOWN_PROGRAMS:
        parts.append(Text(f"and {len(rejected) - SHOWN_PROGRAMS} more rejected", style="yellow"))
    return parts


def _lost(by_stage: Mapping[str, int]) -> str:
    """Where in the funnel programs were lost."""
    counts = ", ".join(f"{count} {stage}" for stage, count in by_stage.items())
    return f", {sum(by_stage.values())} rejected ({counts})" if counts else ""


def _cost(cost: Section, method: str) -> list[RenderableType]:
    """Dollars of programs and of zero-shot labeling by the same price, and what was spent on the one that was run."""
    against = cost["break_even"]
    by_rows = method == "zero_shot"
    table = _table("", "LLM calls", "list price", "spent")
    replayed = " (replayed)" if cost["replayed"] and cost["calls"] else ""
    spent = _usd(cost["spent_usd"])
    programs = f"{against['programs_calls']:,}", _usd(against["programs_usd"]), "-" if by_rows else spent
    table.add_row(f"programs{replayed}", *programs)
    rows = f"{against['zero_shot_calls']:,}"
    table.add_row("zero-shot labeling", rows, _usd(against["zero_shot_usd"]), spent if by_rows else "-")
    if against["zero_shot_batch_usd"] is not None:
        table.add_row("zero-shot labeling, batch API", rows, _usd(against["zero_shot_batch_usd"]), "-")
    parts: list[RenderableType] = [_heading("Cost", _basis(against)), table]
    if against["rows_from"] is not None:
        batch = against["rows_from_batch"]
        by_batch = "" if batch is None else f" ({batch:,} by the batch API)"
        parts.append(
            Text(f"programs cost less than zero-shot labeling from {against['rows_from']:,} rows on{by_batch}")
        )
    if (tokens := _tokens(cost)) is not None:
        parts.append(tokens)
    return parts


def _basis(against: Section) -> str:
    price = against["price_as_of"]
    return f"{against['basis']}; {'prices: ' + price if price else 'the price of this model is not known'}"


def _tokens(cost: Section) -> Text | None:
    """What was metered, and what was paid for in vain."""
    said = []
    if cost["input_tokens"] is not None and cost["input_tokens"]:
        counted = f"estimated {cost['estimated_input_tokens']:,}, {cost['cached_tokens']:,} from the vendor's cache"
        said.append(f"{cost['input_tokens']:,} tokens in ({counted})")
        said.append(f"{cost['output_tokens']:,} out ({cost['reasoning_tokens']:,} of reasoning)")
    if cost["cached_calls"]:
        said.append(f"{cost['cached_calls']:,} of the replies were in the cache")
    said += [f"{count:,} {reason}" for reason, count in cost["incomplete"].items()]
    return Text(", ".join(said)) if said else None


def _answers(answers: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in answers.items())


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of one job."""

    model: str
    plan: Any


def show_plans(jobs: Sequence[Planned]) -> None:
    """Prints a table of what each job would ask and cost, and their sum."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    # Hydra has listed the jobs with their overrides, by the same numbers.
    sweep = ["#"] if len(jobs) > 1 else []
    table = _table(
        *sweep, "calls", "cached", "tokens in", "out", "cost", "if long", "zero-shot", "by batch", "pays from"
    )
    for number, job in enumerate(jobs):
        plan, against = job.plan, job.plan.break_even
        tokens = f"{plan.usage.input_tokens:,}", f"{plan.usage.output_tokens:,}"
        rows_from = "-" if against.rows_from is None else f"{against.rows_from:,} rows"
        zero_shot = _usd(against.zero_shot_usd), _dash(against.zero_shot_batch_usd)
        up_to = f" to {plan.max_calls:,}" if plan.max_calls > plan.calls else ""
        counts = f"{plan.calls:,}{up_to}", f"{plan.cached_calls:,}"
        cells = (*counts, *tokens, _usd(plan.usd), _usd(plan.max_usd), *zero_shot, rows_from)
        table.add_row(*([f"#{number}"] if sweep else []), *cells)
    if sweep:
        calls, cached = sum(job.plan.calls for job in jobs), sum(job.plan.cached_calls for job in jobs)
        usd, most = (_total([getattr(job.plan, name) for job in jobs]) for name in ("usd", "max_usd"))
        table.add_row("all", f"{calls:,}", f"{cached:,}", "", "", _usd(usd), _usd(most), "", "", "", style="bold")
    console.print(Group(_heading("Plan", "nothing was asked"), table))
    for line in dict.fromkeys(
        f"{job.model}: {job.plan.break_even.basis}; prices: {job.plan.break_even.price_as_of or 'not known'}"
        for job in jobs
    ):
        console.print(Text(line, style="dim"))
    console.print(
        Text(
            "cost: replies of the usual length, without reasoning; if long: as long as they may be, all repairs used",
            style="dim",
        )
    )
    for warning in dict.fromkeys(warning for job in jobs for warning in job.plan.warnings):
        console.print(Text(f"! {warning}", style="yellow"))
    console.print()


def _total(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _dash(value: float | None) -> str:
    return "-" if value is None else _usd(value)


def _usd(value: float | None) -> str:
    # Rounded first, since sums of the same dollars in another order differ in their last bits.
    return "unknown" if value is None else f"${round(value, 9):,.4f}"


def _seconds(seconds: Section) -> Text:
    stages = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in seconds.items() if name != "total")
    return Text(f"\nseconds    {seconds['total']:.1f}: {stages}")
