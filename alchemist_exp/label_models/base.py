"""The interface of label models, and estimates of the class balance they are given.

Every model masks uncovered rows: a row without a vote gets no label, never the prior.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.component import Component
from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.errors import ConfigError, ProgramsError
from alchemist_exp.core.npy import read_npy
from alchemist_exp.core.types import IntArray, LabelMatrix, SoftLabels, read_only
from alchemist_exp.label_models.posterior import AdditivePosterior

ClassBalance = npt.NDArray[np.float64]
"""float64 array of shape (n_classes,): the frequency of each class; positive, sums to 1."""


_CONVERGENCE = "convergence_"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledVotes:
    """Votes on validation rows together with their gold labels.

    Attributes:
        matrix: The votes, of shape (n_rows, n_programs).
        gold: int64 array of shape (n_rows,), each a class in 0..n_classes-1.

    Raises:
        ValueError: The number of rows differs.

    """

    matrix: LabelMatrix
    gold: IntArray

    def __post_init__(self) -> None:
        """Check the shapes and make the gold labels read-only."""
        gold = read_only(self.gold, np.int64)
        if gold.shape != self.matrix.votes.shape[:1]:
            raise ValueError(
                f"votes {self.matrix.votes.shape} and gold {gold.shape} do not match; "
                "expected (n_rows, n_programs) and (n_rows,)"
            )
        object.__setattr__(self, "gold", gold)


@dataclass(kw_only=True)
class LabelModel(Component, ABC):
    """Base class of the `label_model` group: aggregates votes to soft labels.

    Attributes:
        uses_gold: Whether `fit` uses `labeled`. A model that does not is never given it.
        min_programs: `fit` refuses votes of fewer programs.

    Example:
        A model that labels each row with the first vote on it:

        >>> import numpy as np
        >>> class FirstVote(LabelModel):
        ...     def fit(self, matrix, class_balance, labeled=None):
        ...         return self
        ...
        ...     def predict_proba(self, matrix):
        ...         first = np.argmax(matrix.votes != -1, axis=1)
        ...         votes = np.take_along_axis(matrix.votes, first[:, np.newaxis], axis=1)
        ...         return SoftLabels(probs=np.eye(matrix.n_classes)[votes[:, 0]], covered=matrix.covered)
        >>> votes = np.array([[1, -1], [-1, 0], [-1, -1]], dtype=np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> model = FirstVote(name="first_vote").fit(matrix, class_balance_from_votes(matrix))
        >>> model.predict_proba(matrix).hard().tolist()
        [1, 0, -1]

    """

    uses_gold: ClassVar[bool] = False
    min_programs: ClassVar[int] = 1

    @abstractmethod
    def fit(self, matrix: LabelMatrix, class_balance: ClassBalance, labeled: LabeledVotes | None = None) -> Self:
        """Learn from the votes on the training split.

        Args:
            matrix: Votes of shape (n_rows, n_programs).
            class_balance: float64 array of shape (n_classes,); see `class_balance_from_gold` and
                `class_balance_from_votes`.
            labeled: Votes of the same programs on the validation split with its gold labels. None when these may not
                be used or no program votes there.

        Returns:
            The model itself, fitted.

        Raises:
            ProgramsError: There are too few programs, or votes that the model needs are missing.

        """

    @abstractmethod
    def predict_proba(self, matrix: LabelMatrix) -> SoftLabels:
        """Return class probabilities of rows of any split.

        Args:
            matrix: Votes of the programs that the model was fitted on, in the same order.

        Returns:
            Soft labels of shape (n_rows, n_classes); rows without a vote are uncovered.

        """

    def class_balance(self, train: LabelMatrix, gold: IntArray | None) -> ClassBalance:
        """Return the class balance that `fit` is given.

        Args:
            train: The votes on train.
            gold: int64 array of shape (n_labeled_rows,), gold labels of other rows; None estimates it from the votes.

        Returns:
            float64 array of shape (n_classes,), each above 0.

        """
        return class_balance_from_votes(train) if gold is None else class_balance_from_gold(gold, train.n_classes)

    def parameter_shapes(self, n_programs: int, n_classes: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each float64 array that `fit` learns, by the name of the attribute that holds it.

        A model overrides this if `fit` learns something. `save` and `load` then need no code of the model.

        Args:
            n_programs: The number of programs.
            n_classes: The number of classes.

        Returns:
            Nothing by default: a model of which nothing is fitted.

        """
        return {}

    @property
    def convergence(self) -> Convergence | None:
        """How the fit ended, which an iterative model stores as `convergence_`; None for others and loaded models."""
        found: Convergence | None = vars(self).get(_CONVERGENCE)
        return found

    def unsaved_attributes(self) -> list[str]:
        """Return the attributes that are neither values of the configuration nor in `parameter_shapes`."""
        known = {f.name for f in fields(self)} | {*self.parameter_shapes(1, 2), _CONVERGENCE}
        return sorted(name for name in vars(self) if name not in known)

    def save(self, directory: Path) -> None:
        """Write what `fit` has learned, one .npy file for each array.

        Args:
            directory: Where the files are written.

        Raises:
            ConfigError: The model has attributes that `parameter_shapes` does not name, so they would be lost.
            RuntimeError: The model is not fitted.

        """
        if unsaved := self.unsaved_attributes():
            raise ConfigError(
                f"label_model={self.name} cannot be saved: {', '.join(unsaved)} is not in its parameter_shapes."
            )
        for name in self.parameter_shapes(1, 2):
            if not hasattr(self, name):
                raise RuntimeError("the label model has not been fitted; call fit() or load() first")
            # Without pickle, so that to load a model of someone else cannot run code.
            raw = io.BytesIO()
            np.save(raw, np.ascontiguousarray(getattr(self, name), np.float64), allow_pickle=False)
            write_bytes(directory / f"{name}.npy", raw.getvalue())

    def load(self, directory: Path, *, n_programs: int, n_classes: int) -> Self:
        """Restore what `save` wrote; the labels are then equal.

        Args:
            directory: Where `save` wrote the files.
            n_programs: The number of programs that the model was fitted on.
            n_classes: The number of classes.

        Returns:
            The model itself, fitted.

        Raises:
            StoreError: A file is missing or broken, has another shape, or has a value that is not finite.

        """
        for name, shape in self.parameter_shapes(n_programs, n_classes).items():
            setattr(self, name, read_npy(directory / f"{name}.npy", shape))
        return self

    def posterior(self, n_programs: int, n_classes: int) -> AdditivePosterior:
        """Return the fitted posterior in a form that Python without packages can compute, for `alchemist export`.

        A model overrides this if its posterior has such a form. The labels are those of `predict_proba`.

        Args:
            n_programs: The number of programs that the model was fitted on.
            n_classes: The number of classes.

        Returns:
            What each outcome of each program adds to the score of each class.

        Raises:
            ConfigError: The model has no such form.

        """
        raise ConfigError(
            f"label_model={self.name} does not define its posterior for Python without packages; use a label model of "
            "this package, or override LabelModel.posterior."
        )

    def require_programs(self, matrix: LabelMatrix) -> None:
        """Check that there are as many programs as the model needs.

        Args:
            matrix: The votes that are to be fitted.

        Raises:
            ProgramsError: There are fewer than `min_programs`.

        """
        programs = matrix.votes.shape[1]
        if programs < self.min_programs:
            raise ProgramsError(
                f"label_model={self.name} needs {self.min_programs} accepted programs, but there are {programs}; "
                "generate more programs, or use label_model=majority."
            )


def class_balance_from_gold(gold: IntArray, n_classes: int) -> ClassBalance:
    """Estimate the class balance from gold labels.

    Args:
        gold: int64 array of shape (n_rows,), each a class in 0..n_classes-1.
        n_classes: How many classes there are.

    Returns:
        Frequencies with one pseudo-row per class (Laplace smoothing), so that no class gets probability 0.

    """
    counts = np.bincount(gold, minlength=n_classes) + 1.0
    balance: ClassBalance = counts / counts.sum()
    return balance


def class_balance_from_votes(matrix: LabelMatrix) -> ClassBalance:
    """Estimate the class balance without gold: the mean share of each class among a row's votes.

    This is the belief of the majority vote, and it has the bias of the programs: with the recorded general prompt the
    positive class of yelp gets .62 (gold .50), neutral of finance .80 (.59), spam of sms .12 (.13).

    Args:
        matrix: Votes of shape (n_rows, n_programs); uncovered rows do not count.

    Returns:
        Frequencies with one pseudo-row per class, so that no class gets probability 0.

    """
    counts = matrix.counts()[matrix.covered]
    shares = counts / counts.sum(axis=1, keepdims=True)
    mass = shares.sum(axis=0) + 1.0
    balance: ClassBalance = mass / mass.sum()
    return balance


def labels_from_weights(weights: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> SoftLabels:
    """Scale the class weights of each row to probabilities.

    Args:
        weights: Non-negative array of shape (n_rows, n_classes); the sum of a covered row is positive.
        covered: Boolean array of shape (n_rows,).

    Returns:
        Soft labels of the same shape.

    """
    total = weights.sum(axis=1, keepdims=True)
    probs = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return SoftLabels(probs=probs.astype(np.float32), covered=covered)


def labels_from_log_weights(scores: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]) -> SoftLabels:
    """Turn the logarithms of class weights into probabilities (softmax).

    Args:
        scores: Finite array of shape (n_rows, n_classes); values of any size, since each row's maximum is subtracted.
        covered: Boolean array of shape (n_rows,).

    Returns:
        Soft labels of the same shape.

    """
    return labels_from_weights(np.exp(scores - scores.max(axis=1, keepdims=True)), covered)
