"""The table of a run's scores, and the lines below it."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from alchemist_exp.core.convergence import Convergence
from alchemist_exp.results.layout import counts_text, heading, mean_text, new_table, number_text
from alchemist_exp.results.record import SCORES, RunRecord, Section

_UNSEEN = "unseen"


def score_table(record: RunRecord) -> list[RenderableType]:
    """Return the scores of a run by split, with what explains them.

    Args:
        record: The record of a finished run.

    """
    label_model, end_model, positive = record.label_model, record.end_model, record.data["positive_class"]
    n_seeds = len(end_model["seeds"])
    accuracy, f1 = ("subset accuracy", "micro F1") if record.multi_label else ("accuracy", "weighted F1")
    table = new_table("", "coverage", accuracy, f"F1 of {positive}" if positive else f1, "macro F1")
    for split in record.data["rows"]:
        scores = label_model["metrics"].get(split) or dict.fromkeys(SCORES)
        coverage = number_text(label_model["coverage"].get(split))
        table.add_row(f"{label_model['name']}, {split}", coverage, *(number_text(scores[name]) for name in SCORES))
        if scores := _unseen(label_model).get(split):
            cells = [number_text(scores[name]) for name in SCORES]
            table.add_row(f"{label_model['name']}, {split}, {_UNSEEN}", "", *cells)
    for split, summary in end_model["metrics"].items():
        for rows, scores in (("", summary), (f", {_UNSEEN}", _unseen(end_model).get(split))):
            if scores:
                cells = [mean_text(scores[name], n_seeds) for name in SCORES]
                style = "bold" if split == "test" else ""
                table.add_row(f"distilled {end_model['name']}, {split}{rows}", "", *cells, style=style)
    ensemble, combined = end_model.get("ensemble") or {}, end_model.get("combined") or {}
    kinds = {f"ensemble of {n_seeds} seeds": ensemble} if n_seeds > 1 else {}
    kinds |= {f"combined, {label_model['name']} by {combined['weight']:g}": combined} if combined else {}
    for kind, section in kinds.items():
        for split, all_rows in section.get("metrics", {}).items():
            for rows, scores in (("", all_rows), (f", {_UNSEEN}", _unseen(section).get(split))):
                if scores:
                    table.add_row(f"{kind}, {split}{rows}", "", *(number_text(scores[name]) for name in SCORES))
    for split, share in record.data["most_frequent_class"].items():
        what = "most frequent set of classes" if record.multi_label else "most frequent class"
        table.add_row(f"{what}, {split}", "", number_text(share), style="dim")
    over = f"mean ± sd over {n_seeds} seeds" if n_seeds > 1 else "one seed"
    what = f"{label_model['name']}: rows with a label" + (f"; {end_model['name']}: {over}" if n_seeds else "")
    labels = f"labels by {label_model['name']} on train: {counts_text(label_model['labels'])}"
    if convergence := label_model.get("convergence"):  # records of earlier versions have none
        labels += f"; the fit has {Convergence(**convergence)}"
    has_unseen = any(_unseen(section) for section in (label_model, end_model))
    explained = [Text(f"{_UNSEEN}: rows whose text is in no earlier split", style="dim")] if has_unseen else []
    return [heading("Scores", what), table, *explained, Text(labels), *_calibration(record)]


def _calibration(record: RunRecord) -> list[RenderableType]:
    """Return the calibration errors on one split: test, or else valid or train; nothing without gold labels."""
    errors: dict[str, str] = {}
    for split in ("test", "valid", "train"):
        for section in (record.label_model, record.end_model):
            if found := section.get("calibration", {}).get(split):
                errors[section["name"]] = number_text(found["ece"])
        if errors:
            temperature = record.end_model.get("temperature")
            scaled = "" if temperature is None else f" (temperature {temperature:.2f})"
            listed = ", ".join(f"{name} {error}" for name, error in errors.items())
            return [Text(f"expected calibration error on {split}: {listed}{scaled}")]
    return []


def _unseen(section: Section) -> Mapping[str, Any]:
    """Return the scores on rows of test whose text is in no earlier split; those of valid are in the record only."""
    return {split: scores for split, scores in (section.get("metrics_unseen") or {}).items() if split == "test"}
