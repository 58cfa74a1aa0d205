"""The columns that are added to a table: the label, its probabilities and the votes."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from alchemist_exp.core.label_sets import SEPARATOR, names_of
from alchemist_exp.core.terminal import without_formula
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.labeling.row_labeler import RowLabeler, RowLabels
from alchemist_exp.programs.files import vote_columns

LABEL: Final = "label"
CONFIDENCE: Final = "confidence"
INPUT_PREFIX: Final = "input_"
"""Is put before the name of a column of the input that has the name of one of ours."""

DECIMALS: Final = 6


def own_columns(labeler: RowLabeler) -> list[str]:
    """Return the names of the columns that are added to a table.

    Args:
        labeler: Labels the rows.

    Returns:
        Different names. Where several classes may hold for a row, there is no confidence.

    """
    shares = (f"p({name})" for name in labeler.classes)
    confidence = [] if labeler.multi_label else [CONFIDENCE]
    return [LABEL, *confidence, *shares, *vote_columns(labeler.programs)]


def shown_label(label: int, labeler: RowLabeler, classes: Sequence[str] | None = None) -> str:
    """Return a label as one text.

    Args:
        label: A class, or of a run with multi_label the mask of a set of classes.
        labeler: What has labeled the row.
        classes: The names of the classes; None for those of the labeler.

    Returns:
        The name; several names with `SEPARATOR` between them, which stands alone for the empty set.

    """
    classes = labeler.classes if classes is None else classes
    return (SEPARATOR.join(names_of(label, classes)) or SEPARATOR) if labeler.multi_label else classes[label]


def output_names(columns: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Return the name of each column of the input in the output.

    Args:
        columns: The names in the input.
        ours: The names of the columns that are added.

    Returns:
        By name in the input, the same name, with a prefix if another column has it.

    Example:
        >>> output_names(["text", "label", "input_label"], ["label"])
        {'text': 'text', 'label': 'input_input_label', 'input_label': 'input_label'}

    """
    names: dict[str, str] = {}
    for name in columns:
        shown = name
        while shown in ours or shown in names.values() or (shown != name and shown in columns):
            shown = INPUT_PREFIX + shown
        names[name] = shown
    return names


def label_columns(
    found: RowLabels, labeler: RowLabeler, *, spreadsheet: bool = False, joined: bool = False
) -> dict[str, list[Any]]:
    """Return the columns that are added to a table.

    Args:
        found: The labels of some rows.
        labeler: What has labeled them.
        spreadsheet: Whether the names of classes, which a stranger's run may have, must not act as formulas.
        joined: Whether several classes of a row are one text, see `shown_label`; else they are a list.

    Returns:
        By name, one value per row; None for a row without a label, and where a program abstains.

    """
    classes = [*map(without_formula, labeler.classes)] if spreadsheet else labeler.classes
    labeled = found.classes != ABSTAIN
    probs = found.probs.astype(np.float64).round(DECIMALS)
    shares = [
        [share if has_label else None for share, has_label in zip(column, labeled.tolist(), strict=True)]
        for column in (*([] if labeler.multi_label else [probs.max(axis=1).tolist()]), *probs.T.tolist())
    ]

    def named(labels: Sequence[int]) -> list[Any]:
        """Return the name of each label, or the list of its names; None for `ABSTAIN`."""
        if labeler.multi_label and not joined:
            return [None if label == ABSTAIN else names_of(label, classes) for label in labels]
        return [None if label == ABSTAIN else shown_label(label, labeler, classes) for label in labels]

    votes = [named(column) for column in found.votes.T.tolist()]
    return dict(zip(own_columns(labeler), [named(found.classes.tolist()), *shares, *votes], strict=True))
