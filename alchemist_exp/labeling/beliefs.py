"""What a label model believes about rows, with all votes and without those of each program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, FloatArray, LabelMatrix, SoftLabels, tied_rows
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.label_models.fit import predict_labels


@dataclass(frozen=True, kw_only=True)
class Belief:
    """The probability of each class on a row.

    Attributes:
        label: The most probable class, one of them if several are; None for a row without a label.
        probs: The probability of each class; empty for a row without a label.
        tied: Whether several classes are the most probable.

    """

    label: str | None
    probs: Mapping[str, float]
    tied: bool = False


def leave_one_out(
    label_model: LabelModel, votes: npt.NDArray[np.int8], n_classes: int, n_left_out: int | None = None
) -> SoftLabels:
    """Return the labels of rows with all votes, and with the votes of all programs but one.

    Args:
        label_model: The fitted label model.
        votes: int8 array of shape (n_rows, n_programs); -1 means abstain.
        n_classes: The number of classes.
        n_left_out: The first of these programs are left out, one at a time; None for all.

    Returns:
        1 + n_left_out labels for each row, one after the other: first with all votes, then without each program.

    """
    n_programs = votes.shape[1]
    columns = np.arange(n_programs if n_left_out is None else n_left_out)
    without = np.repeat(votes[:, np.newaxis], 1 + len(columns), axis=1)
    without[:, 1 + columns, columns] = ABSTAIN
    matrix = LabelMatrix(votes=without.reshape(-1, n_programs), n_classes=n_classes)
    with np.errstate(all="ignore"):
        return predict_labels(label_model, matrix)


def beliefs_of(labels: SoftLabels, classes: Sequence[str]) -> list[Belief]:
    """Return the belief on each row.

    Args:
        labels: The labels of the rows.
        classes: The class names.

    """
    return [belief_of(*one, classes) for one in zip(labels.probs, labels.hard().tolist(), strict=True)]


def belief_of(probs: FloatArray, label: int, classes: Sequence[str]) -> Belief:
    """Return the belief in probabilities.

    Args:
        probs: float32 array of shape (n_classes,).
        label: The class; `ABSTAIN` for a row without a label.
        classes: The class names.

    """
    if label == ABSTAIN:
        return Belief(label=None, probs={})
    shares = dict(zip(classes, probs.tolist(), strict=True))
    return Belief(label=classes[label], probs=shares, tied=bool(tied_rows(probs[np.newaxis])[0]))


def effect_text(without: Belief, label: str) -> str:
    """Return what a row's label becomes without a program.

    Args:
        without: The belief without it.
        label: The row's label with all programs.

    Returns:
        The probability of the label, and the other label that the row would have; "no label" for none.

    Example:
        >>> effect_text(Belief(label="spam", probs={"ham": 0.25, "spam": 0.75}), "ham")
        '0.250, spam'

    """
    if without.label is None:
        return "no label"
    other = "a tie" if without.tied else without.label if without.label != label else ""
    return f"{without.probs[label]:.3f}" + (f", {other}" if other else "")
