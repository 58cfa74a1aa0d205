"""Reading of gold labels, and the check of human votes. Errors have the row.

The labels of a dataset are class names or class indices. Where a class name looks like an index, one reading is chosen
for all splits together, so that a split without some class cannot be read in another way than the rest.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.types import ABSTAIN, MAX_CLASSES

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_NO_LABEL = ("-1", "nan", "none", "null", "na", "n/a", "?")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class LabelReading(StrEnum):
    """What the values of a label column are. Members have the names that a configuration uses."""

    auto = "auto"  # class names if all fit, else class indices
    names = "names"
    indices = "indices"  # from 0, in the order of the classes


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """The label column of a split.

    Attributes:
        where: The file, for messages.
        values: One value per row, as the file has it.
        class_names: The class names that the file itself has for its class indices; None for none.

    """

    where: str
    values: Sequence[object]
    class_names: tuple[str, ...] | None = None

    def texts(self, reading: LabelReading) -> list[str | None]:
        """Return the label of each row as a text.

        Args:
            reading: With `indices`, the class names of the file are not used.

        Returns:
            A class name or an index; None where the label is missing.

        Raises:
            DataError: A row has several labels, or an index without a class name; the message has the row, from 1.

        """
        if row := next((i for i, value in enumerate(self.values, 1) if isinstance(value, list | dict)), None):
            raise DataError(
                f"{self.where}: row {row} has the label {str(self.values[row - 1])[:60]}; expected one class per row."
            )
        if self.class_names is None:
            return [None if is_missing(value) else str(value) for value in self.values]
        texts: list[str | None] = []
        for row, value in enumerate(self.values, start=1):
            index = None if is_missing(value) else _number_text(str(value))
            if index in (None, "-1"):  # -1 is how the library `datasets` says that a row has no label
                texts.append(None)
            elif _as_index(index, len(self.class_names)) is None:
                raise DataError(
                    f"{self.where}: row {row} has the label {str(value)[:80]!r}, and the file has the class names "
                    f"{', '.join(self.class_names)} for the indices 0..{len(self.class_names) - 1}; correct the label."
                )
            else:
                texts.append(index if reading is LabelReading.indices else self.class_names[int(index)])
        return texts


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
        The class index of each row. A name may differ from a class in case and surrounding blanks, if only one class is
        meant.

    Raises:
        DataError: A label is unknown, with its row from 1; or names and indices are both possible.

    Example:
        >>> column = LabelColumn(where="a.csv", values=["spam", " Ham", None])
        >>> read_labels({"train": column}, ["ham", "spam"], LabelReading.auto).by_split
        {'train': [1, 0, None]}

    """
    texts = {split: column.texts(reading) for split, column in columns.items()}
    by_name = _NameTable(classes)
    index_like = any(_as_index(name, len(classes)) is not None for name in classes)
    groups = [list(columns)] if index_like else [[split] for split in columns]
    labels: dict[str, list[int | None]] = {}
    variants: Counter[tuple[str, str]] = Counter()
    for group in groups:
        counts = Counter(text for split in group for text in texts[split] if text is not None)
        names = {text: by_name.find(text) for text in counts}
        indices = {text: _as_index(text, len(classes)) for text in counts}
        as_names = reading is LabelReading.names or (
            reading is LabelReading.auto and _are_names(names, indices, by_name, [columns[split] for split in group])
        )
        known = names if as_names else indices
        for split in group:
            for row, text in enumerate(texts[split], start=1):
                if text is not None and known[text] is None:
                    raise _unknown_label(columns[split], row, text, classes, reading)
            labels[split] = [None if text is None else known[text] for text in texts[split]]
        if as_names:
            for text, index in names.items():
                if index is not None and text != classes[index] and not _INTEGER.fullmatch(text):
                    variants[text, classes[index]] = counts[text]
    return Labels(by_split=labels, notes=_variant_notes(variants))


