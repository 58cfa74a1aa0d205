"""The sections of a run's page on how to repeat it and on its scores."""

import shlex
from typing import Final

from alchemist_exp.report.blocks import (
    Block,
    Cell,
    Code,
    FactList,
    PageSection,
    PageTable,
    Paragraph,
    TableColumn,
    Tile,
    Tiles,
    shorten,
)
from alchemist_exp.report.measures import score_interval
from alchemist_exp.results.layout import mean_text, number_text
from alchemist_exp.results.record import SCORES, RunRecord
from alchemist_exp.results.report import UNKNOWN, usd_text

SPLITS: Final = ("test", "valid", "train")
"""The splits, the one whose scores count most first."""


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
        no_scores = Paragraph(text="No scores: there are no gold labels.")
        return PageSection(id="scores", title="Scores", blocks=[_tiles(record), no_scores])
    blocks: list[Block] = [_tiles(record), table]
    repeats = (record.data.get("repeats") or {}).get("in_earlier_split", {}).get("test")
    unseen = (record.end_model.get("metrics_unseen") or {}).get("test")
    if repeats and unseen:
        with_all = record.end_model["metrics"]["test"][key]["mean"]
        text = (
            f"{repeats['rows']:,} of {record.data['rows']['test']:,} rows of test repeat a text of train or valid "
            f"({repeats['unchanged']:,} of them without a change). The {name} on test is {with_all:.3f} with them and "
            f"{unseen[key]['mean']:.3f} without them."
        )
        blocks.append(Paragraph(text=text))
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
