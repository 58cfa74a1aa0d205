"""What an end model is: it learns soft labels from features, once per seed, and answers with all of its seeds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import AlchemistError, DataError
from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels, read_only


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationData:
    """Rows with gold labels that say when to stop; the gold labels serve for nothing else.

    features: float32 (n, d). gold: int64 (n,), each in 0..n_classes-1. positive: the class whose binary F1 is the
    score, None for accuracy.
    """

    features: FloatArray
    gold: IntArray
    n_classes: int
    positive: int | None

    def __post_init__(self) -> None:
        gold = read_only(self.gold, np.int64)
        if self.features.ndim != 2 or gold.shape != self.features.shape[:1]:
            raise ValueError(
                f"features {self.features.shape} and gold {gold.shape} do not fit; (n, d), (n,) are needed"
            )
        if not len(gold):
            raise DataError("the validation split has no rows to stop training by; give it some, or set gold=none.")
        if not 0 <= gold.min() <= gold.max() < self.n_classes:
            raise ValueError(f"gold lies in {gold.min()}..{gold.max()}; 0..{self.n_classes - 1} is allowed")
        if self.positive is not None and not 0 <= self.positive < self.n_classes:
            raise ValueError(f"the positive class is {self.positive}; 0..{self.n_classes - 1} is allowed")
        object.__setattr__(self, "gold", gold)


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """How one seed's training went, epoch by epoch until it stopped.

    train_loss: mean cross-entropy in nats over the epoch's rows, weights moving meanwhile. valid_score: 0..1 after
    the epoch. best_epoch: from 0; the first with the highest score, whose weights were kept.
    """

    seed: int
    train_loss: tuple[float, ...]
    valid_score: tuple[float, ...]
    best_epoch: int


class FittedEndModel(ABC):
    """One trained model per seed.

    curves: one per seed, in the order of the seeds asked for. device: where it computes ("cpu", "cuda:0").
    """

    curves: tuple[TrainingCurve, ...]
    device: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order of the first axis of `predict_proba`."""
        return tuple(curve.seed for curve in self.curves)

    @property
    def best_epoch(self) -> tuple[int, ...]:
        """Each seed's epoch, from 0, whose weights were kept."""
        return tuple(curve.best_epoch for curve in self.curves)

    @abstractmethod
    def predict_proba(self, features: FloatArray) -> FloatArray:
        """float32 (seeds, n, k), read-only; sums to 1 over the classes."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes weights and curves into `folder`; nothing in it runs code when it is read."""


@dataclass(kw_only=True)
class EndModel(Component, ABC):
    """An end_model group member."""

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
        """Distils the soft labels of the covered rows, once per seed.

        features: (n, d), a row for each row of `labels`. A seed's result depends on its value alone, not on the other
        seeds. validation: when to stop; None holds covered rows out and stops by their pseudo-labels, without gold.
        on_epoch: called with 0, 1, ... after each epoch. AlchemistError when no row is covered.
        """

    @abstractmethod
    def load(self, folder: Path) -> FittedEndModel:
        """What `FittedEndModel.save` wrote. StoreError when it is absent or broken."""


def covered_rows(features: FloatArray, labels: SoftLabels) -> IntArray:
    """int64 (c,): the rows to learn from. AlchemistError when there is none, ValueError when the arguments clash."""
    if features.ndim != 2 or len(features) != len(labels.probs):
        raise ValueError(
            f"features {features.shape} and probs {labels.probs.shape} do not fit; (n, d), (n, k) are needed"
        )
    if not np.isfinite(features).all():
        raise ValueError("features are not finite")
    rows = np.flatnonzero(labels.covered).astype(np.int64)
    if not len(rows):
        raise AlchemistError(
            "no training row has a label, so there is nothing to distil; see in the record why programs abstained or "
            "failed, or ask for more of them."
        )
    return rows


def hold_out(
    features: FloatArray, labels: SoftLabels, *, share: float, rng: np.random.Generator
) -> tuple[IntArray, ValidationData]:
    """Splits the covered rows: those to learn from, and `share` of them, at least one, to stop by.

    The likeliest class stands in for gold. A single covered row does both.
    """
    rows = rng.permutation(covered_rows(features, labels))
    held = max(1, min(round(share * len(rows)), len(rows) - 1))
    exam = rows[:held]
    learnt = rows[held:] if len(rows) > 1 else rows
    gold = labels.probs[exam].argmax(axis=1)
    return learnt, ValidationData(features=features[exam], gold=gold, n_classes=labels.probs.shape[1], positive=None)
