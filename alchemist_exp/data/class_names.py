"""Class names that are taken from the labels, where the configuration does not have them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import MAX_CLASSES
from alchemist_exp.data.label_column import (
    LabelColumn,
    LabelReading,
    NameTable,
    as_index,
    folded_name,
    is_missing,
    looks_missing,
    number_text,
)

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def infer_classes(columns: Iterable[LabelColumn], reading: LabelReading, most: int = MAX_CLASSES) -> list[str]:
    """Return the class names that the labels of all splits have.

    Args:
        columns: The label column of each split that has one.
        reading: `indices` needs class names in a file.
        most: The largest number of classes.

    Returns:
        First the class names that a file itself has, in its order; then the others, sorted, numbers by value. Of names
        that differ only in case, surrounding blanks, invisible characters or Unicode form, the most frequent.

    Raises:
        DataError: There is no label, only one class, or the column does not look like labels; a label looks like a
            missing one; or a split has other labels than the largest one.

    """
    columns = list(columns)
    own = list(dict.fromkeys(name for column in columns for name in column.class_names or ()))
    if reading is LabelReading.indices:
        if not own:
            raise DataError("dataset.labels=indices needs the class names; set 'dataset.classes=[...]'.")
        return own
    by_name = NameTable(own)
    by_column = [column.texts(reading) for column in columns]
    texts = [text for of_column in by_column for text in of_column if text is not None]
    spellings: dict[str, Counter[str]] = {}
    for text, count in Counter(texts).items():
        if by_name.find(text) is None and as_index(text, len(own)) is None:
            if looks_missing(text):
                raise _missing_as_class(text, columns, by_column)
            spellings.setdefault(folded_name(text), Counter())[number_text(text)] += count
    found = [min(counts, key=lambda text: (-counts[text], text)) for counts in spellings.values()]
    if all(_NUMBER.fullmatch(name) for name in found):
        found.sort(key=lambda name: (float(name), name))
    else:
        found.sort()
    classes = own + found
    _refuse_other_labels(columns, by_column, by_name)
    where = " and ".join(column.where for column in columns)
    if not texts and not own:
        raise DataError("dataset.classes must be given, as in 'dataset.classes=[ham,spam]': no row has a label.")
    if len(classes) < 2:
        raise DataError(f"all labels of {where} are {classes[0]!r}; set dataset.classes to all class names.")
    if len(found) > most or len(found) > max(10, len(texts) // 4):
        unit = "labels" if any(column.rows is not None for column in columns) else "labeled rows"
        limit = f" (at most {most} classes are possible)" * (len(found) > most)
        raise DataError(
            f"the label column of {where} has {len(found):,} different values in {len(texts):,} {unit}{limit}, such as "
            f"{found[0][:40]!r}, so the classes cannot be taken from it; set dataset.label_column to the column of the "
            "labels, or name the classes by 'dataset.classes=[...]'."
        )
    return classes


def numbered(classes: Sequence[str]) -> str:
    """Return the class names with their indices, for messages.

    Args:
        classes: The class names.

    Example:
        >>> numbered(["ham", "spam"])
        '0 = ham, 1 = spam'

    """
    return ", ".join(f"{index} = {name}" for index, name in enumerate(classes))


def count_labels(values: Iterable[object]) -> tuple[dict[str, int], int]:
    """Count the values of a label column; spellings that differ only in case or blanks are one.

    Args:
        values: One value per row.

    Returns:
        How often each label occurs, by its most frequent spelling, the most frequent first; and the number of
        spellings.

    Example:
        >>> count_labels(["Ham", "ham ", "spam", "Ham", None])
        ({'Ham': 3, 'spam': 1}, 3)

    """
    spellings = Counter(str(value) for value in values if not is_missing(value))
    labels: dict[str, tuple[str, int]] = {}
    for text, count in spellings.most_common():
        first, total = labels.get(folded_name(text), (text.strip(), 0))
        labels[folded_name(text)] = first, total + count
    return dict(sorted(labels.values(), key=lambda label: -label[1])), len(spellings)


def _refuse_other_labels(
    columns: Sequence[LabelColumn], texts: Sequence[Sequence[str | None]], by_name: NameTable
) -> None:
    """Refuse a split that has no label in common with the largest split; `by_name` has the class names of files."""

    def name(text: str) -> str:
        """Return the folded name of the class that a label means; of an unknown label, its own."""
        index = by_name.find(text)
        index = as_index(text, len(by_name.classes)) if index is None else index
        return folded_name(text if index is None else by_name.classes[index])

    names = [
        {name(text) for text in (*of_column, *(column.class_names or ())) if text is not None}
        for column, of_column in zip(columns, texts, strict=True)
    ]
    largest = max(range(len(columns)), key=lambda i: len(texts[i]) - list(texts[i]).count(None), default=0)
    for column, found in zip(columns, names, strict=True):
        if found and names[largest].isdisjoint(found):
            raise DataError(
                f"the labels of {column.where} ({_first(found)}) are all different from those of "
                f"{columns[largest].where} ({_first(names[largest])}); write the same class names in both, or name the "
                "classes by 'dataset.classes=[...]'."
            )


def _first(names: Iterable[str]) -> str:
    shown = [name[:40] for name in sorted(names)]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _missing_as_class(text: str, columns: Sequence[LabelColumn], texts: Sequence[Sequence[str | None]]) -> DataError:
    where, row = next(
        (column.where, column.row(found.index(text) + 1))
        for column, found in zip(columns, texts, strict=True)
        if text in found
    )
    return DataError(
        f"{where}: row {row}: the label {text[:80]!r} seems to mean that there is no label. Leave the field empty in a "
        "row without a label; if it is a class, name all classes by 'dataset.classes=[...]'."
    )
