"""The sections of a run's page on how to repeat it, its scores, its cost, its data and its notes."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from alchemist_exp.report.blocks import (
    Block,
    BulletList,
    Cell,
    Code,
    Columns,
    FactList,
    Figure,
    PageSection,
    PageTable,
    Paragraph,
    TableColumn,
    Tile,
    Tiles,
    shorten,
)
from alchemist_exp.report.charts import Bar, bars
from alchemist_exp.report.measures import score_interval
from alchemist_exp.report.plots import Axis, PlotLine, plot
from alchemist_exp.results.layout import mean_text, number_text
from alchemist_exp.results.record import SCORES, RunRecord
from alchemist_exp.results.report import UNKNOWN, usd_text

SPLITS: Final = ("test", "valid", "train")
"""The splits, the one whose scores count most first."""

_NOTE_CHARS: Final = 2_000


def repeat_section(record: RunRecord) -> PageSection:
    """Return the command, versions and keys that repeat a run.

    Args:
        record: Its record.

    """
    command = shlex.join(["alchemist", "run", *record.overrides])
    commit = str(record.git.get("commit") or UNKNOWN)
    changed = " with uncommitted changes" if record.git.get("dirty") else ""
    facts = {
        "run key": record.run_key,
        "data fingerprint": record.data["fingerprint"],
        "code key": record.code,
        "git commit": commit + changed,
        **{name: version for name, version in record.packages.items() if version},
        "machine": ", ".join(f"{key} {value}" for key, value in record.host.items()),
    }
    shown = {shorten(name): shorten(value, 200) for name, value in facts.items()}
    return PageSection(
        id="repeat", title="Repeat this run", blocks=[Code(source=command, label="Command"), FactList(items=shown)]
    )


def own_score(record: RunRecord) -> tuple[str, str, int | None]:
    """Return the score by which a dataset is judged: its key, its name, and its positive class or None."""
    if record.multi_label:
        return "macro_f1", "macro F1", None
    positive = record.data.get("positive_class")
    index = record.data["classes"].index(positive) if positive is not None else None
    if (metric := record.config["dataset"]["metric"]) != "f1":
        return ("macro_f1", "macro F1", None) if metric == "macro_f1" else ("accuracy", "accuracy", index)
    return "f1", "weighted F1" if positive is None else f"F1 of {shorten(positive, 20)}", index


def scores_section(record: RunRecord) -> PageSection:
    """Return the scores of a run, and those on rows without repeats in earlier splits.

    Args:
        record: Its record.

    """
    key, name, _ = own_score(record)
    table = _score_table(record)
    if not table.rows:
        text = Paragraph(text="No scores: there are no gold labels.")
        return PageSection(id="scores", title="Scores", blocks=[_tiles(record), text])
    blocks: list[Block] = [_tiles(record), table]
    if unseen := _unseen_text(record, key, name):
        blocks.append(Paragraph(text=unseen))
    return PageSection(
        id="scores",
        title="Scores",
        lead="Intervals are over rows: 95 % of the scores when the rows of the split are drawn again with replacement. "
        "A deviation (±) is over seeds of the distilled model.",
        blocks=blocks,
    )


def _tiles(record: RunRecord) -> Tiles:
    key, name, _ = own_score(record)
    end_model, label_model = record.end_model, record.label_model
    scored = end_model["metrics"] or label_model["metrics"]
    split = next((split for split in SPLITS if scored.get(split)), None)
    tiles = []
    if split and end_model["metrics"].get(split):
        value = mean_text(end_model["metrics"][split][key], len(end_model["seeds"]))
        tiles.append(
            Tile(label=f"distilled model, {name} on {split}", value=value, detail=_range(record, "end", split))
        )
    if split and (of_split := label_model["metrics"].get(split)):
        what = f"{label_model['name']}, {name} on {split}"
        tiles.append(Tile(label=what, value=number_text(of_split[key]), detail=_range(record, "label", split)))
    counts = record.data["rows"]
    tiles.append(
        Tile(
            label="coverage of train",
            value=number_text(label_model["coverage"]["train"]),
            detail=f"of {counts['train']:,} rows, by {record.programs['selected']:,} programs",
        )
    )
    estimate = record.cost["break_even"]
    programs, zero_shot = estimate["programs_usd"], estimate["zero_shot_usd"]
    detail = f"zero-shot labeling: {usd_text(zero_shot)}"
    if programs and zero_shot:
        factor = zero_shot / programs
        detail += f", {factor:,.0f} times as much" if factor >= 2 else ""
    if estimate["rows_from"] is not None:
        detail += f"; programs cost less from {estimate['rows_from']:,} rows on"
    tiles.append(Tile(label=f"list price of {record.programs['source']}", value=usd_text(programs), detail=detail))
    return Tiles(tiles=tiles)


def _interval(record: RunRecord, model: str, split: str) -> tuple[float, float] | None:
    """Return the interval of the dataset's own score over rows; None for records without confusion matrices."""
    key, _, positive = own_score(record)
    section = record.end_model if model == "end" else record.label_model
    confusion = section.get("by_class", {}).get(split, {}).get("confusion")
    return score_interval(confusion, key, positive) if confusion else None


def _range(record: RunRecord, model: str, split: str) -> str:
    """Return the interval as a text; "" without one."""
    interval = _interval(record, model, split)
    of = "ensemble: " if model == "end" and len(record.end_model["seeds"]) > 1 else ""
    return f"{of}{interval[0]:.3f} to {interval[1]:.3f} over {record.data['rows'][split]:,} rows" if interval else ""


