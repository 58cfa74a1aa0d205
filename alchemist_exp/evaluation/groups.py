"""Accuracy by group, where a group is the rows of one class and one value of a spurious attribute.

Of Waterbirds, these are the four pairs of a class and a background. The paper (Table 2) reports the average and the
worst-group accuracy and their gap. WILDS (Koh et al., 2021) reports an adjusted average, see `GroupScores`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray
from alchemist_exp.evaluation.metrics import SeedSummary, summarize_values

SHARES_TOLERANCE: Final = 1e-6
"""Largest difference of the sum of the train shares from 1."""


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """How well classes were predicted, by group.

    Attributes:
        names: The name of each group, such as "landbird, water".
        n: For each group, how many rows were scored: those with a prediction.
        accuracy: For each group, the share of its scored rows that are correct; None without a scored row.
        coverage: For each group, the share of its rows that were scored; None for a group without rows.
        average: Share of all scored rows that are correct.
        adjusted_average: Mean of the groups' accuracies, weighted by their shares of train (Sagawa et al., 2020; WILDS
            reports it for Waterbirds); None without shares, or if a group with a share has no accuracy.
        worst_group: Name of the group with the lowest accuracy, of those that have one; the first of equal ones.
        worst_accuracy: Its accuracy.
        worst_n: How many of its rows were scored.
        worst_interval: Bounds of the 95% interval of its accuracy, see `wilson_interval`.
        gap: `average` minus `worst_accuracy`.
        adjusted_gap: `adjusted_average` minus `worst_accuracy`; None without `adjusted_average`.

    """

    names: tuple[str, ...]
    n: tuple[int, ...]
    accuracy: tuple[float | None, ...]
    coverage: tuple[float | None, ...]
    average: float
    adjusted_average: float | None
    worst_group: str
    worst_accuracy: float
    worst_n: int
    worst_interval: tuple[float, float]
    gap: float
    adjusted_gap: float | None


@dataclass(frozen=True, kw_only=True)
class GroupSummary:
    """Accuracy by group over seeds. The worst group is found for each seed.

    Attributes:
        names: The name of each group.
        n: For each group, how many rows were scored; the same for all seeds.
        accuracy: For each group, the mean accuracy over the seeds; None if a seed has none.
        average: The average over the seeds.
        adjusted_average: The adjusted average; None if a seed has none.
        worst_group: For each seed, the name of the worst group.
        worst_accuracy: The accuracy of each seed's worst group.
        worst_n: For each seed, how many rows of the worst group were scored.
        worst_interval: For each seed, bounds of the 95% interval of `worst_accuracy`.
        gap: The average minus the worst accuracy.
        adjusted_gap: The adjusted average minus the worst accuracy; None if a seed has none.

    """

    names: tuple[str, ...]
    n: tuple[int, ...]
    accuracy: tuple[float | None, ...]
    average: SeedSummary
    adjusted_average: SeedSummary | None
    worst_group: tuple[str, ...]
    worst_accuracy: SeedSummary
    worst_n: tuple[int, ...]
    worst_interval: tuple[tuple[float, float], ...]
    gap: SeedSummary
    adjusted_gap: SeedSummary | None


def score_groups(
    gold: IntArray,
    predicted: IntArray,
    groups: IntArray,
    *,
    names: Sequence[str],
    train_shares: Sequence[float] | None,
) -> GroupScores | None:
    """Score predicted classes by group; rows predicted as -1 (`ABSTAIN`) are left out.

    Args:
        gold: int64 array of shape (n_rows,), the class of each row; never -1.
        predicted: int64 array of shape (n_rows,), each a class or -1.
        groups: int64 array of shape (n_rows,), each a group in 0..n_groups-1.
        names: The name of each group.
        train_shares: For each group, its share of the rows of train, in 0..1; None if the groups of train are not
            known.

    Returns:
        The scores; None when no row has a prediction.

    Raises:
        ValueError: The shapes do not match, a group or a class is out of range, or the shares do not sum to 1.

    Example:
        >>> gold, predicted, groups = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
        >>> names = ["landbird, land", "landbird, water", "waterbird, water"]
        >>> scores = score_groups(gold, predicted, groups, names=names, train_shares=[0.5, 0.1, 0.4])
        >>> scores.average, scores.adjusted_average, scores.worst_group, scores.worst_accuracy
        (0.75, 0.9, 'landbird, water', 0.0)

    """
    gold, predicted, groups = np.asarray(gold), np.asarray(predicted), np.asarray(groups)
    if gold.ndim != 1 or not gold.shape == predicted.shape == groups.shape:
        raise ValueError(
            f"gold {gold.shape}, predicted {predicted.shape} and groups {groups.shape} do not match; "
            "expected (n_rows,) for all"
        )
    for name, values, lowest in (("gold", gold, 0), ("predicted", predicted, ABSTAIN), ("groups", groups, 0)):
        if values.size and values.min() < lowest:
            raise ValueError(f"{name} has the value {values.min()}; expected {lowest} or more")
    if groups.size and groups.max() >= len(names):
        raise ValueError(f"groups is in {groups.min()}..{groups.max()}; expected 0..{len(names) - 1}")
    if train_shares is not None:
        _check_shares(train_shares, len(names))
    decided = predicted != ABSTAIN
    if not decided.any():
        return None
    rows = np.bincount(groups, minlength=len(names)).tolist()
    n = np.bincount(groups[decided], minlength=len(names)).tolist()
    hits = np.bincount(groups[decided & (predicted == gold)], minlength=len(names)).tolist()
    accuracy = tuple(h / of if of else None for h, of in zip(hits, n, strict=True))
    worst_accuracy, worst = min((value, group) for group, value in enumerate(accuracy) if value is not None)
    average = sum(hits) / sum(n)
    adjusted = None if train_shares is None else _weighted_mean(accuracy, train_shares)
    return GroupScores(
        names=tuple(names),
        n=tuple(n),
        accuracy=accuracy,
        coverage=tuple(scored / of if of else None for scored, of in zip(n, rows, strict=True)),
        average=average,
        adjusted_average=adjusted,
        worst_group=names[worst],
        worst_accuracy=worst_accuracy,
        worst_n=n[worst],
        worst_interval=wilson_interval(hits[worst], n[worst]),
        gap=average - worst_accuracy,
        adjusted_gap=None if adjusted is None else adjusted - worst_accuracy,
    )


def wilson_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share (Wilson, 1927, "Probable inference, the law of succession").

    Unlike the normal approximation it stays in 0..1, and has a width above 0 when no row or each row is a hit.

    Args:
        hits: How many of the rows are correct.
        n: How many rows there are; at least one.
        confidence: The share of such intervals that contain the true share, between 0 and 1.

    Returns:
        The lower and the upper bound; exactly 0 for no hits, exactly 1 for n hits.

    Raises:
        ValueError: There are no rows, `hits` is not in 0..n, or `confidence` is not between 0 and 1.

    Example:
        >>> lower, upper = wilson_interval(8, 10)
        >>> round(lower, 3), round(upper, 3)
        (0.49, 0.943)

    """
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} hits of {n} rows; expected at least one row, and hits in 0..{max(n, 1)}")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is {confidence}; expected a share between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / n
    center = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Set exactly, because rounding errors leave about 1e-17 at both ends.
    return (center - margin) / scale if hits else 0.0, (center + margin) / scale if hits < n else 1.0


