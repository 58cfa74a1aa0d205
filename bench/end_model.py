"""Compares training five seeds of the MLP in one fit with training them one after another, which must be equal.

Peers: our own training, seed by seed; five plain Lightning fits with a DataLoader over a TensorDataset; scikit-learn's
MLPClassifier, which has neither AdamW nor early stopping by a given validation set. The Lightning fits have our
architecture, optimizer, batches and number of epochs; early stopping is off on both sides. MLPClassifier has the
architecture, batches and epochs, with Adam and hard labels.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels, Split
from alchemist_exp.end_model.base import ValidationData
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.torchvision_ops import declare_torchvision_ops
from bench._experiment import build_experiment
from bench.timing import best_of

SEEDS = (0, 1, 2, 3, 4)
EPOCHS, ROUNDS = 15, 2
TOLERANCE = 0.02
"""Largest difference of mean test accuracies: with 250 test rows their standard error is .016."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """Features and gold labels of the YouTube comments, and the MLP of the configuration."""

    mlp: Mlp
    train: FloatArray
    gold: IntArray
    valid: ValidationData
    test: FloatArray
    test_gold: IntArray

    def accuracy(self, predicted: np.ndarray) -> float:
        """Return the mean accuracy of predicted classes of the test rows, of shape (n_seeds, n_rows)."""
        return float((predicted == self.test_gold).mean())


def _task() -> _Task:
    experiment = build_experiment()
    data, extractor = experiment.dataset.load(), experiment.feature_extractor
    extractor.fit(data.texts(Split.TRAIN))
    features = {split: extractor.transform(data.texts(split)) for split in Split}
    gold = {split: label for split in Split if (label := data.gold(split)) is not None}
    mlp = experiment.end_model
    if len(gold) < len(Split) or not isinstance(mlp, Mlp):
        raise AssertionError("the embedded dataset must have gold labels, and the default end model must be the MLP")
    return _Task(
        mlp=replace(mlp, max_epochs=EPOCHS, patience=EPOCHS),
        train=features[Split.TRAIN],
        gold=gold[Split.TRAIN],
        valid=ValidationData(features=features[Split.VALID], gold=gold[Split.VALID], n_classes=2, positive=None),
        test=features[Split.TEST],
        test_gold=gold[Split.TEST],
    )


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Compare on the YouTube comments with their gold labels.

    Yields:
        What was timed, our seconds, the peer, the peer's seconds.

    """
    task = _task()
    labels = SoftLabels(probs=np.eye(2, dtype=np.float32)[task.gold], covered=np.ones(len(task.gold), dtype=bool))

    def ours(seeds: tuple[int, ...] = SEEDS) -> np.ndarray:
        return task.mlp.fit(task.train, labels, seeds=seeds, validation=task.valid).predict_proba(task.test)

    contestants = {
        "ours": lambda: ours(),
        "the same, one after another": lambda: np.concatenate([ours((seed,)) for seed in SEEDS]),
        "Lightning, TensorDataset, DataLoader": lambda: np.stack([_lightning_fit(task, seed) for seed in SEEDS]),
        "scikit-learn MLPClassifier": lambda: np.stack([_sklearn_fit(task, seed) for seed in SEEDS]),
    }
    probs: dict[str, np.ndarray] = {}

    def timed(name: str) -> Callable[[], None]:
        return lambda: probs.update({name: contestants[name]()})

    torch.set_num_threads(
        1
    )  # more threads do not help with matrices this small, and cost time where the cores are shared
    with threadpool_limits(1):
        best = best_of(ROUNDS, {name: timed(name) for name in contestants})
    if not np.array_equal(probs["ours"], probs["the same, one after another"]):
        raise AssertionError("seeds differ when trained together")
    accuracy = {name: task.accuracy(p.argmax(axis=-1)) for name, p in probs.items()}
    for name, score in accuracy.items():
        if abs(score - accuracy["ours"]) > TOLERANCE:
            raise AssertionError(f"{name} has a mean test accuracy of {score:.3f}, ours {accuracy['ours']:.3f}")
    what = f"five seeds of the MLP, {EPOCHS} epochs, in one fit ({accuracy['ours']:.3f})"
    for name in list(contestants)[1:]:
        yield what, best["ours"], f"{name} ({accuracy[name]:.3f})", best[name]


def _lightning_fit(task: _Task, seed: int) -> np.ndarray:
    """Return one seed's class probabilities of the test rows, trained as in a Lightning tutorial."""
    declare_torchvision_ops()  # before pytorch_lightning
    import pytorch_lightning as lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            sizes = [task.train.shape[1], *task.mlp.hidden]
            inner = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
            self.net = nn.Sequential(*inner, nn.Linear(sizes[-1], 2))

        def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
            rows, targets = batch
            return nn.functional.cross_entropy(self.net(rows), targets)

        def validation_step(self, batch: list[torch.Tensor]) -> None:
            rows, gold = batch
            self.log("accuracy", (self.net(rows).argmax(dim=1) == gold).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=task.mlp.learning_rate, weight_decay=task.mlp.weight_decay)

    torch.manual_seed(seed)
    scale = float(np.sqrt(np.mean(np.square(task.train))))
    rows = torch.from_numpy(task.train / scale)
    targets = nn.functional.one_hot(torch.tensor(task.gold), 2).float()
    batches = DataLoader(TensorDataset(rows, targets), batch_size=task.mlp.batch_size, shuffle=True)
    validation = TensorDataset(torch.from_numpy(task.valid.features / scale), torch.tensor(task.valid.gold))
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module = Module()
    with warnings.catch_warnings(action="ignore"):
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(module, batches, DataLoader(validation, batch_size=len(validation)))
    with torch.no_grad():
        probs: np.ndarray = module.net(torch.from_numpy(task.test / scale)).softmax(dim=1).numpy()
    return probs


def _sklearn_fit(task: _Task, seed: int) -> np.ndarray:
    """Return one seed's class probabilities of the test rows; n_iter_no_change prevents early stopping."""
    scale = float(np.sqrt(np.mean(np.square(task.train))))
    model = MLPClassifier(
        tuple(task.mlp.hidden), batch_size=task.mlp.batch_size, learning_rate_init=task.mlp.learning_rate,
        max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        model.fit(task.train / scale, task.gold)
    probs: np.ndarray = model.predict_proba(task.test / scale)
    return probs
