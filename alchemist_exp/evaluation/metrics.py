"""Accuracy and F1 of predictions, coverage and accuracy of programs, means over seeds. A score is never NaN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix

_Confusion = npt.NDArray[np.int64]
"""int64 (k, k): rows by gold class, then by predicted class."""

METRICS: Final = ("accuracy", "f1", "macro_f1")
"""The fields of `Scores` that are summarized over seeds."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well rows were predicted, each score in 0..1.

    f1: binary or weighted, see `score`. macro_f1: mean over the classes that occur. rows: how many were scored.
    """

    accuracy: float
    f1: float
    macro_f1: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class ProgramScores:
    """One program against gold.

    coverage: share of rows it votes on. accuracy: share of these it is right on, None without votes or gold.
    """

    coverage: float
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class SeedSummary:
    """One metric over seeds. std: sample standard deviation (ddof 1), 0 for a single seed."""

    mean: float
    std: float
    per_seed: tuple[float, ...]


def score(gold: IntArray, predicted: IntArray, *, n_classes: int, positive: int | None) -> Scores | None:
    """Scores the rows that are predicted; None when every row is `ABSTAIN`, or there is none.

    gold: (n,), each in 0..n_classes-1. predicted: (n,), the same or `ABSTAIN`. positive: the class whose F1 is
    reported (paper, Section 4.1: spam on SMS); None reports the mean F1 weighted by the classes' gold rows. The F1 of
    a class that neither side names is 0. ValueError when shapes or classes do not fit.
    """
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    if gold.ndim != 1 or gold.shape != predicted.shape:
        raise ValueError(f"gold {gold.shape} and predicted {predicted.shape} do not fit; (n,) is needed of both")
    if positive is not None and not 0 <= positive < n_classes:
        raise ValueError(f"the positive class is {positive}; 0..{n_classes - 1} is allowed")
    _check("gold", gold, 0, n_classes)
    _check("predicted", predicted, ABSTAIN, n_classes)
    decided = predicted != ABSTAIN
    rows = int(decided.sum())
    if not rows:
        return None
    confusion = _confusion(gold[decided], predicted[decided], n_classes)
    by_class = _f1_by_class(confusion)
    true = confusion.sum(axis=1)
    occurring = true + confusion.sum(axis=0) > 0
    return Scores(
        accuracy=float(np.trace(confusion) / rows),
        f1=float(by_class @ true / rows if positive is None else by_class[positive]),
        macro_f1=float(by_class[occurring].mean()),
        rows=rows,
    )


def program_scores(matrix: LabelMatrix, gold: IntArray | None) -> tuple[ProgramScores, ...]:
    """Scores each of the m programs over the rows it votes on; gold: (n,), None when there is none."""
    votes = matrix.votes
    if gold is not None and gold.shape != votes.shape[:1]:
        raise ValueError(f"votes {votes.shape} and gold {gold.shape} do not fit; (n, m) and (n,) are needed")
    decided = votes != ABSTAIN
    counts = decided.sum(axis=0)
    hits = None if gold is None else (votes == gold[:, np.newaxis]).sum(axis=0)  # gold is never ABSTAIN
    return tuple(
        ProgramScores(
            coverage=float(count / len(votes)) if len(votes) else 0.0,
            accuracy=float(hits[program] / count) if hits is not None and count else None,
        )
        for program, count in enumerate(counts)
    )


def summarize(scores: Sequence[Scores]) -> dict[str, SeedSummary]:
    """Summarises each metric over the seeds' scores. ValueError without any."""
    if not scores:
        raise ValueError("no scores to summarize; at least one seed is needed")
    return {name: _summary([getattr(seed, name) for seed in scores]) for name in METRICS}


def _summary(values: Sequence[float]) -> SeedSummary:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SeedSummary(mean=float(np.mean(values)), std=std, per_seed=tuple(values))


def _check(what: str, classes: IntArray, lowest: int, n_classes: int) -> None:
    if classes.size and not lowest <= classes.min() <= classes.max() < n_classes:
        raise ValueError(f"{what} lies in {classes.min()}..{classes.max()}; {lowest}..{n_classes - 1} is allowed")


def _confusion(gold: IntArray, predicted: IntArray, n_classes: int) -> _Confusion:
    cells = np.bincount(gold.astype(np.int64) * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def _f1_by_class(confusion: _Confusion) -> npt.NDArray[np.float64]:
    """float64 (k,): 2 hits / (gold + predicted), 0 for a class that neither side names."""
    hits = np.diag(confusion)
    named = confusion.sum(axis=0) + confusion.sum(axis=1)
    by_class: npt.NDArray[np.float64] = np.divide(2.0 * hits, named, out=np.zeros(len(hits)), where=named > 0)
    return by_class
