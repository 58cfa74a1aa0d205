"""The interface of end models: they learn soft labels from features once per seed, and predict with every seed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import AlchemistError, ConfigError, DataError
from alchemist_exp.core.label_sets import SetLabels
from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels, read_only


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationData:
    """Rows with gold labels that decide when to stop training, and that calibrate the model if it is configured.

    Attributes:
        features: float32 array of shape (n_rows, n_features).
        gold: int64 array of shape (n_rows,), each a class in 0..n_classes-1, or with `multi_label` a mask of classes.
        n_classes: How many classes there are.
        positive: The class whose binary F1 is the score; None for accuracy.
        macro: Whether the score is macro-F1. Class offsets are then chosen on these rows.
        multi_label: Whether several classes may hold for a row; the score is then the macro-F1 over the classes.

    Raises:
        DataError: There are no rows.
        ValueError: The shapes do not match, or a class is out of range.

    """

    features: FloatArray
    gold: IntArray
    n_classes: int
    positive: int | None
    macro: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Check the values and make the gold labels read-only."""
        gold = read_only(self.gold, np.int64)
        if self.features.ndim != 2 or gold.shape != self.features.shape[:1]:
            raise ValueError(
                f"features {self.features.shape} and gold {gold.shape} do not match; "
                "expected (n_rows, n_features) and (n_rows,)"
            )
        if not len(gold):
            raise DataError("the validation split has no rows for early stopping; give it some, or set gold=none.")
        highest = (1 << self.n_classes if self.multi_label else self.n_classes) - 1
        if not 0 <= gold.min() <= gold.max() <= highest:
            raise ValueError(f"gold labels are in {gold.min()}..{gold.max()}; expected 0..{highest}")
        if self.positive is not None and not 0 <= self.positive < self.n_classes:
            raise ValueError(f"the positive class is {self.positive}; expected 0..{self.n_classes - 1}")
        object.__setattr__(self, "gold", gold)


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """The training of one seed, one value per epoch until the seed stopped.

    Attributes:
        seed: The seed.
        train_loss: Mean cross-entropy in nats over the epoch's rows, measured while the weights change.
        valid_score: Validation score in 0..1 after the epoch.
        best_epoch: The first epoch with the highest score, counted from 0; its weights are kept.

    """

    seed: int
    train_loss: tuple[float, ...]
    valid_score: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A fully connected layer of all seeds; ReLU is between layers.

    Attributes:
        weights: float32 array of shape (n_seeds, fan_in, fan_out).
        biases: float32 array of shape (n_seeds, 1, fan_out).

    """

    weights: FloatArray
    biases: FloatArray


class FittedEndModel(ABC):
    """One trained model per seed; `EndModel` has an example.

    Attributes:
        curves: One per seed, in the order of the seeds passed to `EndModel.fit`.
        device: Where it computes ("cpu", "cuda:0").
        temperature: What logits were divided by to calibrate the model on gold labels; None if it was not calibrated.
        class_offsets: By seed, what was added to the logit of each class for a better macro-F1 on gold labels; None if
            the score was another one.

    """

    curves: tuple[TrainingCurve, ...]
    device: str
    temperature: float | None = None
    class_offsets: tuple[tuple[float, ...], ...] | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order of the first axis of `predict_proba`."""
        return tuple(curve.seed for curve in self.curves)

    @property
    def best_epoch(self) -> tuple[int, ...]:
        """The epoch of each seed, counted from 0, whose weights were kept."""
        return tuple(curve.best_epoch for curve in self.curves)

    @abstractmethod
    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Return the class probabilities of each seed.

        Args:
            features: float32 array of shape (n_rows, n_features).

        Returns:
            Read-only float32 array of shape (n_seeds, n_rows, n_classes); sums to 1 over the classes, unless the model
            was fitted on `SetLabels`, whose classes are independent.

        """

    def layers(self) -> Sequence["Layer"]:
        """Return the fully connected layers of all seeds, from the features to the logits, for `alchemist export`.

        Raises:
            ConfigError: The model does not consist of such layers.

        """
        raise ConfigError(f"{type(self).__name__} does not define its layers, so its weights cannot be exported.")

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write weights and curves.

        Args:
            directory: An existing directory. No file in it may be able to run code when it is loaded.

        """


