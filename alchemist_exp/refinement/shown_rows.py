"""Example rows for the prompts of a round (refine.show=rows), with what may identify a person replaced."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.types import IntArray, LabelMatrix
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.prompts.filling import MAX_EXEMPLAR_CHARACTERS

_REDACTED: Final = (
    (re.compile(r"\b(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)]", re.IGNORECASE), "[link]"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"(?<!\w)@\w+"), "[user]"),
    (re.compile(r"\+?\d(?:[ ./()-]{0,2}\d){5,}"), "[number]"),
)


def redact_row(text: str) -> str:
    """Return a row without links, e-mail addresses, user names and numbers of six or more digits.

    Names of persons and places stay, so this does not make a text anonymous.

    Args:
        text: The row.

    Returns:
        The text, with a word in square brackets for each replaced part.

    Example:
        >>> redact_row("Call 0800 123 456 or write to jo@example.org, see http://example.org/x")
        'Call [number] or write to [e-mail], see [link]'

    """
    for pattern, replacement in _REDACTED:
        text = pattern.sub(replacement, text)
    return text


def shown_row(kind: RowKind, row: str) -> str:
    """Return a row as a prompt shows it.

    Args:
        kind: The kind of the rows.
        row: The row.

    Returns:
        The redacted text.

    """
    return redact_row(kind.show(row, MAX_EXEMPLAR_CHARACTERS))


def spread(rows: IntArray, n_rows: int) -> list[int]:
    """Return evenly spaced row numbers.

    Args:
        rows: int64 array of shape (n,), the rows to choose from.
        n_rows: How many are wanted.

    Returns:
        At most `n_rows` of them, in their order.

    """
    if not len(rows):
        return []
    chosen = np.linspace(0, len(rows) - 1, min(n_rows, len(rows))).astype(int)
    return [int(row) for row in rows[chosen]]


def votes_text(matrix: LabelMatrix, row: int, classes: Sequence[str]) -> str:
    """Return the votes on a row for people, such as "2 for spam, 1 for ham".

    Args:
        matrix: The votes.
        row: The row.
        classes: The class names.

    Returns:
        The number of votes of each class that has any; "" without votes.

    """
    counts = matrix.select(np.array([row])).counts()[0]
    return ", ".join(f"{counts[c]} for {classes[c]}" for c in np.argsort(-counts, kind="stable") if counts[c])