def summarize_groups(per_seed: Sequence[GroupScores]) -> GroupSummary:
    """Summarize the scores of groups over seeds.

    Args:
        per_seed: The scores of each seed, all on the same rows.

    Returns:
        Means, standard deviations and the values of the seeds.

    Raises:
        ValueError: There are no scores, or they are not of the same groups and rows.

    """
    if not per_seed:
        raise ValueError("no scores to summarize; at least one seed is needed")
    names, n = per_seed[0].names, per_seed[0].n
    if any((seed.names, seed.n) != (names, n) for seed in per_seed):
        raise ValueError("the groups or their numbers of scored rows differ; expected the same for all seeds")
    accuracies = [_values([seed.accuracy[group] for seed in per_seed]) for group in range(len(names))]
    adjusted = _values([seed.adjusted_average for seed in per_seed])
    adjusted_gap = _values([seed.adjusted_gap for seed in per_seed])
    return GroupSummary(
        names=names,
        n=n,
        accuracy=tuple(None if values is None else float(np.mean(values)) for values in accuracies),
        average=summarize_values([seed.average for seed in per_seed]),
        adjusted_average=None if adjusted is None else summarize_values(adjusted),
        worst_group=tuple(seed.worst_group for seed in per_seed),
        worst_accuracy=summarize_values([seed.worst_accuracy for seed in per_seed]),
        worst_n=tuple(seed.worst_n for seed in per_seed),
        worst_interval=tuple(seed.worst_interval for seed in per_seed),
        gap=summarize_values([seed.gap for seed in per_seed]),
        adjusted_gap=None if adjusted_gap is None else summarize_values(adjusted_gap),
    )


def _check_shares(shares: Sequence[float], n_groups: int) -> None:
    """Raise ValueError unless there is one share for each group and they sum to 1."""
    if len(shares) != n_groups:
        raise ValueError(f"{len(shares)} train shares for {n_groups} groups; expected one for each group")
    if not abs(sum(shares) - 1) <= SHARES_TOLERANCE or min(shares) < 0:
        raise ValueError(f"the train shares {list(shares)} are not shares; expected 0 or more, with the sum 1")


def _weighted_mean(accuracy: Sequence[float | None], shares: Sequence[float]) -> float | None:
    """Return the mean weighted by shares; None if a group with a share has no accuracy."""
    weighted = [(value, share) for value, share in zip(accuracy, shares, strict=True) if share]
    values = _values([value for value, _ in weighted])
    return None if values is None else sum(value * share for value, (_, share) in zip(values, weighted, strict=True))


def _values(values: Sequence[float | None]) -> list[float] | None:
    """Return the values; None if one of them is None."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None
