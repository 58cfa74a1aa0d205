"""Trains every seed of an MLP in one Lightning fit. The seeds share the rows and the clock, nothing else."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.types import FloatArray
from alchemist_exp.end_model.base import TrainingCurve, ValidationData
from alchemist_exp.end_model.network import FittedStackedMLP, StackedMLP, tensor_of, torch_device

if TYPE_CHECKING:
    from alchemist_exp.end_model.mlp import Mlp


def train(
    settings: "Mlp",
    features: FloatArray,
    targets: FloatArray,
    seeds: tuple[int, ...],
    validation: ValidationData,
    on_epoch: Callable[[int], None] | None,
) -> FittedStackedMLP:
    """Distils targets (n, k) from features (n, d), n from 1 up. AlchemistError when a seed's training diverges."""
    device = torch_device(settings.device)
    scale = _root_mean_square(features)
    # A seed's randomness comes from its own generator: first the initial weights, then an order for each epoch.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    stack = StackedMLP([features.shape[1], *settings.hidden, targets.shape[1]], len(seeds))
    stack.draw(generators)
    stack.to(device)
    distillation = Distillation(
        stack,
        rows=tensor_of(features, device) / scale,
        targets=tensor_of(targets, device),
        exam=ValidationSet(
            tensor_of(validation.features, device) / scale, tensor_of(validation.gold, device), validation.positive
        ),
        best=BestWeights(stack, settings.patience),
        settings=settings,
        on_epoch=on_epoch,
    )
    _fit(
        distillation, SeededBatches(len(features), settings.batch_size, generators, device), settings.max_epochs, device
    )
    curves = distillation.curves(seeds)
    distillation.best.restore(stack)
    with torch.no_grad():
        stack.weights[0] /= scale  # the stored network takes features as they come
    return FittedStackedMLP(stack, curves, device)


