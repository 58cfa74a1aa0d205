"""What label models that learn from gold labels share: their checks, and labels of rows that the fit has not seen."""

from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import ClassBalance, LabeledVotes, LabelModel

N_FOLDS: Final = 5
"""Parts of the labeled rows; the labels of each part are predicted by a model that is fitted on the others."""

_ALTERNATIVE: Final = "or use a label model that needs no gold labels, such as label_model=dawid_skene"


@dataclass(kw_only=True)
class GoldLabelModel(LabelModel):
    """A label model that learns from the gold labels of valid.

    Attributes:
        use_valid: Whether the gold labels of valid may be used.

    """

    uses_gold: ClassVar[bool] = True
    use_valid: bool = MISSING

    def check(self) -> None:
        """Check that the gold labels of valid may be used.

        Raises:
            ConfigError: They may not.

        """
        if not self.use_valid:
            raise ConfigError(
                f"label_model={self.name} learns from the validation labels, which gold=none excludes; use gold=valid, "
                f"{_ALTERNATIVE}."
            )


def require_labeled(model: LabelModel, labeled: LabeledVotes | None) -> LabeledVotes:
    """Return the labeled votes, or raise an error where there are none.

    Args:
        model: The label model that needs them.
        labeled: Votes and gold labels of the validation split; None without them.

    Returns:
        `labeled`.

    Raises:
        ProgramsError: `labeled` is None or contains no vote.

    """
    if labeled is None or not labeled.matrix.covered.any():
        raise ProgramsError(
            f"label_model={model.name} needs votes on labeled validation rows, but there are none; give the dataset a "
            f"labeled valid split that programs vote on, {_ALTERNATIVE}."
        )
    return labeled


def out_of_fold_labels(
    model: LabelModel, train: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes
) -> SoftLabels:
    """Label the rows of valid by models that were not fitted on them, so that scores on valid are honest.

    The rows are divided into `N_FOLDS` parts with equal shares of each class, the same ones each time.

    Args:
        model: A label model that uses gold labels; it is not changed.
        train: The votes on train.
        class_balance: float64 array of shape (n_classes,).
        labeled: The votes on valid with its gold labels.

    Returns:
        Soft labels of the rows of `labeled`. Rows without a vote have no label, nor have those of a part when no other
        part has a vote.

    Example:
        >>> from alchemist_exp import load_component
        >>> votes = LabelMatrix(votes=np.array([[0, 1], [1, 1]] * 20, dtype=np.int8), n_classes=2)
        >>> labeled = LabeledVotes(matrix=votes, gold=np.array([0, 1] * 20))
        >>> model = load_component("label_model=accuracy_weighted")
        >>> out_of_fold_labels(model, votes, np.array([0.5, 0.5]), labeled).hard()[:4].tolist()
        [0, 1, 0, 1]

    """
    matrix, gold = labeled.matrix, labeled.gold
    probs = np.zeros((len(gold), matrix.n_classes), np.float32)
    covered = np.zeros(len(gold), np.bool_)
    # The rows of each class, in random order, are dealt out to the parts.
    order = np.random.default_rng(0).permutation(len(gold))
    order = order[np.argsort(gold[order], kind="stable")]
    folds = np.empty(len(gold), np.int64)
    folds[order] = np.arange(len(gold)) % N_FOLDS
    for fold in range(N_FOLDS):
        held_out, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        rest = LabeledVotes(matrix=matrix.select(others), gold=gold[others])
        if len(held_out) and rest.matrix.covered.any():
            labels = copy(model).fit(train, class_balance, rest).predict_proba(matrix.select(held_out))
            probs[held_out], covered[held_out] = labels.probs, labels.covered
    return SoftLabels(probs=probs, covered=covered)


def log_loss(labels: SoftLabels, gold: IntArray) -> float:
    """Return the mean negative log probability of the gold labels, in nats, over the covered rows.

    Args:
        labels: Soft labels of shape (n_rows, n_classes).
        gold: int64 array of shape (n_rows,).

    Returns:
        The loss, 0 without a covered row. A probability below 1e-6 counts as that, because float32 labels may be 0.

    Example:
        >>> labels = SoftLabels(probs=np.array([[0.5, 0.5], [0.5, 0.5]]), covered=np.array([True, False]))
        >>> round(log_loss(labels, np.array([0, 1])), 3)
        0.693

    """
    of_gold = labels.probs[labels.covered, gold[labels.covered]]
    return float(-np.log(np.maximum(of_gold, 1e-6)).mean()) if len(of_gold) else 0.0
