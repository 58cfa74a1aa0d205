"""Warnings on what the end model is trained on and on what it predicts. They need no gold labels."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, FloatArray, SoftLabels
from alchemist_exp.label_models.wrong_programs import MIN_ROWS

MIN_COVERAGE: Final = 0.70
"""Smallest share of labeled rows of train without a warning. At .62 (recorded programs of french) the distilled model
predicts the most frequent class on 99% of train; at .41 (human-crafted functions of sms) its F1 on test is .63 to .77,
and that of the labels on train .84 to .90. All other measured sets have .83 or more."""

MAX_PREDICTED_SHARE: Final = 0.90
"""Share of train that is predicted as one class, from which on there may be a warning. With the recorded programs of
french it is .99; their labels have that class on .80 of train."""

MIN_OTHERS_KEPT: Final = 0.5
"""Of the share of rows that the labels give to the other classes, this part is predicted as them at least. So a model
that finds the rare classes of imbalanced data gets no warning."""

MAX_DISAGREEMENT: Final = 0.25
"""Share of the labeled rows of train that are predicted as another class, from which on there is a warning. Measured
with one seed: youtube and sms .001, finance .02, french .14; on 45 texts of three classes .42, where the network was
right on .60 and the label model on .98."""


def coverage_warnings(labels: SoftLabels) -> list[str]:
    """Warn of a train split with few labeled rows.

    Args:
        labels: Soft labels of train.

    Returns:
        One warning below `MIN_COVERAGE`, otherwise none.

    Example:
        >>> labels = SoftLabels(probs=np.tile([1.0, 0.0], (100, 1)), covered=np.arange(100) < 60)
        >>> coverage_warnings(labels)[0][:55]
        'Only 60% of the rows of train have a label (coverage), '

    """
    coverage = float(labels.covered.mean()) if len(labels.covered) else 0.0
    if len(labels.covered) < MIN_ROWS or coverage >= MIN_COVERAGE:
        return []
    return [
        f"Only {coverage:.0%} of the rows of train have a label (coverage), and the distilled model learns from no row "
        "like the others; generate more programs, for example with supplement=mixed, or programs that abstain less."
    ]


def one_class_warnings(
    labels: SoftLabels, probs: FloatArray, *, end_model: str, class_names: Sequence[str]
) -> list[str]:
    """Warn of a distilled model that predicts one class nearly everywhere although the labels have others.

    Args:
        labels: Soft labels of train.
        probs: float32 array of shape (n_seeds, n_rows, n_classes): the predictions on train.
        end_model: The name of the end model.
        class_names: A name per class.

    Returns:
        One warning or none.

    Example:
        >>> labels = SoftLabels(probs=np.eye(2)[np.arange(100) % 4 // 3], covered=np.ones(100, bool))
        >>> one_class_warnings(labels, np.tile([0.7, 0.3], (1, 100, 1)), end_model="mlp", class_names=["ham", "spam"])
        ['The distilled mlp predicts ham on 100% of train, but the labels have it on 75%; see alchemist show -v.']

    """
    hard = labels.hard()
    hard = hard[hard != ABSTAIN]
    if len(hard) < MIN_ROWS or not probs.shape[0]:
        return []
    predicted = np.bincount(probs.mean(axis=0).argmax(axis=1), minlength=len(class_names)) / probs.shape[1]
    largest = int(predicted.argmax())
    of_labels = float((hard == largest).mean())
    if predicted[largest] < MAX_PREDICTED_SHARE or 1 - predicted[largest] >= MIN_OTHERS_KEPT * (1 - of_labels):
        return []
    return [
        f"The distilled {end_model} predicts {class_names[largest]} on {predicted[largest]:.0%} of train, but the "
        f"labels have it on {of_labels:.0%}; see alchemist show -v."
    ]


def disagreement_warnings(labels: SoftLabels, probs: FloatArray, *, end_model: str, has_programs: bool) -> list[str]:
    """Warn of a distilled model that has not learned its labels, as happens with few rows.

    Args:
        labels: Soft labels of train.
        probs: float32 array of shape (n_seeds, n_rows, n_classes): the predictions on train.
        end_model: The name of the end model.
        has_programs: Whether programs voted, so that further rows can be labeled without the end model.

    Returns:
        One warning from `MAX_DISAGREEMENT` on, otherwise none.

    Example:
        >>> labels = SoftLabels(probs=np.eye(2)[np.arange(20) % 2], covered=np.ones(20, bool))
        >>> probs = np.tile([0.6, 0.4], (1, 20, 1))
        >>> disagreement_warnings(labels, probs, end_model="mlp", has_programs=True)[0][:75]
        'The distilled mlp predicts another class than the label on 10 of 20 labeled'

    """
    hard = labels.hard()
    labeled = hard != ABSTAIN
    if not labeled.any() or not probs.shape[0]:
        return []
    n_labeled = int(labeled.sum())
    n_other = int((probs.mean(axis=0).argmax(axis=1) != hard)[labeled].sum())
    if n_other < MAX_DISAGREEMENT * n_labeled:
        return []
    advice = "; alchemist apply RUN --with programs labels further rows by the label model" if has_programs else ""
    return [
        f"The distilled {end_model} predicts another class than the label on {n_other:,} of {n_labeled:,} labeled rows "
        f"of train ({n_other / n_labeled:.0%}), as happens with few rows or epochs{advice}."
    ]