def infer_classes(columns: Iterable[LabelColumn], reading: LabelReading) -> list[str]:
    """Return the class names that the labels of all splits have.

    Args:
        columns: The label column of each split that has one.
        reading: `indices` needs class names in a file.

    Returns:
        First the class names that a file itself has, in its order; then the others, sorted, numbers by value. Of names
        that differ only in case and surrounding blanks, the most frequent.

    Raises:
        DataError: There is no label, only one class, or the column does not look like labels.

    """
    columns = list(columns)
    own = list(dict.fromkeys(name for column in columns for name in column.class_names or ()))
    if reading is LabelReading.indices:
        if not own:
            raise DataError("dataset.labels=indices needs the class names; set 'dataset.classes=[...]'.")
        return own
    by_name = _NameTable(own)
    texts = [text for column in columns for text in column.texts(reading) if text is not None]
    spellings: dict[str, Counter[str]] = {}
    for text, count in Counter(texts).items():
        if by_name.find(text) is None and _as_index(text, len(own)) is None:
            spellings.setdefault(_folded(text), Counter())[_number_text(text)] += count
    found = [min(counts, key=lambda text: (-counts[text], text)) for counts in spellings.values()]
    if all(_NUMBER.fullmatch(name) for name in found):
        found.sort(key=lambda name: (float(name), name))
    else:
        found.sort()
    classes = own + found
    where = " and ".join(column.where for column in columns)
    if not texts and not own:
        raise DataError("dataset.classes must be given, as in 'dataset.classes=[ham,spam]': no row has a label.")
    if len(classes) < 2:
        raise DataError(f"all labels of {where} are {classes[0]!r}; set dataset.classes to all class names.")
    if len(found) > MAX_CLASSES or len(found) > max(10, len(texts) // 4):
        raise DataError(
            f"the label column of {where} has {len(found):,} different values in {len(texts):,} labeled rows, such as "
            f"{found[0][:40]!r}, so the classes cannot be taken from it; set dataset.label_column to the column of the "
            "labels, or name the classes by 'dataset.classes=[...]'."
        )
    return classes


def is_missing(value: object) -> bool:
    """Return whether a cell of a table has no value: None, NaN or only blanks."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _number_text(text: str) -> str:
    """Return the same text for the same whole number ("1" for " 1.0"); other texts only without surrounding blanks."""
    match = _INTEGER.fullmatch(text := text.strip())
    return match[1] if match else text


def _folded(text: str) -> str:
    """Return what is equal for texts that differ in case, surrounding blanks or the Unicode form of accents."""
    return unicodedata.normalize("NFC", _number_text(text).casefold())


def _as_index(text: str, n_classes: int) -> int | None:
    number = _number_text(text)
    return int(number) if _INDEX.fullmatch(number) and int(number) < n_classes else None


class _NameTable:
    """Finds a class by its name, if only one class is meant."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._tables = [
            (form, {key: i for i, key in enumerate(keys) if keys.count(key) == 1})
            for form in (str, _number_text, _folded)
            for keys in [[form(name) for name in classes]]
        ]

    def find(self, text: str) -> int | None:
        """Return the index of the class that is called so exactly, or else nearly so; None if there is none."""
        return next((table[key] for form, table in self._tables if (key := form(text)) in table), None)


def _are_names(
    names: Mapping[str, int | None],
    indices: Mapping[str, int | None],
    by_name: _NameTable,
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
    if names != indices and {_number_text(name) for name in classes} != {str(i) for i in range(len(classes))}:
        values = ", ".join(sorted({_number_text(text) for text in names}))
        raise DataError(
            f"the labels {values} of {' and '.join(column.where for column in columns)} are both class names and class "
            f"indices of dataset.classes ({', '.join(classes)}); set dataset.labels=names, or dataset.labels=indices "
            "(from 0)."
        )
    return True


def _unknown_label(
    column: LabelColumn, row: int, text: str, classes: Sequence[str], reading: LabelReading
) -> DataError:
    if reading is LabelReading.indices:
        return DataError(
            f"{column.where}: row {row}: the label {text[:80]!r} is no class index; dataset.labels=indices needs "
            f"0..{len(classes) - 1}."
        )
    start = f"{column.where}: row {row}: {unknown_name('the label', text[:80], classes)}"
    if text.strip().casefold() in _NO_LABEL:
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
        f"Labels that differ from a class name only in case or surrounding blanks: {sum(variants.values()):,}; they "
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
