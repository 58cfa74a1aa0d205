"""Trains the MLPs of all seeds in one Lightning fit.

The seeds share the rows and the epochs, and nothing else: each has its own random generator, its own order of the rows,
its own tensors, its own best weights and its own end. A seed's result is therefore the same, to the last bit, whichever
seeds it is trained with. A batched matrix product of all seeds would be faster and would not keep that promise.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.label_sets import members
from alchemist_exp.core.types import FloatArray
from alchemist_exp.end_model.base import TrainingCurve, ValidationData
from alchemist_exp.end_model.early_stopping import BestWeights, ValidationSet
from alchemist_exp.end_model.lightning_import import without_optional_packages
from alchemist_exp.end_model.network import MLP, FittedMLPEnsemble, MLPEnsemble, resolve_device, to_tensor
from alchemist_exp.end_model.settings import TrainingSettings

with without_optional_packages():
    import pytorch_lightning as lightning
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from pytorch_lightning.utilities.exceptions import SIGTERMException


def train(
    settings: TrainingSettings,
    features: FloatArray,
    targets: FloatArray,
    seeds: tuple[int, ...],
    validation: ValidationData,
    on_epoch: Callable[[int], None] | None,
) -> FittedMLPEnsemble:
    """Distil soft labels into one MLP per seed.

    Args:
        settings: Architecture, optimizer and early stopping.
        features: float32 array of shape (n_rows, n_features), with at least one row.
        targets: float32 array of shape (n_rows, n_classes): class probabilities.
        seeds: One MLP is trained with each.
        validation: Decides when each seed stops.
        on_epoch: Called with 0, 1, ... after each epoch.

    Returns:
        The networks with each seed's best weights.

    Raises:
        AlchemistError: The training of a seed diverged.

    """
    device = resolve_device(settings.device)
    scale = _root_mean_square(features)
    # A generator per seed, not the global one: it draws the initial weights first, then an order for each epoch, and
    # no other seed takes numbers from it.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    sizes = [features.shape[1], *settings.hidden, targets.shape[1]]
    networks = MLPEnsemble(sizes, len(seeds), multi_label=settings.multi_label)
    for network, generator in zip(networks, generators, strict=True):
        network.initialize(generator)
    networks.to(device)
    distillation = Distillation(
        networks,
        rows=to_tensor(features, device) / scale,
        targets=to_tensor(targets, device),
        validation=ValidationSet(
            to_tensor(validation.features, device) / scale,
            to_tensor(
                members(validation.gold, validation.n_classes) if settings.multi_label else validation.gold, device
            ),
            validation.positive,
            macro=validation.macro,
        ),
        best=BestWeights(networks, settings.patience),
        settings=settings,
        on_epoch=on_epoch,
    )
    batches = SeededBatches(len(features), settings.batch_size, generators, device)
    _run_lightning(distillation, batches, settings.max_epochs, device)
    curves = distillation.curves(seeds)
    distillation.best.restore(networks)
    with torch.no_grad():
        for network in networks:
            network.weights[0] /= scale  # so that the stored network takes unscaled features
    return FittedMLPEnsemble(networks, curves, device)


class SeededBatches:
    """Batches of row indices; in every epoch each seed gets all rows once, in its own order.

    Args:
        n_rows: How many rows there are.
        batch_size: Rows per batch; the last batch may be smaller.
        generators: One per seed, used for one permutation per epoch.
        device: Where the indices are needed.

    """

    def __init__(self, n_rows: int, batch_size: int, generators: list[torch.Generator], device: torch.device) -> None:
        """Keep the generators, which each epoch advances."""
        self._n_rows = n_rows
        self._batch_size = batch_size
        self._generators = generators
        self._device = device

    def __len__(self) -> int:
        """Return the number of batches of an epoch; the last one may be smaller."""
        return math.ceil(self._n_rows / self._batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield int64 tensors of shape (n_seeds, batch_size)."""
        orders = torch.stack([torch.randperm(self._n_rows, generator=g) for g in self._generators])
        return iter(torch.split(orders.to(self._device), self._batch_size, dim=1))


