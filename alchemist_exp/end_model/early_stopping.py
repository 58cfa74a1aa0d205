"""Early stopping of each seed on its own: validation scores, and the best weights so far."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from alchemist_exp.end_model.network import MLP, MLPEnsemble


class ValidationSet:
    """Validation rows on the training device.

    Args:
        rows: float32 tensor of shape (n_rows, n_features), scaled like the training rows.
        gold: int64 tensor of shape (n_rows,); boolean of shape (n_rows, n_classes) if several classes may hold.
        positive: The class whose F1 is the score; None for accuracy, or for macro-F1 if several classes may hold.
        macro: Whether the score is macro-F1 although one class holds for a row.

    """

    def __init__(self, rows: Tensor, gold: Tensor, positive: int | None, *, macro: bool = False) -> None:
        """Keep the tensors, which must be on the device of the networks."""
        self._rows = rows
        self._gold = gold
        self._positive = positive
        self._macro = macro

    def score(self, network: MLP) -> Tensor:
        """Score the current weights of one seed.

        Args:
            network: The seed's network.

        Returns:
            float64 tensor without dimensions: accuracy, F1 or macro-F1; NaN if the seed's training diverged.

        """
        logits = network.logits(self._rows)
        if self._gold.dtype == torch.bool:
            score = _macro_f1(logits >= 0, self._gold)  # a probability of 0.5
            return score.where(logits.isfinite().all(), torch.nan)
        # float64, the precision of the scores in the record.
        predicted = logits.argmax(dim=-1)
        if self._macro:
            classes = torch.arange(logits.shape[1], device=logits.device)
            score = _macro_f1(predicted[:, None] == classes, self._gold[:, None] == classes)
        elif self._positive is None:
            score = (predicted == self._gold).double().mean()
        else:
            predicted_positive, gold_positive = predicted == self._positive, self._gold == self._positive
            hits = (predicted_positive & gold_positive).sum().double()
            score = 2 * hits / (predicted_positive.sum() + gold_positive.sum()).clamp_min(1)
        return score.where(logits.isfinite().all(), torch.nan)


def _macro_f1(predicted: Tensor, gold: Tensor) -> Tensor:
    """Return the mean F1 of the classes that occur; boolean tensors of shape (n_rows, n_classes)."""
    hits = (predicted & gold).sum(dim=0).double()
    total = predicted.sum(dim=0) + gold.sum(dim=0)
    return (2 * hits / total.clamp_min(1)).sum() / (total > 0).sum().clamp_min(1)


class BestWeights:
    """Keeps each seed's best weights; a seed without a better score for `patience` epochs has stopped for good.

    Args:
        networks: The networks, whose weights are copied.
        patience: Epochs without a better score after which a seed stops.

    Attributes:
        best_epoch: By seed, the epoch of the kept weights, counted from 0.
        epochs: By seed, the number of epochs that it took part in.
        running: By seed, whether it has not stopped.

    """

    def __init__(self, networks: MLPEnsemble, patience: int) -> None:
        """Copy the initial weights, which stay if no epoch has a finite score."""
        self._patience = patience
        self._weights = [[weight.detach().clone() for weight in network.parameters()] for network in networks]
        self._score = [-float("inf")] * len(networks)
        self.best_epoch = [0] * len(networks)
        self.epochs = [0] * len(networks)
        self.running = [True] * len(networks)

    def update(self, networks: MLPEnsemble, scores: Sequence[float]) -> None:
        """Take in the scores of one more epoch.

        Args:
            networks: The networks after the epoch.
            scores: One per seed; those of stopped seeds do not count. A seed with a score that is not finite stops, and
                the epoch is not counted for it.

        """
        for seed, (network, score) in enumerate(zip(networks, scores, strict=True)):
            self.running[seed] &= math.isfinite(score)
            if not self.running[seed]:
                continue
            # An equal score is not better, so the first epoch with the highest score is kept.
            if score > self._score[seed]:
                self._weights[seed] = [weight.detach().clone() for weight in network.parameters()]
                self._score[seed], self.best_epoch[seed] = score, self.epochs[seed]
            self.epochs[seed] += 1
            self.running[seed] = self.epochs[seed] - self.best_epoch[seed] <= self._patience

    @torch.no_grad()
    def restore(self, networks: MLPEnsemble) -> None:
        """Copy each seed's best weights into the networks.

        Args:
            networks: The networks.

        """
        for network, kept in zip(networks, self._weights, strict=True):
            for weight, best in zip(network.parameters(), kept, strict=True):
                weight.copy_(best)
