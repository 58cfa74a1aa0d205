"""The paper's end model: a small multilayer perceptron (Section 4.1). Light to import; torch waits until `fit`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray, SoftLabels
from alchemist_exp.end_model.base import EndModel, FittedEndModel, ValidationData, covered_rows, hold_out

_WIDEST, _MOST = 100_000, 10**9
"""Beyond these a value is a slip, and would only fail late, for memory."""


class Device(StrEnum):
    """Where to train: `auto` takes CUDA when there is one.

    Members are in lower case because a configuration names them, and OmegaConf goes by the member's name.
    """

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@component("end_model", "mlp")
@dataclass(kw_only=True)
class Mlp(EndModel):
    """Fully connected layers with ReLU between and no normalisation, on soft-label cross-entropy."""

    hidden: list[int] = MISSING
    learning_rate: float = MISSING
    weight_decay: float = MISSING
    batch_size: int = MISSING
    max_epochs: int = MISSING
    patience: int = MISSING
    holdout: float = MISSING
    device: Device = MISSING

    def __post_init__(self) -> None:
        wrong = [width for width in self.hidden if not 1 <= width <= _WIDEST]
        if wrong:
            raise ConfigError(
                f"end_model.hidden has a layer of {wrong[0]}; whole numbers from 1 to {_WIDEST} are needed."
            )
        for key in ("batch_size", "max_epochs", "patience"):
            if not 1 <= getattr(self, key) <= _MOST:
                raise ConfigError(
                    f"end_model.{key} is {getattr(self, key)}; a whole number from 1 to {_MOST} is needed."
                )
        if not 0 < self.learning_rate < np.inf:
            raise ConfigError(f"end_model.learning_rate is {self.learning_rate}; a number above 0 is needed.")
        if not 0 <= self.weight_decay < np.inf:
            raise ConfigError(f"end_model.weight_decay is {self.weight_decay}; 0 or a number above it is needed.")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"end_model.holdout is {self.holdout}; a share between 0 and 1 is needed, such as 0.1.")
        if self.device is Device.cuda:
            _refuse_absent_cuda()

    def fit(
        self,
        features: FloatArray,
        labels: SoftLabels,
        *,
        seeds: Sequence[int],
        validation: ValidationData | None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> FittedEndModel:
        """Trains all seeds at once; see `EndModel.fit`. AlchemistError also when a seed's training diverges."""
        rows = covered_rows(features, labels)
        if validation is None:
            # The same rows for every seed: seeds differ by what they make of the rows.
            rows, validation = hold_out(features, labels, share=self.holdout, rng=np.random.default_rng(0))
        if not seeds:
            raise ValueError("no seed to fit; at least one is needed")
        if validation.features.shape[1] != features.shape[1] or validation.n_classes != labels.probs.shape[1]:
            raise ValueError(
                f"validation has {validation.features.shape[1]} features and {validation.n_classes} classes; "
                f"the training rows have {features.shape[1]} and {labels.probs.shape[1]}"
            )
        from alchemist_exp.end_model.training import train

        return train(self, features[rows], labels.probs[rows], tuple(seeds), validation, on_epoch)

    def load(self, folder: Path) -> FittedEndModel:
        """What `FittedEndModel.save` wrote, on this configuration's device."""
        from alchemist_exp.end_model.network import load_stacked_mlp

        return load_stacked_mlp(folder, self.device)


def _refuse_absent_cuda() -> None:
    """Stops a run that could not train before it spends anything."""
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("end_model.device is cuda, and none is to be seen here; use end_model.device=auto or cpu.")