class Distillation(lightning.LightningModule):
    """Soft-label cross-entropy of each seed. All tensors are on the device already; Lightning moves nothing.

    Args:
        networks: The networks to train.
        rows: float32 tensor of shape (n_rows, n_features).
        targets: float32 tensor of shape (n_rows, n_classes).
        validation: Scores the networks after each epoch.
        best: Keeps the best weights.
        settings: The optimizer's values.
        on_epoch: Called with the number of each finished epoch.

    """

    def __init__(
        self,
        networks: MLPEnsemble,
        *,
        rows: Tensor,
        targets: Tensor,
        validation: ValidationSet,
        best: BestWeights,
        settings: TrainingSettings,
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        """Keep the data and the settings; Lightning manages the networks as a submodule."""
        super().__init__()
        self.networks = networks
        self.best = best
        self._rows = rows
        self._targets = targets
        self._validation = validation
        self._settings = settings
        self._on_epoch = on_epoch
        self._loss = [torch.zeros((), device=rows.device) for _ in networks]
        self._losses: list[list[float]] = [[] for _ in networks]
        self._scores: list[list[float]] = [[] for _ in networks]

    def training_step(self, batch: Tensor) -> Tensor:
        """Compute the loss of one batch.

        Args:
            batch: Row indices of shape (n_seeds, batch_size).

        Returns:
            The sum of the mean losses of the seeds that have not stopped: a sum, so that no gradient depends on the
            number of seeds.

        """
        total = torch.zeros((), device=batch.device)
        for seed, network in self._running():
            # Rows of one seed at a time: each tensor begins at an aligned address, which BLAS rounds by.
            rows = batch[seed]
            logits, targets = network(self._rows[rows]), self._targets[rows]
            if self._settings.multi_label:  # the losses of independent classes are added up
                losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
                loss = losses.sum(dim=1).mean()
            else:
                loss = nn.functional.cross_entropy(logits, targets)
            # Weighted by rows, since the last batch may be smaller. It stays on the device: to read it, the CPU waits.
            self._loss[seed] += loss.detach() * len(rows)
            total = total + loss
        return total

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Score each seed, keep its weights when they are its best, end the fit when all seeds have stopped."""
        scores = [math.nan] * len(self.networks)
        for seed, network in self._running():
            scores[seed] = self._validation.score(network).item()
            self._losses[seed].append(self._loss[seed].item() / len(self._rows))
            self._scores[seed].append(scores[seed])
            self._loss[seed].zero_()
        self.best.update(self.networks, scores)
        if not self._running():
            self.trainer.should_stop = True
        if self._on_epoch is not None:
            self._on_epoch(self.current_epoch)

    def _running(self) -> list[tuple[int, MLP]]:
        """Return place and network of each seed that has not stopped; the others are neither used nor changed."""
        pairs = zip(self.networks, self.best.running, strict=True)
        return [(seed, network) for seed, (network, running) in enumerate(pairs) if running]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW, which updates each weight on its own and therefore does not mix seeds."""
        rate, decay = self._settings.learning_rate, self._settings.weight_decay
        # fused: one operation per step for all weights, which matters where steps are this small.
        return torch.optim.AdamW(self.networks.parameters(), lr=rate, weight_decay=decay, fused=True)

    def curves(self, seeds: tuple[int, ...]) -> list[TrainingCurve]:
        """Return the curves of the finished training.

        Args:
            seeds: The seeds, in the order of the networks.

        Returns:
            One curve per seed, until it stopped.

        Raises:
            AlchemistError: A seed diverged in its first epoch, so that it has no weights to keep.

        """
        diverged = [seed for seed, epochs in zip(seeds, self.best.epochs, strict=True) if not epochs]
        if diverged:
            raise AlchemistError(
                f"the end model's training diverged with seed {', '.join(map(str, diverged))}; "
                f"lower end_model.learning_rate ({self._settings.learning_rate})."
            )
        return [
            TrainingCurve(
                seed=seed,
                train_loss=tuple(self._losses[i][: self.best.epochs[i]]),
                valid_score=tuple(self._scores[i][: self.best.epochs[i]]),
                best_epoch=self.best.best_epoch[i],
            )
            for i, seed in enumerate(seeds)
        ]


def _run_lightning(distillation: Distillation, batches: SeededBatches, max_epochs: int, device: torch.device) -> None:
    """Run Lightning's fit without its files, its output and its handling of Ctrl-C."""
    try:
        with _quiet(), _one_thread():
            trainer = lightning.Trainer(
                max_epochs=max_epochs,
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                # One process, also inside a Slurm job with several tasks, where Lightning would wait for the others.
                plugins=[LightningEnvironment()],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(distillation, batches)
    except SIGTERMException:
        raise Terminated from None
    except SystemExit as stop:
        # Lightning ends the process with exit code 1 at Ctrl-C, which looks like a failed run.
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Lightning's banners and advice, on which users of this program cannot act."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\b")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread: matrices this small are not faster with more, and jobs may share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _root_mean_square(features: FloatArray) -> float:
    """Return the number that scales features of any extractor to a size at which Adam learns; 1 when all are zero.

    One number, not one per column: that would enlarge the weak directions of an SVD, and scored lower.
    """
    # einsum, not BLAS: the number of BLAS threads changes the last digit of the sum, and many steps later a score.
    squares = np.einsum("nd,nd->n", features, features)
    return math.sqrt(squares.mean(dtype=np.float64) / features.shape[1]) or 1.0