@dataclass(kw_only=True)
class EndModel(Component, ABC):
    """Base class of the `end_model` group: distils soft labels into a model of features.

    Example:
        A model that predicts the mean of the soft labels for every row:

        >>> class FittedMean(FittedEndModel):
        ...     def __init__(self, mean, seeds):
        ...         self.mean, self.device = mean, "cpu"
        ...         self.curves = tuple(
        ...             TrainingCurve(seed=seed, train_loss=(0.0,), valid_score=(0.0,), best_epoch=0) for seed in seeds
        ...         )
        ...
        ...     def predict_proba(self, features):
        ...         return np.tile(self.mean, (len(self.seeds), len(features), 1))
        ...
        ...     def save(self, directory):
        ...         np.save(directory / "mean.npy", self.mean)
        >>> class Mean(EndModel):
        ...     def fit(self, features, labels, *, seeds, validation, on_epoch=None):
        ...         return FittedMean(labels.probs[covered_rows(features, labels)].mean(axis=0), seeds)
        ...
        ...     def load(self, directory):
        ...         return FittedMean(np.load(directory / "mean.npy"), [0])
        >>> labels = SoftLabels(probs=np.array([[1, 0], [0.5, 0.5], [0, 0]]), covered=np.array([True, True, False]))
        >>> features = np.zeros((3, 4), dtype=np.float32)
        >>> model = Mean(name="mean").fit(features, labels, seeds=[0, 1], validation=None)
        >>> print(model.predict_proba(features[:1]))
        [[[0.75 0.25]]
        <BLANKLINE>
         [[0.75 0.25]]]

    """

    trains: ClassVar[bool] = True
    """Whether there is a model at all."""
    supports_multi_label: ClassVar[bool] = False
    """Whether `fit` also takes `SetLabels`, the labels of a dataset with multi_label=true."""

    @abstractmethod
    def fit(
        self,
        features: FloatArray,
        labels: SoftLabels,
        *,
        seeds: Sequence[int],
        validation: ValidationData | None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> FittedEndModel:
        """Distil the soft labels of the covered rows, once per seed.

        Args:
            features: float32 array of shape (n_rows, n_features), a row for each row of `labels`.
            labels: Soft labels of shape (n_rows, n_classes).
            seeds: A model is trained with each. Its result depends on that seed alone, not on the others.
            validation: Rows with gold that decide when to stop. None holds out covered rows and uses their most
                probable classes, so that no gold is used.
            on_epoch: Called with 0, 1, ... after each epoch.

        Returns:
            The trained models.

        Raises:
            AlchemistError: No row is covered.
            ValueError: The arguments do not match, or a feature is not finite.

        """

    @abstractmethod
    def load(self, directory: Path) -> FittedEndModel:
        """Read what `FittedEndModel.save` wrote.

        Args:
            directory: The directory that was passed to `save`.

        Returns:
            The trained models, with the same predictions.

        Raises:
            StoreError: A file is missing or broken.

        """


def covered_rows(features: FloatArray, labels: SoftLabels) -> IntArray:
    """Return the rows to learn from, after checking the features.

    Args:
        features: float32 array of shape (n_rows, n_features).
        labels: Soft labels of shape (n_rows, n_classes).

    Returns:
        int64 array of shape (n_covered,): indices of the covered rows, ascending.

    Raises:
        AlchemistError: No row is covered.
        ValueError: The number of rows differs, or a feature is not finite.

    """
    if features.ndim != 2 or len(features) != len(labels.probs):
        raise ValueError(
            f"features {features.shape} and probs {labels.probs.shape} do not match; "
            "expected (n_rows, n_features) and (n_rows, n_classes)"
        )
    if not np.isfinite(features).all():
        raise ValueError("features are not finite")
    rows = np.flatnonzero(labels.covered).astype(np.int64)
    if not len(rows):
        raise AlchemistError(
            "no training row has a label, so there is nothing to distil; see in the record why programs abstained or "
            "failed, or generate more programs."
        )
    return rows


def hold_out(
    features: FloatArray, labels: SoftLabels, *, share: float, rng: np.random.Generator
) -> tuple[IntArray, ValidationData]:
    """Split the covered rows at random into rows to learn from and rows for early stopping.

    Args:
        features: float32 array of shape (n_rows, n_features).
        labels: Soft labels of shape (n_rows, n_classes).
        share: Share of the covered rows that is held out, at least one row. A single covered row is used for both.
        rng: Source of the random order.

    Returns:
        The indices to learn from, and validation data with the most probable classes in place of gold labels.

    Raises:
        AlchemistError: No row is covered.

    """
    rows = rng.permutation(covered_rows(features, labels))
    # At least one row on each side.
    n_held_out = max(1, min(round(share * len(rows)), len(rows) - 1))
    held_out = rows[:n_held_out]
    train = rows[n_held_out:] if len(rows) > 1 else rows
    classes = labels.hard()[held_out]
    validation = ValidationData(
        features=features[held_out],
        gold=classes,
        n_classes=labels.probs.shape[1],
        positive=None,
        multi_label=isinstance(labels, SetLabels),
    )
    return train, validation
