"""Reading of gold labels, and the check of human votes. Errors have the row.

The labels of a dataset are class names or class indices. Where a class name looks like an index, one reading is chosen
for all splits together, so that a split without some class cannot be read in another way than the rest.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.label_sets import SEPARATOR
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.data.label_column import (
    INTEGER,
    LabelColumn,
    LabelReading,
    NameTable,
    as_index,
    is_missing,
    looks_missing,
    number_text,
)

_OTHER_SEPARATORS = re.compile(r"""[;,\[\]"']""")  # what people write instead of `SEPARATOR`


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of all splits.

    Attributes:
        by_split: One class index per row, None where the label is missing; by split.
        notes: What the user should know, one sentence each.

    """

    by_split: Mapping[str, list[int | None]]
    notes: tuple[str, ...]


def read_labels(columns: Mapping[str, LabelColumn], classes: Sequence[str], reading: LabelReading) -> Labels:
    """Read the labels of all splits as class names or class indices.

    Args:
        columns: The label column of each split, with all rows of the split.
        classes: The class names.
        reading: Names or indices; `auto` decides by the values, for all splits together where a class name looks like
            an index.

    Returns:
        The class index of each row. A name may differ from a class in case, surrounding blanks, invisible characters
        and Unicode form, if only one class is meant.

    Raises:
        DataError: A label is unknown, with its row from 1; or names and indices are both possible.

    Example:
        >>> column = LabelColumn(where="a.csv", values=["spam", " Ham", None])
        >>> read_labels({"train": column}, ["ham", "spam"], LabelReading.auto).by_split
        {'train': [1, 0, None]}

    """
    texts = {split: column.texts(reading) for split, column in columns.items()}
    by_name = NameTable(classes)
    index_like = any(as_index(name, len(classes)) is not None for name in classes)
    groups = [list(columns)] if index_like else [[split] for split in columns]
    labels: dict[str, list[int | None]] = {}
    variants: Counter[tuple[str, str]] = Counter()
    for group in groups:
        counts = Counter(text for split in group for text in texts[split] if text is not None)
        names = {text: by_name.find(text) for text in counts}
        indices = {text: as_index(text, len(classes)) for text in counts}
        as_names = reading is LabelReading.names or (
            reading is LabelReading.auto and _are_names(names, indices, by_name, [columns[split] for split in group])
        )
        known = names if as_names else indices
        if reading is LabelReading.auto:
            _refuse_two_orders(columns, {split: texts[split] for split in group}, known, by_name)
        for split in group:
            for row, text in enumerate(texts[split], start=1):
                if text is not None and known[text] is None:
                    raise _unknown_label(columns[split], row, text, by_name, reading)
            labels[split] = [None if text is None else known[text] for text in texts[split]]
        if as_names:
            for text, index in names.items():
                if index is not None and text != classes[index] and not INTEGER.fullmatch(text):
                    variants[text, classes[index]] = counts[text]
    return Labels(by_split=labels, notes=_variant_notes(variants))


def without_secret_labels(
    columns: Mapping[str, LabelColumn], classes: Sequence[str]
) -> tuple[dict[str, LabelColumn], tuple[str, ...]]:
    """Return the columns with missing labels in a split where every label is -1, as the labels of a test can be secret.

    Args:
        columns: The label column of each split.
        classes: The class names; empty if they are not known. A class that is called -1 keeps all labels.

    Returns:
        The columns, and a note on each such split. A split keeps -1 where the labels of another have -1 and others.

    """
    no_label = {
        split: [number_text(str(value)) == "-1" for value in column.values if not is_missing(value)]
        for split, column in columns.items()
        if column.class_names is None
    }
    secret = [split for split, found in no_label.items() if found and all(found)]
    if "-1" in map(number_text, classes) or any(any(no_label[split]) for split in no_label if split not in secret):
        return dict(columns), ()
    shown = {
        split: replace(column, values=[None] * len(column.values)) if split in secret else column
        for split, column in columns.items()
    }
    return shown, tuple(
        f"Every label of {columns[split].where} is -1, which means no label: {split} is unlabeled." for split in secret
    )


def _are_names(
    names: Mapping[str, int | None],
    indices: Mapping[str, int | None],
    by_name: NameTable,
    columns: Sequence[LabelColumn],
) -> bool:
    """Return whether labels are names and not indices; where both fit and differ, the user must decide."""
    own = [name for column in columns for name in column.class_names or ()]
    if own and None not in map(by_name.find, own):
        return True  # the file itself says so
    all_names, all_indices = None not in names.values(), None not in indices.values()
    if not (all_names and all_indices):
        return all_names or (
            not all_indices and any(names[text] is not None for text in names if indices[text] is None)
        )
    # Class names that are 0..n-1 in another order name every possible index, so the labels are names.
    classes = by_name.classes
    if names != indices and {number_text(name) for name in classes} != {str(i) for i in range(len(classes))}:
        values = ", ".join(sorted({number_text(text) for text in names}))
        raise DataError(
            f"the labels {values} of {' and '.join(column.where for column in columns)} are both class names and class "
            f"indices of dataset.classes ({', '.join(classes)}); set dataset.labels=names, or dataset.labels=indices "
            "(from 0)."
        )
    return True


def _refuse_two_orders(
    columns: Mapping[str, LabelColumn],
    texts: Mapping[str, Sequence[str | None]],
    known: Mapping[str, int | None],
    by_name: NameTable,
) -> None:
    """Refuse plain labels that are other classes when they are indices in the order that another file itself has."""
    plain = {split: {*found} - {None} for split, found in texts.items() if columns[split].class_names is None}
    values = {text for found in plain.values() for text in found if text is not None}
    for column in columns.values():
        own = column.class_names or ()
        order = {text: as_index(text, len(own)) for text in values}
        if None in [*order.values(), *map(by_name.find, own)]:
            continue  # there is no such index, or no such class
        if any(index is not None and by_name.find(own[index]) != known[text] for text, index in order.items()):
            where = " and ".join(columns[split].where for split, found in plain.items() if found)
            shown = ", ".join(sorted(map(number_text, values)))
            classes = f"'dataset.classes=[{','.join(own)}]'"
            if None in map(by_name.find, values):
                fix = (
                    f"set {classes} if the numbers mean the same in both files, or dataset.labels=indices if both "
                    "number the classes in the order of dataset.classes"
                )
            else:
                fix = f"set dataset.labels=names if they are class names, or dataset.labels=indices and {classes}"
            raise DataError(
                f"the labels {shown} of {where} may be indices in the order of {column.where} ({', '.join(own)}), but "
                f"are read as other classes of dataset.classes ({', '.join(by_name.classes)}); {fix}."
            )


def _unknown_label(column: LabelColumn, row: int, text: str, by_name: NameTable, reading: LabelReading) -> DataError:
    classes = by_name.classes
    row = column.row(row)
    if reading is LabelReading.indices:
        return DataError(
            f"{column.where}: row {row}: the label {text[:80]!r} is no class index; dataset.labels=indices needs "
            f"0..{len(classes) - 1}."
        )
    start = f"{column.where}: row {row}: {unknown_name('the label', text[:80], classes)}"
    parts = [by_name.find(part) for part in _OTHER_SEPARATORS.split(text) if part.strip()]
    names = [classes[index] for index in parts if index is not None]
    if column.rows is not None and names and len(names) == len(parts):
        return DataError(f"{start} For several classes write {SEPARATOR.join(names)}.")
    if column.rows is not None and not parts:
        return DataError(f"{start} For a row of no class write {SEPARATOR}.")
    if looks_missing(text) or number_text(text) == "-1":
        return DataError(f"{start} Leave the field empty in a row without a label.")
    if column.class_names is not None:
        return DataError(
            f"{start} The file itself has the class names {', '.join(column.class_names)}; set dataset.classes to "
            "them in any order, or dataset.labels=indices to use only their order."
        )
    if reading is LabelReading.names:
        return DataError(start)
    return DataError(f"{start} Indices 0..{len(classes) - 1} are valid too, if every label is an index.")


def _variant_notes(variants: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
    if not variants:
        return ()
    text, name = next(iter(variants))
    return (
        f"Labels that differ from a class name only in case, blanks or Unicode form: {sum(variants.values()):,}; they "
        f"are read as that class, such as {text!r} as {name!r}.",
    )


def check_votes(votes: Sequence[object], n_classes: int, where: str) -> list[list[int]]:
    """Return the human votes of a split after a check.

    Args:
        votes: One list per row.
        n_classes: The number of classes; -1 means abstain.
        where: The file, for messages.

    Returns:
        The votes, all rows of the same length.

    Raises:
        DataError: A row has another length or a vote that is not a class index; the message has the row, from 1.

    """
    checked: list[list[int]] = []
    for row, vote in enumerate(votes, start=1):
        if not isinstance(vote, list):
            raise DataError(f"{where}: row {row} has {str(vote)[:40]}; expected a list of votes.")
        if not vote:
            raise DataError(f"{where}: row {row} has no votes; expected one per labeling function, -1 for abstain.")
        if checked and len(vote) != len(checked[0]):
            raise DataError(f"{where}: row {row} has {len(vote)} votes, but row 1 has {len(checked[0])}.")
        if any(not isinstance(v, int) or not ABSTAIN <= v < n_classes for v in vote):
            raise DataError(f"{where}: row {row} has a vote outside -1..{n_classes - 1}: {vote[:20]}.")
        checked.append(vote)
    return checked