class SeededBatches:
    """Row indices (s, b): every epoch each seed sees all rows once, in an order of its own."""

    def __init__(self, n_rows: int, batch_size: int, generators: list[torch.Generator], device: torch.device) -> None:
        self._n_rows = n_rows
        self._batch_size = batch_size
        self._generators = generators
        self._device = device

    def __len__(self) -> int:
        return math.ceil(self._n_rows / self._batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        orders = torch.stack([torch.randperm(self._n_rows, generator=g) for g in self._generators])
        return iter(torch.split(orders.to(self._device), self._batch_size, dim=1))


class ValidationSet:
    """Rows (n, d) that tell how good each seed is by now."""

    def __init__(self, rows: Tensor, gold: Tensor, positive: int | None) -> None:
        self._rows = rows
        self._gold = gold
        self._positive = positive

    def score(self, stack: StackedMLP) -> Tensor:
        """float64 (s,): accuracy, or the positive class's F1; NaN for a seed whose training diverged."""
        logits = stack.logits(self._rows)
        predicted = logits.argmax(dim=-1)
        if self._positive is None:
            score = (predicted == self._gold).double().mean(dim=1)
        else:
            named, true = predicted == self._positive, self._gold == self._positive
            score = 2 * (named & true).sum(dim=1).double() / (named.sum(dim=1) + true.sum()).clamp_min(1)
        return score.where(logits.isfinite().all(dim=-1).all(dim=-1), torch.nan)


class BestWeights:
    """The best weights of each seed so far; a seed without progress for `patience` epochs has stopped for good."""

    def __init__(self, stack: StackedMLP, patience: int) -> None:
        self._patience = patience
        self._weights = [weight.detach().clone() for weight in stack.parameters()]
        n_seeds = len(self._weights[0])
        self._score = torch.full((n_seeds,), -torch.inf, dtype=torch.float64)
        self.epoch = torch.zeros(n_seeds, dtype=torch.int64)
        self.epochs = torch.zeros(n_seeds, dtype=torch.int64)
        self._running = torch.ones(n_seeds, dtype=torch.bool)

    def see(self, stack: StackedMLP, score: Tensor) -> None:
        """Takes in one more epoch's scores (s,), on any device. Diverged seeds stop, and the epoch is not counted."""
        score = score.cpu()
        self._running &= score.isfinite()
        better = self._running & (score > self._score)
        for kept, weight in zip(self._weights, stack.parameters(), strict=True):
            chosen = better.to(kept.device)
            kept[chosen] = weight.detach()[chosen]
        self._score[better] = score[better]
        self.epoch[better] = self.epochs[better]
        self.epochs += self._running
        self._running &= self.epochs - self.epoch <= self._patience

    @property
    def all_stopped(self) -> bool:
        """Whether nothing can change any more."""
        return not bool(self._running.any())

    @torch.no_grad()
    def restore(self, stack: StackedMLP) -> None:
        """Gives `stack` each seed's best weights."""
        for kept, weight in zip(self._weights, stack.parameters(), strict=True):
            weight.copy_(kept)


class Distillation(lightning.LightningModule):
    """Soft-label cross-entropy of all seeds at once. Tensors stay where they were put; Lightning moves nothing."""

    def __init__(
        self,
        stack: StackedMLP,
        *,
        rows: Tensor,
        targets: Tensor,
        exam: ValidationSet,
        best: BestWeights,
        settings: "Mlp",
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        super().__init__()
        self.stack = stack
        self.best = best
        self._rows = rows
        self._targets = targets
        self._exam = exam
        self._settings = settings
        self._on_epoch = on_epoch
        self._loss = torch.zeros(len(best.epoch), device=rows.device)
        self._losses: list[Tensor] = []
        self._scores: list[Tensor] = []

    def training_step(self, batch: Tensor) -> Tensor:
        """One batch of row indices (s, b). The seeds' mean losses are added, so no gradient depends on their number."""
        logits: Tensor = self.stack(self._rows[batch])
        log_probs = logits.log_softmax(dim=-1)
        losses = -(self._targets[batch] * log_probs).sum(dim=-1).mean(dim=1)
        self._loss += losses.detach() * batch.shape[1]
        return losses.sum()

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Scores each seed, keeps its weights when they are its best, ends the fit when all have stopped."""
        score = self._exam.score(self.stack)
        self._losses.append(self._loss / len(self._rows))
        self._scores.append(score)
        self._loss = torch.zeros_like(self._loss)
        self.best.see(self.stack, score)
        if self.best.all_stopped:
            self.trainer.should_stop = True
        if self._on_epoch is not None:
            self._on_epoch(self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW treats every weight by itself, so it cannot mix seeds either."""
        rate, decay = self._settings.learning_rate, self._settings.weight_decay
        return torch.optim.AdamW(self.stack.parameters(), lr=rate, weight_decay=decay, fused=True)

    def curves(self, seeds: tuple[int, ...]) -> list[TrainingCurve]:
        """Each seed's epochs until it stopped. AlchemistError when one diverged before its first was over."""
        lost = [seed for seed, epochs in zip(seeds, self.best.epochs.tolist(), strict=True) if not epochs]
        if lost:
            raise AlchemistError(
                f"the end model's training diverged with seed {', '.join(map(str, lost))}; "
                f"lower end_model.learning_rate ({self._settings.learning_rate})."
            )
        losses, scores = torch.stack(self._losses, dim=1).tolist(), torch.stack(self._scores, dim=1).tolist()
        return [
            TrainingCurve(
                seed=seed,
                train_loss=tuple(losses[s][: self.best.epochs[s]]),
                valid_score=tuple(scores[s][: self.best.epochs[s]]),
                best_epoch=int(self.best.epoch[s]),
            )
            for s, seed in enumerate(seeds)
        ]


def _fit(distillation: Distillation, batches: SeededBatches, max_epochs: int, device: torch.device) -> None:
    """Lightning's fit without its files, words and handling of Ctrl-C."""
    try:
        with _quiet(), _one_thread():
            trainer = lightning.Trainer(
                max_epochs=max_epochs,
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                # One process, also inside a Slurm job that has several tasks.
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
        # Lightning answers Ctrl-C with exit(1), which a run's owner could not tell from a fault.
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Lightning's banners and advice, which our users can do nothing about, from the terminal."""
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
    """Matrices this small gain nothing from more threads, and lose much where jobs share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _root_mean_square(features: FloatArray) -> float:
    """One number that brings features of any extractor to a size Adam learns from; 1 when all are zero.

    Not one per column: that would blow up the weak directions of an SVD, and scored lower.
    """
    # No BLAS, whose threads change the last digit, and with it, many steps later, a score.
    squares = np.einsum("nd,nd->n", features, features)
    return math.sqrt(squares.mean(dtype=np.float64) / features.shape[1]) or 1.0
