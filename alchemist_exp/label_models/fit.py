"""Fits a label model and predicts with it; what a plugin returns is checked here."""

from dataclasses import replace

import numpy as np

from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel

_CHUNK_ROWS = 65_536
"""Rows that are predicted at once. Snorkel's model needs 0.5 KB per row for ten programs."""


def fit_label_model(
    model: LabelModel, train: LabelMatrix, valid: LabelMatrix | None, gold: IntArray | None
) -> tuple[LabelModel, ClassBalance, LabeledVotes | None]:
    """Fit a label model on train, with the class balance from gold labels where there are any.

    Args:
        model: The unfitted label model.
        train: The votes on train.
        valid: The same programs' votes on valid; None when no program voted there.
        gold: int64 array of shape (n_valid_rows,): the gold labels of valid; None when they may not be used. The class
            balance is then estimated from the votes on train.

    Returns:
        The fitted model, the class balance, and the labeled votes on valid (None without votes or gold there). Only a
        model that uses gold labels is given them.

    Raises:
        ProgramsError: There are fewer programs than the model needs.

    """
    labeled = None if valid is None or gold is None else LabeledVotes(matrix=valid, gold=gold)
    balance = model.class_balance(train, gold)
    with naming_plugin(model, "fit"):
        fitted = model.fit(train, balance, labeled if model.uses_gold else None)
        if not isinstance(fitted, LabelModel):
            raise TypeError(f"expected a label model, not {type(fitted).__name__}")
    return fitted, balance, labeled


def predict_labels(model: LabelModel, matrix: LabelMatrix) -> SoftLabels:
    """Return the soft labels of a fitted label model, checked against the votes.

    The model predicts `_CHUNK_ROWS` rows at once, so that its memory does not grow with the number of rows.

    Args:
        model: The fitted label model.
        matrix: The votes.

    Returns:
        The labels.

    Raises:
        ConfigError: The label model is a plugin and its labels do not fit the votes.

    """
    with naming_plugin(model, "predict_proba"):
        parts = []
        for start in range(0, max(len(matrix.votes), 1), _CHUNK_ROWS):
            votes = matrix.votes[start : start + _CHUNK_ROWS]
            parts.append(model.predict_proba(replace(matrix, votes=votes)))
            if not isinstance(parts[-1], SoftLabels):
                raise TypeError(f"expected SoftLabels, not {type(parts[-1]).__name__}")
        labels = parts[0]
        if len(parts) > 1:
            labels = replace(
                labels,
                probs=np.concatenate([part.probs for part in parts]),
                covered=np.concatenate([part.covered for part in parts]),
            )
        expected = (len(matrix.votes), matrix.n_classes)
        if labels.probs.shape != expected:
            raise ValueError(f"probs has shape {labels.probs.shape}; expected {expected}")
        if n_rows := int((labels.covered & ~matrix.covered).sum()):
            raise ValueError(f"{n_rows} rows without a vote are covered; such rows have no label")
    return labels
