"""Reading of gold labels, and the check of human votes. Errors have the row.

The labels of a dataset are class names or class indices. Where a class name looks like an index, one reading is chosen
for all splits together, so that a split without some class cannot be read in another way than the rest.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.label_sets import SEPARATOR
from alchemist_exp.core.types import ABSTAIN, MAX_CLASSES

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_MISSING_TEXTS = ("nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "nat", "?", "-")
_EXCEL_ERROR = re.compile(r"#(n/a|ref!|value!|div/0!|name\?|null!|num!|spill!|calc!|getting_data)", re.IGNORECASE)
_OTHER_SEPARATORS = re.compile(r"""[;,\[\]"']""")  # what people write instead of `SEPARATOR`
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
        rows: The row of each value, from 1; None if each row has one value.

    """

    where: str
    values: Sequence[object]
    class_names: tuple[str, ...] | None = None
    rows: Sequence[int] | None = None

    def row(self, number: int) -> int:
        """Return the row of a value, from 1; `number` counts values from 1."""
        return number if self.rows is None else self.rows[number - 1]

    def texts(self, reading: LabelReading) -> list[str | None]:
        """Return the label of each row as a text.

        Args:
            reading: With `indices`, the class names of the file are not used.

        Returns:
            A class name or an index; None where the label is missing.

        Raises:
            DataError: A row has several labels, or an index without a class name; the message has the row, from 1.

        """
        not_one = (list, dict, bytes)
        if row := next((i for i, value in enumerate(self.values, 1) if isinstance(value, not_one)), None):
            value = self.values[row - 1]
            expected = "a text; store the column as strings" if isinstance(value, bytes) else "one class per row"
            if isinstance(value, list):
                expected += ", or dataset.multi_label=true for several"
            raise DataError(f"{self.where}: row {self.row(row)} has the label {str(value)[:60]}; expected {expected}.")
        values = [None if is_missing(value) or not _stripped(str(value)) else str(value) for value in self.values]
        if self.class_names is None:
            return list(values)
        texts: list[str | None] = []
        for row, value in enumerate(values, start=1):
            index = None if value is None else _number_text(value)
            if index in (None, "-1"):  # -1 is how the library `datasets` says that a row has no label
                texts.append(None)
            elif _as_index(index, len(self.class_names)) is None:
                raise DataError(
                    f"{self.where}: row {self.row(row)} has the label {(value or '')[:80]!r}, and the file has the "
                    f"class names {', '.join(self.class_names)} for the indices 0..{len(self.class_names) - 1}; "
                    "correct the label."
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
        if reading is LabelReading.auto:
            _refuse_two_orders(columns, {split: texts[split] for split in group}, known, by_name)
        for split in group:
            for row, text in enumerate(texts[split], start=1):
                if text is not None and known[text] is None:
                    raise _unknown_label(columns[split], row, text, by_name, reading)
            labels[split] = [None if text is None else known[text] for text in texts[split]]
        if as_names:
            for text, index in names.items():
                if index is not None and text != classes[index] and not _INTEGER.fullmatch(text):
                    variants[text, classes[index]] = counts[text]
    return Labels(by_split=labels, notes=_variant_notes(variants))


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
    by_name = _NameTable(own)
    by_column = [column.texts(reading) for column in columns]
    texts = [text for of_column in by_column for text in of_column if text is not None]
    spellings: dict[str, Counter[str]] = {}
    for text, count in Counter(texts).items():
        if by_name.find(text) is None and _as_index(text, len(own)) is None:
            if _looks_missing(text):
                raise _missing_as_class(text, columns, by_column)
            spellings.setdefault(_folded(text), Counter())[_number_text(text)] += count
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
        first, total = labels.get(_folded(text), (text.strip(), 0))
        labels[_folded(text)] = first, total + count
    return dict(sorted(labels.values(), key=lambda label: -label[1])), len(spellings)


def is_missing(value: object) -> bool:
    """Return whether a cell of a table has no value: None, NaN or only blanks."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


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
        split: [_number_text(str(value)) == "-1" for value in column.values if not is_missing(value)]
        for split, column in columns.items()
        if column.class_names is None
    }
    secret = [split for split, found in no_label.items() if found and all(found)]
    if "-1" in map(_number_text, classes) or any(any(no_label[split]) for split in no_label if split not in secret):
        return dict(columns), ()
    shown = {
        split: replace(column, values=[None] * len(column.values)) if split in secret else column
        for split, column in columns.items()
    }
    return shown, tuple(
        f"Every label of {columns[split].where} is -1, which means no label: {split} is unlabeled." for split in secret
    )


def _looks_missing(text: str) -> bool:
    """Return whether a label is how programs write a missing value, or an error of a spreadsheet."""
    text = _stripped(text)
    return text.casefold() in _MISSING_TEXTS or _EXCEL_ERROR.fullmatch(text) is not None


def _stripped(text: str) -> str:
    """Return a text without blanks and invisible characters (Unicode category Cf) at its ends."""
    kept = [i for i, char in enumerate(text) if not char.isspace() and unicodedata.category(char) != "Cf"]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _number_text(text: str) -> str:
    """Return the same text for the same whole number ("1" for " 1.0"); other texts only without surrounding blanks."""
    match = _INTEGER.fullmatch(text := _stripped(text))
    return text if match is None else "0" if match[1] == "-0" else match[1]


def _folded(text: str) -> str:
    """Return what is equal for texts that differ in case, blanks around, invisible characters or Unicode form."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", _number_text(visible).casefold())


def _as_index(text: str, n_classes: int) -> int | None:
    number = _number_text(text)
    return int(number) if _INDEX.fullmatch(number) and int(number) < n_classes else None


class _NameTable:
    """Finds a class by its name, if only one class is meant."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Index the classes by exact name, by number and by folded name; a key of two classes is left out."""
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


def _refuse_two_orders(
    columns: Mapping[str, LabelColumn],
    texts: Mapping[str, Sequence[str | None]],
    known: Mapping[str, int | None],
    by_name: _NameTable,
) -> None:
    """Refuse plain labels that are other classes when they are indices in the order that another file itself has."""
    plain = {split: {*found} - {None} for split, found in texts.items() if columns[split].class_names is None}
    values = {text for found in plain.values() for text in found if text is not None}
    for column in columns.values():
        own = column.class_names or ()
        order = {text: _as_index(text, len(own)) for text in values}
        if None in [*order.values(), *map(by_name.find, own)]:
            continue  # there is no such index, or no such class
        if any(index is not None and by_name.find(own[index]) != known[text] for text, index in order.items()):
            where = " and ".join(columns[split].where for split, found in plain.items() if found)
            shown = ", ".join(sorted(map(_number_text, values)))
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


def _refuse_other_labels(
    columns: Sequence[LabelColumn], texts: Sequence[Sequence[str | None]], by_name: _NameTable
) -> None:
    """Refuse a split that has no label in common with the largest split; `by_name` has the class names of files."""

    def name(text: str) -> str:
        """Return the folded name of the class that a label means; of an unknown label, its own."""
        index = by_name.find(text)
        index = _as_index(text, len(by_name.classes)) if index is None else index
        return _folded(text if index is None else by_name.classes[index])

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


def _unknown_label(column: LabelColumn, row: int, text: str, by_name: _NameTable, reading: LabelReading) -> DataError:
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
    if _looks_missing(text) or _number_text(text) == "-1":
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
