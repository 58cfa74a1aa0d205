"""The paper's end model: a small multilayer perceptron (Section 4.1). torch is imported only by `fit` and `load`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.label_sets import SetLabels
from alchemist_exp.core.types import FloatArray, SoftLabels
from alchemist_exp.end_model.base import EndModel, FittedEndModel, ValidationData, covered_rows, hold_out
from alchemist_exp.end_model.settings import Device, TrainingSettings

# A larger value is a typing error, and would fail only during the run, when memory runs out.
_MAX_WIDTH, _MAX_COUNT = 100_000, 10**9

_MANY_ROWS, _MAX_STEPS = 32_768, 256
"""With more covered rows, the batches grow. On 50,000 comments, batches of 256 took 28 s of CPU and batches of 64 63 s,
and the mean accuracy on the 250 rows of test was .943 and .930."""


@component("end_model", "mlp")
@dataclass(kw_only=True)
class Mlp(EndModel):
    """Fully connected layers with ReLU between them and no normalisation, trained with soft-label cross-entropy.

    Where several classes may hold for a row, each output is a sigmoid, trained with binary cross-entropy.

    Attributes:
        hidden: Width of each hidden layer; empty for logistic regression.
        learning_rate: Step size of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        batch_size: Rows per step; more with over 32,768 covered rows, so that an epoch has at most 256 steps.
        max_epochs: Maximum number of epochs.
        patience: A seed stops after this many epochs without a better validation score.
        holdout: Share of the covered rows that decides when to stop, when no validation data is given.
        device: Where to train.
        calibrate: Divide the logits by a temperature that is fitted on the gold labels of valid.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
        >>> classes = (features[:, 0] > 0).astype(int)
        >>> labels = SoftLabels(probs=np.eye(2)[classes], covered=np.ones(200, dtype=bool))
        >>> mlp = Mlp(
        ...     hidden=[8], learning_rate=0.01, weight_decay=0.0, batch_size=32, max_epochs=20, patience=5,
        ...     holdout=0.1, device=Device.cpu,
        ... )
        >>> probs = mlp.fit(features, labels, seeds=[0, 1, 2], validation=None).predict_proba(features)
        >>> probs.shape
        (3, 200, 2)
        >>> bool(((probs.argmax(axis=2) == classes).mean(axis=1) > 0.9).all())
        True

    """

    supports_multi_label = True

    hidden: list[int] = MISSING
    learning_rate: float = MISSING
    weight_decay: float = MISSING
    batch_size: int = MISSING
    max_epochs: int = MISSING
    patience: int = MISSING
    holdout: float = MISSING
    device: Device = MISSING
    calibrate: bool = False

    def cache_key(self) -> dict[str, object]:
        """Return the values that alter the model; keys of uncalibrated models are those of earlier versions."""
        return {name: value for name, value in super().cache_key().items() if name != "calibrate" or value}

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range, and for CUDA where there is none."""
        if wrong := [width for width in self.hidden if not 1 <= width <= _MAX_WIDTH]:
            raise ConfigError(
                f"end_model.hidden has a layer of {wrong[0]}; expected whole numbers from 1 to {_MAX_WIDTH}."
            )
        for key in ("batch_size", "max_epochs", "patience"):
            if not 1 <= getattr(self, key) <= _MAX_COUNT:
                raise ConfigError(
                    f"end_model.{key} is {getattr(self, key)}; expected a whole number from 1 to {_MAX_COUNT}."
                )
        if not 0 < self.learning_rate < np.inf:
            raise ConfigError(f"end_model.learning_rate is {self.learning_rate}; expected a number above 0.")
        if not 0 <= self.weight_decay < np.inf:
            raise ConfigError(f"end_model.weight_decay is {self.weight_decay}; expected 0 or more.")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"end_model.holdout is {self.holdout}; expected a share between 0 and 1, such as 0.1.")
        if self.device is Device.cuda:
            # Checked here, so that a run stops before it spends anything. Only this value needs to import torch.
            import torch

            if not torch.cuda.is_available():
                raise ConfigError(
                    "end_model.device=cuda, but no CUDA device is available; use end_model.device=auto or cpu."
                )

    def fit(
        self,
        features: FloatArray,
        labels: SoftLabels,
        *,
        seeds: Sequence[int],
        validation: ValidationData | None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> FittedEndModel:
        """Train all seeds in one fit.

        Args:
            features: See `EndModel.fit`.
            labels: See `EndModel.fit`.
            seeds: See `EndModel.fit`.
            validation: See `EndModel.fit`.
            on_epoch: See `EndModel.fit`.

        Returns:
            The trained networks, with each seed's best weights.

        Raises:
            AlchemistError: No row is covered, or the training of a seed diverged.
            ValueError: The arguments do not match, or a feature is not finite.

        """
        rows = covered_rows(features, labels)
        has_gold = validation is not None
        if validation is None:
            # The same rows for every seed: the spread over seeds then measures the training alone.
            rows, validation = hold_out(features, labels, share=self.holdout, rng=np.random.default_rng(0))
        if not seeds:
            raise ValueError("no seed to fit; at least one is needed")
        if validation.features.shape[1] != features.shape[1] or validation.n_classes != labels.probs.shape[1]:
            raise ValueError(
                f"validation has {validation.features.shape[1]} features and {validation.n_classes} classes; "
                f"the training rows have {features.shape[1]} and {labels.probs.shape[1]}"
            )
        from alchemist_exp.end_model.training import train

        n_rows, batch_size = len(rows), self.batch_size
        if n_rows > _MANY_ROWS:  # larger batches, so that an epoch has at most _MAX_STEPS steps
            batch_size = max(batch_size, math.ceil(n_rows / _MAX_STEPS))
        settings = TrainingSettings(
            hidden=tuple(self.hidden),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=batch_size,
            max_epochs=self.max_epochs,
            patience=self.patience,
            device=self.device,
            multi_label=isinstance(labels, SetLabels),
        )
        fitted = train(settings, features[rows], labels.probs[rows], tuple(seeds), validation, on_epoch)
        if self.calibrate and has_gold:
            fitted.calibrate(validation.features, validation.gold)
        if validation.macro:
            fitted.add_class_offsets(validation.features, validation.gold)
        return fitted

    def load(self, directory: Path) -> FittedEndModel:
        """Read what `FittedEndModel.save` wrote, onto this configuration's device.

        Args:
            directory: The directory that was passed to `save`.

        Returns:
            The trained networks.

        Raises:
            StoreError: A file is missing, broken or of another version.

        """
        from alchemist_exp.end_model.network import load_mlp_ensemble

        return load_mlp_ensemble(directory, self.device)
