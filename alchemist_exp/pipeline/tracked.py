"""Sends the figures of a run to the tracker."""

from typing import Final

from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.methods.types import LabelSources
from alchemist_exp.programs.types import Program
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.round_tables import round_metrics
from alchemist_exp.tracking.base import Cell, Tracker

_PROGRAM_COLUMNS: Final = ("coverage", "polarity", "overlap", "conflict", "accuracy", "influence", "wrong")


def track(tracker: Tracker, record: RunRecord, model: FittedEndModel, sources: LabelSources) -> None:
    """Send learning curves, scores, the confusion matrix of test, cost, counts, notes and the programs to the tracker.

    Args:
        tracker: The open tracker.
        record: The record, with all sections filled.
        model: The distilled model, for its learning curves.
        sources: The programs with their source code.

    """
    of_rounds = round_metrics(record.rounds)
    n_epochs = max((len(curve.train_loss) for curve in model.curves), default=0)
    for epoch in range(max(n_epochs, len(of_rounds))):  # one step for both: W&B drops a step before the last one
        active = [curve for curve in model.curves if epoch < len(curve.train_loss)]
        losses = {f"train_loss/seed_{curve.seed}": curve.train_loss[epoch] for curve in active}
        scores = {f"valid_score/seed_{curve.seed}": curve.valid_score[epoch] for curve in active}
        tracker.log_metrics(epoch, losses | scores | (of_rounds[epoch] if epoch < len(of_rounds) else {}))
    metrics: list[tuple[str, str, str, float, float]] = []
    for split, split_scores in record.label_model["metrics"].items():
        if split_scores:
            names = ("accuracy", "f1", "macro_f1")
            defined = [name for name in names if split_scores[name] is not None]
            metrics += [("label model", split, name, split_scores[name], 0.0) for name in defined]
    for split, summaries in record.end_model["metrics"].items():
        metrics += [("end model", split, name, s["mean"], s["std"]) for name, s in summaries.items() if s is not None]
    single = {"ensemble": record.end_model["ensemble"]["metrics"] if len(record.end_model["seeds"]) > 1 else {}}
    single["combined"] = (record.end_model["combined"] or {}).get("metrics", {})
    for stage, by_split in single.items():
        for split, found in by_split.items():
            metrics += [
                (stage, split, n, found[n], 0.0) for n in ("accuracy", "f1", "macro_f1") if found[n] is not None
            ]
    notes, programs, cost = record.notes + record.label_model["warnings"], record.programs, record.cost
    tracker.log_summary(
        {f"{stage}/{split}/{name}".replace(" ", "_"): mean for stage, split, name, mean, _ in metrics}
        | {f"coverage/{split}": share for split, share in record.label_model["coverage"].items()}
        | {f"programs/{name}": programs[name] for name in ("candidates", "accepted", "selected")}
        | {f"programs/rejected/{stage}": count for stage, count in programs["rejected_by_stage"].items()}
        | {f"cost/{name}": cost[name] for name in ("calls", "spent_usd", "list_price_usd")}
        | {f"cost/{name}": cost["break_even"][name] for name in ("programs_usd", "zero_shot_usd")}
        | {"notes": len(notes)}
    )
    tracker.log_table("metrics", ["stage", "split", "score", "mean", "std"], metrics)
    tracker.log_table("notes", ["note"], [[note] for note in notes])
    columns = ["id", "origin", *_PROGRAM_COLUMNS, "errors"]
    rows: list[list[Cell]] = [
        [p["id"], p["origin"]]
        + [", ".join(value) if isinstance(value := p[name], list) else value for name in _PROGRAM_COLUMNS]
        + [str(p["errors"])]
        for p in programs["list"]
    ]
    rejected = [[r["id"], r["origin"], *[None] * len(_PROGRAM_COLUMNS), r["reason"]] for r in programs["rejected"]]
    tracker.log_table("programs", columns, rows + rejected)
    tried: list[tuple[Program | None, str]] = [(one, "votes") for one in sources.programs]
    tried += [(one, "not selected") for one in sources.unselected]
    tried += [(one.program, f"rejected: {one.stage}") for one in sources.rejected]
    written: list[list[Cell]] = [[p.id, p.origin, fate, p.source] for p, fate in tried if p is not None]
    tracker.log_table("program_sources", ["id", "origin", "fate", "source"], written)
    if "confusion" in (of_test := record.end_model["by_class"].get("test", {})):  # several classes per row have none
        classes = list(of_test["classes"])
        cells: list[list[Cell]] = [
            [gold, predicted, count]
            for gold, counts in zip(classes, of_test["confusion"], strict=True)
            for predicted, count in zip(classes, counts, strict=True)
        ]
        tracker.log_table("confusion_test", ["gold", "predicted", "rows"], cells)
