"""How many hand labels a score is worth: sizes of the training sets, random draws, and where the curve crosses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alchemist_exp.core.types import IntArray

FIRST_ROWS: Final = 50
"""Rows of the smallest training set; each next one is twice as large."""

FEWER, ABOUT, MORE = "fewer than", "about", "more than"


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The number of hand labels at which a curve reaches a score.

    Attributes:
        relation: `ABOUT`, or `FEWER` or `MORE` where the curve is above or below the score at all measured sizes.
        rows: The number of hand labels: interpolated, or the smallest or the largest measured size.

    """

    relation: str
    rows: float

    def __str__(self) -> str:
        """Return the number for people, with two significant digits if it is interpolated."""
        rows = float(f"{self.rows:.1e}") if self.relation == ABOUT else self.rows
        return f"{self.relation} {rows:,.0f}"


def training_sizes(n_labeled: int, most: int) -> tuple[int, ...]:
    """Return the sizes of the training sets.

    Args:
        n_labeled: Rows that have a gold label; `FIRST_ROWS` or more.
        most: The largest size.

    Returns:
        50, 100, 200, ... up to `most`, and all labeled rows if they are no more than `most`.

    Example:
        >>> training_sizes(900, 10_000)
        (50, 100, 200, 400, 800, 900)
        >>> training_sizes(900, 400)
        (50, 100, 200, 400)

    """
    largest = min(n_labeled, most)
    sizes = [size for k in range(largest.bit_length()) if (size := FIRST_ROWS << k) <= largest]
    return (*sizes, n_labeled) if sizes[-1] < n_labeled <= most else tuple(sizes)


def draw_rows(n_labeled: int, n_draws: int) -> tuple[IntArray, ...]:
    """Return random orders of rows, whose first rows are the training sets of a draw.

    Args:
        n_labeled: Rows to draw from.
        n_draws: Number of draws.

    Returns:
        By draw, int64 array of shape (n_labeled,). The training sets of a draw contain each other, so that the curve of
        a draw has the noise of one sample. Classes are not balanced. The same arguments give the same rows.

    """
    return tuple(np.random.default_rng([0, draw]).permutation(n_labeled).astype(np.int64) for draw in range(n_draws))


def find_crossing(sizes: Sequence[int], scores: Sequence[float], target: float) -> Crossing:
    """Return the number of hand labels at which a model trained on them has the score of another model.

    More labels do not make a model worse on average, so the nearest curve that never falls is used (isotonic
    regression). It crosses a score once; a measured curve may cross it several times by chance. Between two sizes the
    score is interpolated on a logarithmic scale of sizes.

    Args:
        sizes: Rows of the training sets, ascending.
        scores: The score at each size.
        target: The score to reach.

    Returns:
        The crossing.

    Example:
        >>> print(find_crossing([50, 100, 200], [0.5, 0.6, 0.8], 0.7))
        about 140
        >>> print(find_crossing([50, 100, 200], [0.5, 0.6, 0.8], 0.9))
        more than 200

    """
    from sklearn.isotonic import isotonic_regression

    rising = isotonic_regression(np.asarray(scores, np.float64))
    reached = np.flatnonzero(rising >= target)
    if not len(reached):
        return Crossing(relation=MORE, rows=float(sizes[-1]))
    if not (after := int(reached[0])):
        return Crossing(relation=ABOUT if rising[0] == target else FEWER, rows=float(sizes[0]))
    low, high = rising[after - 1], rising[after]
    share = (target - low) / (high - low)
    return Crossing(relation=ABOUT, rows=float(sizes[after - 1] * (sizes[after] / sizes[after - 1]) ** share))
