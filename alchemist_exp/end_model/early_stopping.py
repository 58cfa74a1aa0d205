"""Early stopping of each seed on its own: validation scores, and the best weights so far."""

import torch
from torch import Tensor

from alchemist_exp.end_model.network import StackedMLP


class ValidationSet:
    """Validation rows on the training device.

    Args:
        rows: float32 tensor of shape (n_rows, n_features), scaled like the training rows.
        gold: int64 tensor of shape (n_rows,).
        positive: The class whose F1 is the score; None for accuracy.

    """

    def __init__(self, rows: Tensor, gold: Tensor, positive: int | None) -> None:
        self._rows = rows
        self._gold = gold
        self._positive = positive

    def score(self, network: StackedMLP) -> Tensor:
        """Score the current weights of each seed.

        Args:
            network: The networks.

        Returns:
            float64 tensor of shape (n_seeds,): accuracy or F1; NaN for a seed whose training diverged.

        """
        logits = network.logits(self._rows)
        # float64, the precision of the scores in the record.
        predicted = logits.argmax(dim=-1)
        if self._positive is None:
            score = (predicted == self._gold).double().mean(dim=1)
        else:
            predicted_positive, gold_positive = predicted == self._positive, self._gold == self._positive
            hits = (predicted_positive & gold_positive).sum(dim=1).double()
            score = 2 * hits / (predicted_positive.sum(dim=1) + gold_positive.sum()).clamp_min(1)
        return score.where(logits.isfinite().all(dim=-1).all(dim=-1), torch.nan)


class BestWeights:
    """Keeps each seed's best weights; a seed without a better score for `patience` epochs has stopped for good.

    A stopped seed is still computed, since the seeds share their matrix products, but nothing of it is kept.

    Args:
        network: The networks, whose weights are copied.
        patience: Epochs without a better score after which a seed stops.

    Attributes:
        best_epoch: int64 tensor of shape (n_seeds,): the epoch, counted from 0, of the kept weights.
        epochs: int64 tensor of shape (n_seeds,): how many epochs each seed took part in.

    """

    def __init__(self, network: StackedMLP, patience: int) -> None:
        self._patience = patience
        self._weights = [weight.detach().clone() for weight in network.parameters()]
        n_seeds = len(self._weights[0])
        self._score = torch.full((n_seeds,), -torch.inf, dtype=torch.float64)
        self.best_epoch = torch.zeros(n_seeds, dtype=torch.int64)
        self.epochs = torch.zeros(n_seeds, dtype=torch.int64)
        self._running = torch.ones(n_seeds, dtype=torch.bool)

    def update(self, network: StackedMLP, score: Tensor) -> None:
        """Take in the scores of one more epoch.

        Args:
            network: The networks after the epoch.
            score: Tensor of shape (n_seeds,), on any device. A seed with a score that is not finite stops, and the
                epoch is not counted for it.

        """
        score = score.cpu()
        self._running &= score.isfinite()
        # An equal score is not better, so the first epoch with the highest score is kept.
        better = self._running & (score > self._score)
        for kept, weight in zip(self._weights, network.parameters(), strict=True):
            # The networks may be on a GPU, the bookkeeping is on the CPU.
            chosen = better.to(kept.device)
            kept[chosen] = weight.detach()[chosen]
        self._score[better] = score[better]
        self.best_epoch[better] = self.epochs[better]
        self.epochs += self._running
        self._running &= self.epochs - self.best_epoch <= self._patience

    @property
    def all_stopped(self) -> bool:
        """Whether every seed has stopped."""
        return not bool(self._running.any())

    @torch.no_grad()
    def restore(self, network: StackedMLP) -> None:
        """Copy each seed's best weights into the networks.

        Args:
            network: The networks.

        """
        for kept, weight in zip(self._weights, network.parameters(), strict=True):
            weight.copy_(kept)
