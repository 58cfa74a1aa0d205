"""Checks of the gold labels and human votes of a split. Errors have the row."""

from collections.abc import Sequence

import numpy as np

from alchemist_exp.core.errors import DataError, unknown_name
from alchemist_exp.core.types import ABSTAIN


def class_indices(labels: Sequence[object], classes: Sequence[str], where: str) -> list[int] | None:
    """Return the class indices of labels that are either all class names or all class indices.

    Args:
        labels: The labels of a split as a file has them. Labels that can be read both ways are names.
        classes: The class names.
        where: The file, for messages.

    Returns:
        One index per row, or None if every label is missing.

    Raises:
        DataError: A label is missing or unknown; the message has the row, from 1.

    Example:
        >>> class_indices(["spam", " ham"], ["ham", "spam"], "a.csv")
        [1, 0]

    """
    if all(map(_is_missing, labels)):
        return None
    names_or_numbers = [_label_text(label) for label in labels]
    by_name = {name: i for i, name in enumerate(classes)}
    by_index = {str(i): i for i in range(len(classes))}
    are_names = any(text in by_name and text not in by_index for text in names_or_numbers) or all(
        text in by_name for text in names_or_numbers
    )
    known = by_name if are_names else by_index
    for row, (label, text) in enumerate(zip(labels, names_or_numbers, strict=True), start=1):
        if _is_missing(label):
            raise DataError(
                f"{where}: row {row} has no label, but other rows have one; label every row, or move the labeled rows "
                "to a valid or test split and remove the column here."
            )
        if text not in known:
            raise DataError(
                f"{where}: row {row}: {unknown_name('the label', str(label)[:80], classes)} "
                f"Indices 0..{len(classes) - 1} are valid too, if every label is an index."
            )
    return [known[text] for text in names_or_numbers]


def _is_missing(label: object) -> bool:
    return label is None or label == "" or (isinstance(label, float) and np.isnan(label))


def _label_text(label: object) -> str:
    """Return the text of a label: "1" for 1 and 1.0, "spam" for " spam "."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


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