def _score_table(record: RunRecord) -> PageTable:
    label_model, end_model = record.label_model, record.end_model
    _, own, _ = own_score(record)
    n_seeds = len(end_model["seeds"])
    sections = [(end_model, "distilled " + end_model["name"]), (label_model, label_model["name"])]
    if n_seeds > 1 and (ensemble := end_model.get("ensemble")):  # records of earlier versions have none
        sections.insert(1, (ensemble, f"ensemble of {n_seeds} seeds"))
    rows = []
    for split in SPLITS:
        for section, name in sections:
            # The confusion matrices of the end model are those of the ensemble.
            of_seeds, of_votes = section is end_model and len(sections) > 2, section is label_model
            for of_rows, key in (("all", "metrics"), ("unseen", "metrics_unseen")):
                if not (scores := (section.get(key) or {}).get(split)):
                    continue
                texts = [
                    mean_text(scores[key], n_seeds) if section is end_model else number_text(scores[key])
                    for key in SCORES
                ]
                whole = of_rows == "all"
                interval = _interval(record, "label" if of_votes else "end", split) if whole and not of_seeds else None
                shown = UNKNOWN if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
                coverage = number_text(label_model["coverage"].get(split)) if whole and of_votes else UNKNOWN
                names = [name, split, of_rows]
                rows.append([Cell(text=text) for text in (*names, texts[0], shown, *texts[1:], coverage)])
    most_frequent = "most frequent set of classes" if record.multi_label else "most frequent class"
    for split, share in record.data["most_frequent_class"].items():
        rows.append([Cell(text=text) for text in (most_frequent, split, "all", number_text(share), *(UNKNOWN,) * 4)])
    accuracy, f1 = "accuracy", "F1" if record.data.get("positive_class") else "weighted F1"
    if record.multi_label:
        accuracy, f1 = "subset accuracy", "micro F1"
    return PageTable(
        columns=[
            TableColumn(name="labels by", numeric=False),
            TableColumn(name="split", numeric=False),
            TableColumn(name="rows", numeric=False, title="unseen: rows whose text is in no earlier split"),
            TableColumn(name=accuracy),
            TableColumn(name="95 % interval", title=f"of the {own}, over rows"),
            TableColumn(name=f1, title=str(record.data.get("positive_class") or "")),
            TableColumn(name="macro F1"),
            TableColumn(name="coverage"),
        ],
        rows=rows,
    )


def _unseen_text(record: RunRecord, key: str, name: str) -> str:
    """Return a sentence on the test score without rows that repeat a text of an earlier split; "" without such rows."""
    repeats = (record.data.get("repeats") or {}).get("in_earlier_split", {}).get("test")
    unseen = (record.end_model.get("metrics_unseen") or {}).get("test")
    if not repeats or not unseen:
        return ""
    with_all = record.end_model["metrics"]["test"][key]["mean"]
    return (
        f"{repeats['rows']:,} of {record.data['rows']['test']:,} rows of test repeat a text of train or valid "
        f"({repeats['unchanged']:,} of them without a change). The {name} on test is {with_all:.3f} with them and "
        f"{unseen[key]['mean']:.3f} without them."
    )


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


def notes_section(record: RunRecord) -> PageSection:
    """Return the notes and warnings of a run, and the gold labels that it used.

    Args:
        record: Its record.

    """
    notes = [shorten(note, _NOTE_CHARS) for note in (*record.label_model["warnings"], *record.notes)]
    ledger = []
    for use in record.data["gold_used"]:
        split, _, purpose = use.partition(": ")
        ledger.append([Cell(text=shorten(split)), Cell(text=shorten(purpose, 200))])
    seconds = [(name.replace("_", " "), value) for name, value in record.seconds.items() if name != "total"]
    longest = max((value for _, value in seconds), default=0.0)
    chart = [Bar(label=shorten(name, 24), value=value, text=f"{value:.1f} s") for name, value in seconds]
    caption = f"Seconds of each stage; {record.seconds['total']:.1f} in total."
    gold = [
        TableColumn(name="split", numeric=False),
        TableColumn(name="what its gold labels were used for", numeric=False),
    ]
    return PageSection(
        id="notes",
        title="Notes and gold labels",
        blocks=[
            BulletList(items=notes, title="Notes and warnings", warning=True)
            if notes
            else Paragraph(text="No warnings."),
            Columns(
                blocks=[
                    PageTable(columns=gold, rows=ledger, caption="Gold ledger"),
                    *(
                        [Figure(svg=bars(chart, maximum=longest, description=caption), caption=caption)]
                        if chart
                        else []
                    ),
                ]
            ),
            *_repeats(record),
        ],
    )


def _repeats(record: RunRecord) -> Sequence[PageTable]:
    """Return the counts of rows that repeat a text, by split."""
    found = record.data.get("repeats") or {}
    rows = []
    for split, within in (found.get("within") or {}).items():
        across = found["across"].get(split, {})
        earlier = ", ".join(f"{count:,} in {shorten(other)}" for other, count in across.items())
        total = record.data["rows"][split]
        cells = [split, f"{total:,}", f"{within:,}", earlier or UNKNOWN]
        rows.append([Cell(text=cell) for cell in cells])
    names = ("rows", "repeats in the split itself", "repeats of earlier splits")
    columns = [TableColumn(name="split", numeric=False), *(TableColumn(name=name) for name in names)]
    return [PageTable(columns=columns, rows=rows, caption="Repeated rows")] if rows else []
