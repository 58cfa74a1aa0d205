"""The posterior of a label model in a form that Python without packages can compute, for exported programs."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import read_only

_Floats = npt.NDArray[np.float64]


class Link(StrEnum):
    """How the score of a class becomes its weight; the probability of a class is its share of the weights."""

    EXP = "exp"  # softmax of the scores
    SIGMOID = "sigmoid"  # each class against the rest
    IDENTITY = "identity"  # shares of votes


@dataclass(frozen=True, kw_only=True, eq=False)
class AdditivePosterior:
    """A posterior whose scores are sums over programs: `bias[c] + sum of weights[program, 1 + vote, c]`.

    All label models of this package have this form. It does not apply to rows without a vote, which have no label.

    Attributes:
        bias: float64 array of shape (n_classes,).
        weights: float64 array of shape (n_programs, 1 + n_classes, n_classes): what each outcome of each program adds
            to the score of each class; outcome 0 is to abstain, outcome 1 + v is a vote for class v.
        link: How scores become weights.

    Raises:
        ValueError: The shapes do not match, or a value is not finite.

    Example:
        >>> posterior = AdditivePosterior(bias=[0, 0], weights=one_hot(np.ones((2, 2))), link=Link.IDENTITY)
        >>> posterior.weights[1].tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]

    """

    bias: _Floats
    weights: _Floats
    link: Link

    def __post_init__(self) -> None:
        """Check the arrays and make them read-only."""
        bias, weights = read_only(self.bias, np.float64), read_only(self.weights, np.float64)
        n_classes = len(bias)
        if bias.ndim != 1 or weights.ndim != 3 or weights.shape[1:] != (1 + n_classes, n_classes):
            raise ValueError(f"bias {bias.shape} and weights {weights.shape} do not match")
        if not (np.isfinite(bias).all() and np.isfinite(weights).all()):
            raise ValueError("a value of the posterior is not finite")
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "weights", weights)


def one_hot(weights: _Floats) -> _Floats:
    """Return the outcome weights of votes that count for their own class only; to abstain adds nothing.

    Args:
        weights: float64 array of shape (n_programs, n_classes): what a vote for a class adds to the score of the class.

    Returns:
        float64 array of shape (n_programs, 1 + n_classes, n_classes), see `AdditivePosterior.weights`.

    """
    return with_silent_abstain(weights[:, :, np.newaxis] * np.eye(weights.shape[1]))


def with_silent_abstain(weights: _Floats) -> _Floats:
    """Return outcome weights in which to abstain adds nothing.

    Args:
        weights: float64 array of shape (n_programs, n_classes, n_classes): what each vote adds to each class.

    Returns:
        float64 array of shape (n_programs, 1 + n_classes, n_classes).

    """
    padded: _Floats = np.pad(weights, ((0, 0), (1, 0), (0, 0)))
    return padded
