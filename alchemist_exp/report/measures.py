"""Computes what a report shows and the record does not have: intervals, agreement and slices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, BoolArray, IntArray
from alchemist_exp.report.rows import LabeledRows

N_DRAWS: Final = 2_000
MAX_VALUES: Final = 12
"""Different values of a column that gives slices."""

_INTERVAL: Final = (2.5, 97.5)


def score_interval(confusion: Sequence[Sequence[int]], metric: str, positive: int | None) -> tuple[float, float] | None:
    """Return an interval of a score over rows: the rows are drawn again with replacement (percentile bootstrap).

    Args:
        confusion: Counts by gold class and predicted class.
        metric: "accuracy", "f1" or "macro_f1".
        positive: The class of the binary F1 score; None for the weighted F1 score.

    Returns:
        The bounds of the 95 % interval; None without rows.

    Example:
        >>> [round(bound, 2) for bound in score_interval([[90, 10], [10, 90]], "accuracy", None)]
        [0.85, 0.94]

    """
    counts = np.asarray(confusion, dtype=np.int64)
    n_rows = int(counts.sum())
    if not n_rows:
        return None
    drawn = np.random.default_rng(0).multinomial(n_rows, counts.ravel() / n_rows, size=N_DRAWS)
    drawn = drawn.reshape(N_DRAWS, *counts.shape)
    right = np.diagonal(drawn, axis1=1, axis2=2)
    if metric == "accuracy":
        values = right.sum(axis=1) / n_rows
    else:
        gold, predicted = drawn.sum(axis=2), drawn.sum(axis=1)
        f1 = 2 * right / np.maximum(gold + predicted, 1)
        if metric == "macro_f1":
            values = f1.sum(axis=1) / np.count_nonzero(gold + predicted, axis=1)
        else:
            values = f1[:, positive] if positive is not None else (f1 * gold).sum(axis=1) / n_rows
    low, high = np.percentile(values, _INTERVAL)
    return float(low), float(high)


def agreement(votes: npt.NDArray[np.int8]) -> list[list[float | None]]:
    """Return how often two programs vote for the same class, of the rows on which both vote.

    Args:
        votes: int8 array of shape (n_rows, n_programs); -1 means abstain.

    Returns:
        A symmetric matrix of shares; None for two programs without a common row.

    Example:
        >>> agreement(np.array([[0, 0, -1], [1, 0, -1]], dtype=np.int8))
        [[1.0, 0.5, None], [0.5, 1.0, None], [None, None, None]]

    """
    voted = (votes != ABSTAIN).astype(np.float32)
    together = voted.T @ voted
    same = np.zeros_like(together)
    for label in range(int(votes.max(initial=0)) + 1):
        of_class = (votes == label).astype(np.float32)
        same += of_class.T @ of_class
    shares = np.divide(same, together, out=np.full_like(same, np.nan), where=together > 0)
    return [[None if np.isnan(value) else round(float(value), 4) for value in row] for row in shares]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a split and its scores.

    Attributes:
        name: What its rows have in common.
        n_rows: How many rows it has.
        coverage: The share of them with a label of the label model.
        label_model: The accuracy of these labels; None without one.
        distilled: The accuracy of the distilled model; None without one.

    """

    name: str
    n_rows: int
    coverage: float
    label_model: float | None
    distilled: float | None


def slices(rows: LabeledRows, chosen: BoolArray) -> Mapping[str, list[Slice]]:
    """Return scores of parts of some rows with gold labels.

    Args:
        rows: The rows of a run.
        chosen: Boolean array of shape (n_rows,): the rows that are divided.

    Returns:
        By what the rows are divided (length, or a column of the input with few values) -> its parts.

    """
    found = {}
    for title, parts in _divisions(rows, chosen):
        measured = [_slice(rows, chosen & part, name) for name, part in parts]
        found[title] = [one for one in measured if one.n_rows]
    return {title: parts for title, parts in found.items() if len(parts) > 1}


def _divisions(rows: LabeledRows, chosen: BoolArray) -> Iterator[tuple[str, list[tuple[str, BoolArray]]]]:
    """Yield names of divisions of the rows, and their parts."""
    import pyarrow as pa
    from pyarrow import compute

    texts = {name: column for name, column in rows.content.items() if _is_text(column.type)}
    if len(rows.content) == 1 and texts:
        ((name, column),) = texts.items()
        lengths = np.asarray(compute.utf8_length(column).fill_null(0).to_numpy(), dtype=np.int64)
        if name != "image" and chosen.any():
            bounds = np.unique(np.percentile(lengths[chosen], (0, 25, 50, 75, 100)).round().astype(np.int64))
            parts = []  # the last range includes its upper bound
            for number, (low, high) in enumerate(pairwise(bounds.tolist())):
                last = number == len(bounds) - 2
                parts.append((f"{low:,} to {high if last else high - 1:,}", (lengths >= low) & (lengths < high + last)))
            yield "length in characters", parts
    columns = {**rows.content, **rows.others} if len(rows.content) > 1 else rows.others
    for name, column in columns.items():
        kind = column.type
        if not (_is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
            continue
        values = np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=object)
        different = sorted({*values[chosen].tolist()})
        if 2 <= len(different) <= MAX_VALUES:
            yield name, [(value or "(empty)", values == value) for value in different]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _slice(rows: LabeledRows, part: BoolArray, name: str) -> Slice:
    def accuracy(labels: IntArray) -> float | None:
        """Return the share of right labels in the part; None without rows that have both labels."""
        labeled = part & (labels != ABSTAIN) & (rows.gold != ABSTAIN)
        return float((labels == rows.gold)[labeled].mean()) if labeled.any() else None

    return Slice(
        name=name,
        n_rows=int(part.sum()),
        coverage=float((rows.weak[part] != ABSTAIN).mean()) if part.any() else 0.0,
        label_model=accuracy(rows.weak),
        distilled=accuracy(rows.predicted),
    )
