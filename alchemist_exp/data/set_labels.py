"""Reading of gold labels that are lists of classes (dataset.multi_label=true).

The values of all rows are read as one column of single labels, so that names, indices and errors are those of `labels`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.label_sets import SEPARATOR, mask_of
from alchemist_exp.data.label_column import LabelColumn, is_missing

_RARE = -2  # no mask


@dataclass(frozen=True, kw_only=True)
class SetColumn:
    """The label column of a split, with the labels of each row.

    Attributes:
        labels: All labels of the split, one after the other; its `rows` are the rows that they are from.
        sizes: The number of labels of each row; None where the label is missing.

    """

    labels: LabelColumn
    sizes: tuple[int | None, ...]

    def masks(self, indices: Sequence[int | None]) -> list[int | None]:
        """Return the mask of each row.

        Args:
            indices: The class index of each label of `labels`, see `read_labels`.

        Returns:
            One mask per row; None where the label is missing.

        """
        ends = accumulate((size or 0 for size in self.sizes), initial=0)
        parts = [indices[start:end] for start, end in pairwise(ends)]
        return [
            None if size is None or None in part else mask_of(index for index in part if index is not None)
            for size, part in zip(self.sizes, parts, strict=True)
        ]


def split_labels(column: LabelColumn) -> SetColumn:
    """Divide the values of a label column into single labels.

    Args:
        column: Its values are lists of labels, or texts with `SEPARATOR` between the labels. A missing value, an empty
            text and a list with a missing value are a missing label; an empty list and `SEPARATOR` alone are a row for
            which no class holds.

    Returns:
        The single labels, and how many each row has.

    Raises:
        DataError: A value is neither; the message has the row, from 1.

    Example:
        >>> column = LabelColumn(where="a.csv", values=["red|blue", "|", "", ["red"]])
        >>> found = split_labels(column)
        >>> found.labels.values, found.sizes
        (['red', 'blue', 'red'], (2, 0, None, 1))

    """
    values: list[Any] = []
    rows: list[int] = []
    sizes: list[int | None] = []
    for row, value in enumerate(column.values, start=1):
        labels = _labels_of(value, row, column.where)
        sizes.append(None if labels is None else len(labels))
        values += labels or ()
        rows += [row] * len(labels or ())
    single = LabelColumn(where=column.where, values=values, class_names=column.class_names, rows=rows)
    return SetColumn(labels=single, sizes=tuple(sizes))


def _labels_of(value: object, row: int, where: str) -> list[Any] | None:
    """Return the labels in one cell; None where the label is missing."""
    match value:
        case str() if value.strip():
            return [part for part in value.split(SEPARATOR) if part.strip()]
        case list() | tuple():
            if any(isinstance(part, list | tuple | dict) for part in value):
                raise DataError(
                    f"{where}: row {row} has the label {str(value)[:60]}; expected a flat list of classes, such as "
                    '["a", "b"].'
                )
            return None if any(is_missing(part) for part in value) else list(value)
        case int() | float() if not isinstance(value, bool) and value % 1 == 0:  # pandas: 1.0 if a label is missing
            return [value]
        case _ if is_missing(value):
            return None
        case _:
            raise DataError(
                f"{where}: row {row} has the label {str(value)[:60]}; with dataset.multi_label=true expected a list of "
                f"classes, or a text with {SEPARATOR} between their names."
            )


def strata_of(masks: Sequence[int | None], share: float) -> list[int | None]:
    """Return what rows are divided by into train, valid and test: their set of classes, where it is frequent.

    Sets of which the division would draw less than one row are one stratum: rounding would draw rows of some and
    none of others, and so distort the shares of classes.

    Args:
        masks: The mask of each row; None where the label is missing.
        share: The share of rows that is drawn.

    Example:
        >>> strata_of([1, 1, 3, 5, None], 0.5)
        [1, 1, -2, -2, None]

    """
    counts = Counter(masks)
    return [mask if mask is None or counts[mask] * share >= 1 else _RARE for mask in masks]


def masks_by_split(
    columns: Mapping[str, SetColumn], indices: Mapping[str, Sequence[int | None]]
) -> dict[str, list[int | None]]:
    """Return the mask of each row by split.

    Args:
        columns: The label column of each split.
        indices: The class index of each single label, by split.

    """
    return {split: column.masks(indices[split]) for split, column in columns.items()}
