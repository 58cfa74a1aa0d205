"""The label column of a split, and how its values are compared with class names."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from alchemist_exp.core.errors import DataError

INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
"""A whole number without leading zeros, also as programs write one of a column of floats ("1.0")."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_MISSING_TEXTS = ("nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "nat", "?", "-")
_EXCEL_ERROR = re.compile(r"#(n/a|ref!|value!|div/0!|name\?|null!|num!|spill!|calc!|getting_data)", re.IGNORECASE)


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
            index = None if value is None else number_text(value)
            if index in (None, "-1"):  # -1 is how the library `datasets` says that a row has no label
                texts.append(None)
            elif as_index(index, len(self.class_names)) is None:
                raise DataError(
                    f"{self.where}: row {self.row(row)} has the label {(value or '')[:80]!r}, and the file has the "
                    f"class names {', '.join(self.class_names)} for the indices 0..{len(self.class_names) - 1}; "
                    "correct the label."
                )
            else:
                texts.append(index if reading is LabelReading.indices else self.class_names[int(index)])
        return texts


def is_missing(value: object) -> bool:
    """Return whether a cell of a table has no value: None, NaN or only blanks."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def looks_missing(text: str) -> bool:
    """Return whether a label is how programs write a missing value, or an error of a spreadsheet."""
    text = _stripped(text)
    return text.casefold() in _MISSING_TEXTS or _EXCEL_ERROR.fullmatch(text) is not None


def _stripped(text: str) -> str:
    """Return a text without blanks and invisible characters (Unicode category Cf) at its ends."""
    kept = [i for i, char in enumerate(text) if not char.isspace() and unicodedata.category(char) != "Cf"]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def number_text(text: str) -> str:
    """Return the same text for the same whole number ("1" for " 1.0"); other texts only without surrounding blanks."""
    match = INTEGER.fullmatch(text := _stripped(text))
    return text if match is None else "0" if match[1] == "-0" else match[1]


def folded_name(text: str) -> str:
    """Return what is equal for texts that differ in case, blanks around, invisible characters or Unicode form."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", number_text(visible).casefold())


def as_index(text: str, n_classes: int) -> int | None:
    """Return the class index that a label is, from 0; None if it is no index of a class."""
    number = number_text(text)
    return int(number) if _INDEX.fullmatch(number) and int(number) < n_classes else None


class NameTable:
    """Finds a class by its name, if only one class is meant."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Index the classes by exact name, by number and by folded name; a key of two classes is left out."""
        self.classes = classes
        self._tables = [
            (form, {key: i for i, key in enumerate(keys) if keys.count(key) == 1})
            for form in (str, number_text, folded_name)
            for keys in [[form(name) for name in classes]]
        ]

    def find(self, text: str) -> int | None:
        """Return the index of the class that is called so exactly, or else nearly so; None if there is none."""
        return next((table[key] for form, table in self._tables if (key := form(text)) in table), None)
