"""Makes the section of the record on the data, and the notes on rows without text and on repeated texts."""

from pathlib import Path

import numpy as np

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import Dataset
from alchemist_exp.data.text_data import TextData
from alchemist_exp.evaluation.label_sets import most_frequent_share
from alchemist_exp.results.record import Section


def data_section(dataset: Dataset, data: TextData) -> Section:
    """Return the record's section on the data; which gold labels were used is added at the end of the run.

    Args:
        dataset: The dataset's configuration.
        data: The loaded dataset.

    Returns:
        Name, fingerprint, origin, kind of the rows, columns of records, rows, how many of train are fitted on, rows
        without text, repeats, classes, licence, and the accuracy of always predicting the most frequent class or set of
        classes.
    """
    labeled = data.rows_with_text
    golds = {split: labeled.gold(split) for split in (Split.VALID, Split.TEST)}
    without_text = {split.value: int(np.count_nonzero(~data.has_text(split))) for split in data.splits}
    repeats = labeled.repeats
    # A row counts once, in however many splits it is.
    earlier = {
        split: {"rows": int(np.count_nonzero(~unseen)), "unchanged": repeats.unchanged[split]}
        for split, unseen in repeats.unseen.items()
        if split is not Split.TRAIN
    }
    return {
        "name": dataset.name,
        "fingerprint": data.fingerprint,
        "origin": data.origin,
        "kind": data.kind.name,
        "columns": [
            {"name": column.name, "type": column.type, "missing": column.missing} for column in data.kind.columns
        ],
        "rows": {split: len(data.texts(split)) for split in data.splits},
        "fit_rows": len(labeled.texts(Split.TRAIN)) if labeled.fit_sample is None else len(labeled.fit_sample),
        "reviewed_rows": 0 if labeled.reviewed is None else len(labeled.reviewed.rows),
        "rows_without_text": {split: count for split, count in without_text.items() if count},
        "repeats": to_jsonable({"within": repeats.within, "across": repeats.across, "in_earlier_split": earlier}),
        "classes": list(dataset.classes),
        "multi_label": dataset.is_multi_label,
        "metric": dataset.score_metric.value,
        "positive_class": dataset.positive_class,
        "license": dataset.license,
        "most_frequent_class": {
            split.value: most_frequent_share(gold) for split, gold in golds.items() if gold is not None
        },
        "gold_used": [],
    }


def missing_text_notes(data: TextData) -> list[str]:
    """Return a note on rows without text, or without a value in any column.

    Args:
        data: The loaded dataset.

    Returns:
        No note when every row has content.

    """
    found = []
    for split in data.splits:
        if len(rows := np.flatnonzero(~data.has_text(split))):
            first = f"row {data.rows_of_input(split)[rows[0]] + 1} of {Path(data.files.get(split, split)).name}"
            found.append(f"{len(rows):,} of {len(data.texts(split)):,} rows of {split} (first: {first})")
    if not found:
        return []
    consequence = "They get no label; coverage and scores are over the other rows."
    return [f"{data.kind.without_content}: {', '.join(found)}. {consequence}"]


def fit_notes(data: TextData) -> list[str]:
    """Return a note on the rows that are fitted on, if they are a sample of train.

    Args:
        data: The loaded dataset.

    Returns:
        No note when all rows of train are fitted on.

    """
    data = data.rows_with_text
    if (sample := data.fit_sample) is None:
        return []
    return [
        f"Features, label model and end model are fitted on {len(sample):,} of {len(data.texts(Split.TRAIN)):,} rows "
        "of train, drawn at random (dataset.fit_rows); all rows are labeled."
    ]


def repeat_notes(data: TextData) -> list[str]:
    """Return a note on texts that occur again.

    Args:
        data: The loaded dataset.

    Returns:
        No note when no text occurs twice.

    """
    data, found = data.rows_with_text, []
    for split, across in data.repeats.across.items():
        if count := np.count_nonzero(~data.repeats.unseen[split]):
            earlier = " or ".join(f"{name} ({n:,})" for name, n in across.items() if n)
            unchanged = data.repeats.unchanged[split]
            same = "all of them" if unchanged == count else f"{unchanged:,} of them"
            of_split = f"{count:,} of {len(data.texts(split)):,} rows of {split}"
            found.append(f"{of_split} are in {earlier}, {same} without a change")
    if within := [f"{count:,} of {split}" for split, count in data.repeats.within.items() if count]:
        found.append(f"rows that repeat an earlier one of their own split: {', '.join(within)}")
    return [f"{data.kind.repeated}, by {data.kind.repeats_by}: {'; '.join(found)}."] if found else []
