"""Values that the MLP's component passes to its network and its training; importable without torch."""

from dataclasses import dataclass
from enum import StrEnum


class Device(StrEnum):
    """Where an end model computes.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    auto = "auto"  # the first visible CUDA device, else the CPU
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How one MLP per seed is trained; the values of `end_model.mlp.Mlp` that alter the training.

    Attributes:
        hidden: Width of each hidden layer.
        learning_rate: Step size of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        batch_size: Rows per step.
        max_epochs: Maximum number of epochs.
        patience: A seed stops after this many epochs without a better validation score.
        device: Where to train.
        multi_label: Whether several classes may hold for a row.

    """

    hidden: tuple[int, ...]
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    device: Device
    multi_label: bool = False
