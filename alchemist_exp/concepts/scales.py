"""The scale of the scores that programs receive. None uses labels, and all splits share one function."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.npy import read_npy
from alchemist_exp.core.types import FloatArray, read_only

LOGIT_SCALE: Final = 100.0
"""By which CLIP multiplies cosines before a softmax: the upper limit of its learned value, which the published models
reach (Radford et al., 2021, Section 2.5)."""


class ScoreScale(StrEnum):
    """What a score is.

    Attributes:
        raw: The cosine of image and description.
        softmax: The probability of the description among those of the same concept.
        rank: The share of training images whose cosine with this description is lower; one half of equal ones. It
            removes the offset and the spread of each description. It takes the descriptions of a concept as equally
            frequent on train, so a comparison of two of them favors a rare class.

    """

    raw = "raw"
    softmax = "softmax"
    rank = "rank"


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedScale:
    """A scale with what it needs of the training images.

    Attributes:
        scale: The scale.
        n_classes: Number of descriptions of each concept.
        sorted_scores: float64 array of shape (n_rows, n_descriptions): the cosines of the training images with each
            description, in ascending order.

    """

    scale: ScoreScale
    n_classes: int
    sorted_scores: npt.NDArray[np.float64]

    def transform(self, scores: FloatArray) -> npt.NDArray[np.float64]:
        """Return the scores on this scale.

        Args:
            scores: Array of shape (n_rows, n_descriptions): cosines of the images of any split, in the order of
                `ConceptSet.descriptions`.

        Returns:
            float64 array of the same shape, all finite; from 0 to 1 for softmax and rank. A row does not depend on the
            other rows.

        Raises:
            ValueError: The scores have another number of columns, or one is not finite.

        """
        values = _checked(scores, self.n_classes)
        if values.shape[1] != self.sorted_scores.shape[1]:
            raise ValueError(f"scores have shape {values.shape}; expected (n_rows, {self.sorted_scores.shape[1]})")
        match self.scale:
            case ScoreScale.raw:
                return values
            case ScoreScale.softmax:
                logits = LOGIT_SCALE * values.reshape(len(values), values.shape[1] // self.n_classes, self.n_classes)
                powers = np.exp(logits - logits.max(axis=2, keepdims=True))
                probs: npt.NDArray[np.float64] = powers / powers.sum(axis=2, keepdims=True)
                return probs.reshape(values.shape)
            case ScoreScale.rank:
                # The mean of the shares of training scores that are lower, and that are lower or equal.
                ranks = np.empty_like(values)
                for column, known in enumerate(self.sorted_scores.T):
                    left, right = (np.searchsorted(known, values[:, column], side=side) for side in ("left", "right"))
                    ranks[:, column] = (left + right) / (2 * len(known))
                return ranks

    def save(self, path: Path) -> None:
        """Write the cosines of the training images, which only the scale rank needs.

        Args:
            path: A .npy file.

        """
        needed = self.sorted_scores if self.scale is ScoreScale.rank else self.sorted_scores[:0]
        np.save(path, np.ascontiguousarray(needed), allow_pickle=False)

    @classmethod
    def load(cls, path: Path, scale: ScoreScale, *, n_classes: int, n_descriptions: int) -> Self:
        """Restore what `save` wrote.

        Args:
            path: The .npy file.
            scale: The scale.
            n_classes: Number of descriptions of each concept.
            n_descriptions: Number of descriptions of all concepts.

        Returns:
            The fitted scale.

        Raises:
            StoreError: The file is missing or broken, or has no row although the scale is rank.

        """
        scores = read_npy(path, (None, n_descriptions))
        if scale is ScoreScale.rank and not len(scores):
            raise StoreError(f"{path} has no scores of training images; run the experiment again.")
        return cls(scale=scale, n_classes=n_classes, sorted_scores=read_only(np.sort(scores, axis=0), np.float64))


def fit_scale(scale: ScoreScale, train_scores: FloatArray, n_classes: int) -> FittedScale:
    """Fit a scale on the training images.

    Args:
        scale: The scale.
        train_scores: Array of shape (n_rows, n_descriptions): cosines of the training images, in the order of
            `ConceptSet.descriptions`.
        n_classes: Number of descriptions of each concept.

    Returns:
        The fitted scale.

    Raises:
        ValueError: There are no rows, the columns are not whole concepts, or a score is not finite.

    Example:
        >>> train = np.array([[0.1, 0.3], [0.2, 0.3], [0.3, 0.1], [0.4, 0.1]])
        >>> rank = fit_scale(ScoreScale.rank, train, n_classes=2)
        >>> rank.transform(np.array([[0.25, 0.3], [0.0, 0.9]])).tolist()
        [[0.5, 0.75], [0.0, 1.0]]

    """
    values = _checked(train_scores, n_classes)
    if not len(values):
        raise ValueError("there are no training images to fit a scale of scores on")
    return FittedScale(scale=scale, n_classes=n_classes, sorted_scores=read_only(np.sort(values, axis=0), np.float64))


def _checked(scores: FloatArray, n_classes: int) -> npt.NDArray[np.float64]:
    """Return a copy of the scores as float64."""
    values = np.array(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] % n_classes:
        raise ValueError(f"scores have shape {values.shape}; expected (n_rows, n_concepts * {n_classes})")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    return values
