"""Temperature scaling (Guo et al., ICML 2017): one number makes the confidence of a model fit its accuracy."""

from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import IntArray

BOUNDS: Final = (0.25, 100.0)
"""The temperatures that may be chosen. Without a lower bound, a model that is right on all rows would get 0."""


def fit_temperature(logits: npt.NDArray[np.floating], gold: IntArray) -> float:
    """Return the temperature with the smallest log loss of the mean probabilities over seeds.

    Args:
        logits: Array of shape (n_seeds, n_rows, n_classes).
        gold: int64 array of shape (n_rows,).

    Returns:
        The number that logits are divided by, within `BOUNDS`; over 1 for a model that is too confident.

    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    logits = logits.astype(np.float64)
    rows = np.arange(len(gold))

    def log_loss(log_temperature: float) -> float:
        """Return the mean negative log probability of the gold labels, in nats."""
        probs = softmax(logits / np.exp(log_temperature), axis=2).mean(axis=0)[rows, gold]
        return -float(np.log(np.maximum(probs, np.finfo(np.float64).tiny)).mean())

    found = minimize_scalar(log_loss, bounds=np.log(BOUNDS), method="bounded")
    return float(np.exp(found.x))
