"""Five seeds of the MLP trained at once, against ways to train them one after another. Scores must agree.

Peers: our own, seed by seed; five plain Lightning fits with a DataLoader over a TensorDataset; scikit-learn's
MLPClassifier, which knows no AdamW and no patience by a validation set of one's own. The Lightning fits have our
architecture, optimizer, batches and number of epochs, and early stopping switched off on both sides; MLPClassifier has
the architecture, batches and epochs, with Adam, and hard labels.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from alchemist_exp import config
from alchemist_exp.core.types import FloatArray, IntArray, SoftLabels, Split
from alchemist_exp.end_model.base import ValidationData
from alchemist_exp.end_model.mlp import Mlp
from bench.timing import best_of

SEEDS = (0, 1, 2, 3, 4)
EPOCHS, ROUNDS = 15, 2
TOLERANCE = 0.02
"""How far mean test accuracies may lie apart: 250 test rows have a standard error of .016."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """Features and gold of the YouTube comments, and the MLP of the configuration."""

    mlp: Mlp
    train: FloatArray
    gold: IntArray
    valid: ValidationData
    test: FloatArray
    test_gold: IntArray

    def accuracy(self, predicted: np.ndarray) -> float:
        """predicted: classes (seeds, n) of the test rows."""
        return float((predicted == self.test_gold).mean())


def _task() -> _Task:
    config.register()
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        experiment = config.build(compose("config"))
    data, extractor = experiment.dataset.load(), experiment.feature_extractor
    extractor.fit(data.texts(Split.TRAIN))
    features = {split: extractor.transform(data.texts(split)) for split in Split}
    gold = {split: label for split in Split if (label := data.gold(split)) is not None}
    mlp = experiment.end_model
    if len(gold) < len(Split) or not isinstance(mlp, Mlp):
        raise AssertionError("the embedded set has gold, and the default end model is the MLP")
    return _Task(
        mlp=replace(mlp, max_epochs=EPOCHS, patience=EPOCHS),
        train=features[Split.TRAIN],
        gold=gold[Split.TRAIN],
        valid=ValidationData(features=features[Split.VALID], gold=gold[Split.VALID], n_classes=2, positive=None),
        test=features[Split.TEST],
        test_gold=gold[Split.TEST],
    )


def compare() -> Iterator[tuple[str, float, str, float]]:
    """Three comparisons on the YouTube comments with their gold labels."""
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

    torch.set_num_threads(1)  # more are no gain for matrices this small, and a loss where the cores are shared
    with threadpool_limits(1):
        best = best_of(ROUNDS, {name: timed(name) for name in contestants})
    if not np.allclose(probs["ours"], probs["the same, one after another"], atol=1e-3):
        raise AssertionError("seeds differ when trained together")
    accuracy = {name: task.accuracy(p.argmax(axis=-1)) for name, p in probs.items()}
    for name, score in accuracy.items():
        if abs(score - accuracy["ours"]) > TOLERANCE:
            raise AssertionError(f"{name} has a mean test accuracy of {score:.3f}, ours {accuracy['ours']:.3f}")
    what = f"five seeds of the MLP, {EPOCHS} epochs, at once ({accuracy['ours']:.3f})"
    for name in list(contestants)[1:]:
        yield what, best["ours"], f"{name} ({accuracy[name]:.3f})", best[name]


def _lightning_fit(task: _Task, seed: int) -> np.ndarray:
    """One seed's class probabilities of the test rows, as a Lightning tutorial would get them."""
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
    """One seed's class probabilities of the test rows; n_iter_no_change keeps it from stopping early."""
    scale = float(np.sqrt(np.mean(np.square(task.train))))
    model = MLPClassifier(
        tuple(task.mlp.hidden), batch_size=task.mlp.batch_size, learning_rate_init=task.mlp.learning_rate,
        max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        model.fit(task.train / scale, task.gold)
    probs: np.ndarray = model.predict_proba(task.test / scale)
    return probs
