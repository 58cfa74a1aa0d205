"""The sections of a run's page on classes, calibration, slices, groups and the training of the distilled model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.labeling.run_files import StoredRun, read_object
from alchemist_exp.report.blocks import (
    Block,
    Cell,
    Columns,
    Figure,
    PageSection,
    PageTable,
    Paragraph,
    TableColumn,
    shorten,
)
from alchemist_exp.report.measures import slices
from alchemist_exp.report.plots import Axis, PlotLine, axis_over, plot
from alchemist_exp.report.rows import LabeledRows
from alchemist_exp.report.score_sections import SPLITS
from alchemist_exp.results.layout import mean_text, number_text
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.report import UNKNOWN

MAX_CONFUSION: Final = 20
MAX_SEEDS: Final = 20
MAX_EPOCHS: Final = 2_000

_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "1 2")


def classes_section(record: RunRecord, rows: LabeledRows | None) -> PageSection:
    """Return precision, recall and coverage of each class, and the confusion matrices.

    Args:
        record: The record of a run.
        rows: Its rows; None if they are not known.

    """
    blocks: list[Block] = []
    models = [("distilled model", record.end_model), (record.label_model["name"], record.label_model)]
    for name, section in models:
        by_class = section.get("by_class") or {}
        split = next((split for split in SPLITS if split in by_class), None)
        if split is None:
            continue
        covered: dict[str, float] = {}  # the share of rows of each class that the label model labels
        if section is record.label_model and rows is not None:
            of_split = rows.of_split(split)
            parts = {name: of_split & (rows.gold == number) for number, name in enumerate(record.data["classes"])}
            covered = {title: float((rows.weak[of] != ABSTAIN).mean()) for title, of in parts.items() if of.any()}
        found, caption = by_class[split], f"{name}, {split}"
        tables: list[Block] = [_class_table(found["classes"], covered, caption)]
        if "confusion" in found:
            tables.append(_confusion(found["confusion"], record.data["classes"], caption))
        blocks.append(Columns(blocks=tables))
    lead = "Recall is the accuracy on the rows of a class. A confusion matrix counts rows by gold class and label."
    if record.multi_label:
        lead = "Each class is scored as a task of its own, because several may hold for a row."
    return PageSection(id="classes", title="Classes", lead=lead, blocks=blocks)


def _class_table(by_class: Mapping[str, Any], covered: Mapping[str, float], caption: str) -> PageTable:
    keys = ("precision", "recall", "f1")
    rows = [
        [
            Cell(text=shorten(name)),
            Cell(text=f"{scores['rows']:,}", sort=scores["rows"]),
            *([Cell(text=number_text(covered.get(name)))] if covered else []),
            *(Cell(text=number_text(scores[key]), sort=scores[key] or 0.0) for key in keys),
        ]
        for name, scores in by_class.items()
    ]
    names = ["rows", *(["coverage"] if covered else []), "precision", "recall", "F1"]
    columns = [TableColumn(name="class", numeric=False), *(TableColumn(name=name) for name in names)]
    return PageTable(columns=columns, rows=rows, caption=caption)


def _confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], caption: str) -> Block:
    if len(classes) > MAX_CONFUSION:
        return Paragraph(text=f"The confusion matrix of {len(classes)} classes is in record.json.")
    rows = [
        [
            Cell(text=shorten(name, 30)),
            *(Cell(text=f"{n:,}", sort=n, wrong=bool(n) and column != row) for column, n in enumerate(counts)),
        ]
        for row, (name, counts) in enumerate(zip(classes, confusion, strict=True))
    ]
    columns = [
        TableColumn(name="gold \\ label", numeric=False),
        *(TableColumn(name=shorten(name, 30)) for name in classes),
    ]
    return PageTable(columns=columns, rows=rows, caption=f"confusion, {caption}")


def calibration_section(record: RunRecord) -> PageSection:
    """Return how well the probabilities of soft labels and of the distilled model fit the share of right labels.

    Args:
        record: The record of a run; those of earlier versions have no calibration.

    """
    figures: list[Block] = []
    for section, name in (
        (record.label_model, f"soft labels of {record.label_model['name']}"),
        (record.end_model, "distilled model"),
    ):
        by_split = section.get("calibration") or {}
        split = next((split for split in SPLITS if by_split.get(split)), None)
        if split is not None:
            found = by_split[split]
            confidence, accuracy, n_rows = (
                [one[key] for one in found["bins"]] for key in ("confidence", "accuracy", "rows")
            )
            text = f"{name}, {split}: expected calibration error {found['ece']:.3f} over {sum(n_rows):,} rows."
            lines = [
                PlotLine(xs=[0.0, 1.0], ys=[0.0, 1.0], style="plain", dash="4 4"),
                PlotLine(xs=confidence, ys=accuracy, marks=range(len(n_rows))),
            ]
            x, y = (
                Axis(name="mean probability", low=0.0, high=1.0),
                Axis(name="share of right labels", low=0.0, high=1.02),
            )
            counts = ", ".join(f"{n:,}" for n in n_rows)
            description = f"{text} Rows of each point from the left: {counts}."
            figures.append(Figure(svg=plot(lines, x, y, description), caption=description))
    lead = (
        "On the diagonal, labels with a probability of 0.8 are right in 80 % of the rows. Below it, they are too sure."
    )
    return PageSection(
        id="calibration", title="Calibration", lead=lead, blocks=[Columns(blocks=figures)] if figures else []
    )


def slices_section(record: RunRecord, rows: LabeledRows | None) -> PageSection:
    """Return accuracies of parts of a split: by length, by columns of the input, by group.

    Args:
        record: The record of a run.
        rows: Its rows; None if they are not known.

    """
    blocks: list[Block] = []
    if rows is not None and (rows.gold != ABSTAIN).any():
        labeled = {*rows.split[rows.gold != ABSTAIN].tolist()}
        split = next((split for split in SPLITS if split in labeled), "train")
        for title, parts in slices(rows, rows.of_split(split) & (rows.gold != ABSTAIN)).items():
            cells = [
                [
                    Cell(text=shorten(one.name), sort=float(number) if title.startswith("length") else None),
                    Cell(text=f"{one.n_rows:,}", sort=one.n_rows),
                    Cell(text=number_text(one.coverage)),
                    Cell(text=number_text(one.label_model)),
                    Cell(text=number_text(one.distilled)),
                ]
                for number, one in enumerate(parts)
            ]
            blocks.append(_slice_table(shorten(title), cells, f"by {shorten(title)}, {split}"))
    blocks += _groups(record)
    blocks = [Columns(blocks=blocks[place : place + 2]) for place in range(0, len(blocks), 2)]
    return PageSection(id="slices", title="Slices", lead="Accuracy on parts of the rows.", blocks=blocks)


def _slice_table(name: str, cells: Sequence[Sequence[Cell]], caption: str) -> PageTable:
    names = ("rows", "coverage", "label model", "distilled")
    return PageTable(
        columns=[TableColumn(name=name, numeric=False), *(TableColumn(name=name) for name in names)],
        rows=cells,
        caption=caption,
    )


def _groups(record: RunRecord) -> list[Block]:
    """Return the accuracies of groups of a class and a value of the group attribute."""
    if not record.groups:
        return []
    tables: list[Block] = []
    for split in ("test", "valid"):
        of_votes = record.groups.get("label_model", {}).get(split) or {}
        of_end = record.groups.get("end_model", {}).get(split) or {}
        counted = of_end or of_votes
        if not counted:
            continue
        unknown = [None] * len(counted["names"])
        values = zip(
            counted["names"],
            counted["n"],
            of_votes.get("coverage") or unknown,
            of_votes.get("accuracy") or unknown,
            of_end.get("accuracy") or unknown,
            strict=True,
        )
        rows = [
            [Cell(text=shorten(name)), Cell(text=f"{n:,}", sort=n), *(Cell(text=number_text(one)) for one in shares)]
            for name, n, *shares in values
        ]
        worst = of_votes.get("worst_accuracy")
        last = mean_text(of_end.get("worst_accuracy"), len(record.end_model["seeds"])) if of_end else UNKNOWN
        rows.append([Cell(text=text) for text in ("worst group", UNKNOWN, UNKNOWN, number_text(worst), last)])
        caption = f"by group (class and {shorten(record.groups['attribute'])}), {split}"
        tables.append(_slice_table("group", rows, caption))
    return tables


def curves_section(run: StoredRun) -> PageSection:
    """Return the learning curves of all seeds of the distilled model.

    Args:
        run: A finished run.

    Raises:
        StoreError: The file of the curves is broken.

    """
    path = run.model / "end_model.json"
    curves = _curves(path) if path.is_file() else []
    if not curves:
        return PageSection(id="training", title="Training", blocks=[])
    figures: list[Block] = []
    # Without usable gold labels of valid, early stopping watches rows of train that are held out.
    watches_valid = any(use.startswith(f"{Split.VALID}: early stopping") for use in run.record.data["gold_used"])
    score = "score on valid" if watches_valid else "score on held-out rows of train (weak labels)"
    for key, name in (("train_loss", "training loss (nats)"), ("valid_score", score)):
        lines = [
            PlotLine(
                xs=[*range(1, len(curve[key]) + 1)],
                ys=curve[key],
                dash=_DASHES[number % len(_DASHES)],
                marks=[curve["best_epoch"]] if 0 <= curve["best_epoch"] < len(curve[key]) else [],
            )
            for number, curve in enumerate(curves)
            if curve[key]
        ]
        if not lines:
            continue
        x = axis_over("epoch", [value for line in lines for value in line.xs])
        x = Axis(name="epoch", low=0.0, high=max(2.0, x.high))
        seeds = ", ".join(str(curve["seed"]) for curve in curves)
        text = f"{name} by epoch, seed {seeds}; a dot marks the epoch whose weights are kept."
        y = axis_over(name, [value for line in lines for value in line.ys])
        figures.append(Figure(svg=plot(lines, x, y, text), caption=text))
    return PageSection(id="training", title="Training of the distilled model", blocks=[Columns(blocks=figures)])


def _curves(path: Path) -> list[dict[str, Any]]:
    """Return the checked curves in the file of an end model."""
    curves = read_object(path).get("curves")
    checked = []
    for curve in curves[:MAX_SEEDS] if isinstance(curves, list) else []:
        values = {key: [float(value) for value in curve[key][:MAX_EPOCHS]] for key in ("train_loss", "valid_score")}
        if all(np.isfinite(value) for of_key in values.values() for value in of_key):
            checked.append({"seed": int(curve["seed"]), "best_epoch": int(curve["best_epoch"]), **values})
    return checked
