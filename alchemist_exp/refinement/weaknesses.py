"""Finds what a set of programs labels badly: rows without a vote, weak classes and contradicting votes.

Rows are found by votes alone. With gold labels of valid, the majority vote is scored by class, too. No label model is
involved, so that the prompts made from a weakness do not change with its settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations, zip_longest
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, BoolArray, IntArray, LabelMatrix, SoftLabels
from alchemist_exp.evaluation.metrics import ClassScores, class_scores, confusion_matrix
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.refinement.words import WordCounts

_MIN_SHARE: Final = 0.01
"""The least share of rows for which a program is asked."""
_CLEAR: Final = 2 / 3
"""The share of its votes that the first class of a row needs, so that the row is not contested."""
WORDS_OF_CLASS: Final = 20
"""Words of each class in a prompt about all classes."""
_MIN_GOLD_ROWS: Final = 20
"""Rows of valid that a share needs."""


class WeaknessKind(StrEnum):
    """What is weak; the values are names of templates in `prompt.refine`."""

    UNCOVERED = "uncovered"
    CLASS = "class"
    CONTESTED = "contested"


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassRecall:
    """How the majority vote treats the valid rows of a class, as shares of these rows.

    Attributes:
        found: Labeled right.
        missed: Labeled as another class.
        open: Without a vote.
        other: The other class that is most frequent among the missed rows; None if no row is missed.
        precision: The share of the rows labeled as this class that are of it; None if there is no such row.

    """

    found: float
    missed: float
    open: float
    other: int | None
    precision: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Weakness:
    """One weakness, which one program is asked to work on.

    Attributes:
        kind: What is weak.
        share: The share of rows of train that it concerns.
        rows: Boolean array of shape (n_train_rows,): these rows.
        classes: The classes that it is about: none, one, or the two that contradict each other.
        words: Words that are typical of these rows.
        class_words: Words of rows without a clear vote that go with a class in rows with a clear vote; by class.
        balance: The shares of the classes among rows of valid without a vote; None without gold labels.
        recall: How rows of the class are treated; None without gold labels.

    """

    kind: WeaknessKind
    share: float
    rows: BoolArray
    classes: tuple[int, ...] = ()
    words: Sequence[str] = ()
    class_words: dict[int, Sequence[str]] = field(default_factory=dict)
    balance: Sequence[float] | None = None
    recall: ClassRecall | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class BankState:
    """What a set of programs does on the data.

    Attributes:
        n_programs: The number of programs.
        n_rows: The rows of train that were looked at.
        coverage: The share of these rows with a vote.
        scores: The scores of the majority vote on valid by class; None without gold labels.
        balance: The shares of the classes on valid; None without gold labels.
        weaknesses: What is weak, the most important first.

    """

    n_programs: int
    n_rows: int
    coverage: float
    scores: tuple[ClassScores, ...] | None
    balance: Sequence[float] | None
    weaknesses: tuple[Weakness, ...]


def bank_state(
    train: LabelMatrix, words: WordCounts, valid: LabelMatrix | None = None, gold: IntArray | None = None
) -> BankState:
    """Find what a set of programs labels badly.

    The order is: rows without a vote, the weakest class, the pair of classes with most contradictions, the next class,
    the next pair, and so on.

    Args:
        train: The votes on train.
        words: The words of the rows of `train`.
        valid: The votes on valid; None when its gold labels may not be used.
        gold: int64 array of shape (n_valid_rows,); None when they may not be used.

    Returns:
        The state, with weaknesses that each concern at least one row in a hundred.

    """
    counts = train.counts()
    total, top = counts.sum(axis=1), counts.max(axis=1)
    uncovered = ~train.covered
    clear = train.covered & (top >= _CLEAR * total)
    majority = counts.argmax(axis=1)
    by_class = {}
    for c in range(train.n_classes):
        # A word helps only if the rows whose labels may change have it, too.
        doubtful = ~clear | ((counts[:, c] > 0) & (majority != c))
        by_class[c] = words.typical(clear & (majority == c), clear & (majority != c), within=doubtful)
    predicted = scores = None
    if valid is not None and gold is not None:
        predicted = majority_vote(valid)
        scores = class_scores(confusion_matrix(gold, predicted, train.n_classes))

    weaknesses: list[Weakness] = []
    if uncovered.mean() >= _MIN_SHARE:
        weaknesses.append(
            Weakness(
                kind=WeaknessKind.UNCOVERED,
                share=float(uncovered.mean()),
                rows=uncovered,
                words=words.typical(uncovered, ~uncovered),
                class_words={c: of_class[:WORDS_OF_CLASS] for c, of_class in by_class.items() if of_class},
                balance=None
                if predicted is None or gold is None
                else _shares(gold[predicted == ABSTAIN], train.n_classes),
            )
        )
    classes = [
        Weakness(
            kind=WeaknessKind.CLASS,
            share=float((counts[:, c] > 0).mean()),
            rows=(counts[:, c] > 0) & ~clear,
            classes=(c,),
            class_words={c: by_class[c]},
            recall=None if predicted is None or gold is None else _recall(gold, predicted, c),
        )
        # The strongest class is left out: its missing rows are labeled as the other classes.
        for c in _weakest_first(counts, clear, scores)[:-1]
    ]
    pairs = [
        Weakness(
            kind=WeaknessKind.CONTESTED,
            share=float(rows.mean()),
            rows=rows,
            classes=pair,
            words=words.typical(rows, clear),
        )
        for pair, rows in _contested_pairs(counts, clear)
        if rows.mean() >= _MIN_SHARE
    ]
    for of_class, of_pair in zip_longest(classes, pairs):
        weaknesses += [weakness for weakness in (of_class, of_pair) if weakness is not None]
    return BankState(
        n_programs=train.votes.shape[1],
        n_rows=len(train.votes),
        coverage=train.coverage,
        scores=scores,
        balance=None if gold is None else _shares(gold, train.n_classes),
        weaknesses=tuple(weaknesses),
    )


def majority_vote(matrix: LabelMatrix) -> IntArray:
    """Return the class with most votes.

    Args:
        matrix: The votes.

    Returns:
        int64 array of shape (n_rows,); -1 without a vote.

    """
    labels: SoftLabels = Majority().predict_proba(matrix)
    return labels.hard()


def _weakest_first(counts: IntArray, clear: BoolArray, scores: tuple[ClassScores, ...] | None) -> list[int]:
    """Return the classes by their F1 on valid, or without gold labels by how often votes for them are contradicted."""
    n_classes = counts.shape[1]
    if scores is not None:
        return sorted(range(n_classes), key=lambda c: scores[c].f1 or 0.0)
    voted = counts > 0
    clear_shares = (voted & clear[:, np.newaxis]).sum(axis=0) / np.maximum(voted.sum(axis=0), 1)
    return [int(c) for c in np.argsort(clear_shares, kind="stable")]


def _contested_pairs(counts: IntArray, clear: BoolArray) -> list[tuple[tuple[int, int], BoolArray]]:
    """Return the pairs of classes that rows without a clear vote have votes for, the most frequent pair first."""
    contested = (counts.sum(axis=1) > 0) & ~clear
    pairs = [
        ((a, b), contested & (counts[:, a] > 0) & (counts[:, b] > 0))
        for a, b in combinations(range(counts.shape[1]), 2)
    ]
    return sorted(pairs, key=lambda pair: -int(pair[1].sum()))


def _shares(gold: IntArray, n_classes: int) -> Sequence[float] | None:
    """Return the shares of the classes; None if there are too few rows to name shares."""
    if len(gold) < _MIN_GOLD_ROWS:
        return None
    shares: list[float] = (np.bincount(gold, minlength=n_classes) / len(gold)).tolist()
    return shares


def _recall(gold: IntArray, predicted: IntArray, label: int) -> ClassRecall | None:
    """Return what becomes of the rows of a class on valid; None if there are too few to name shares."""
    of_class = predicted[gold == label]
    if len(of_class) < _MIN_GOLD_ROWS:
        return None
    missed = of_class[(of_class != label) & (of_class != ABSTAIN)]
    return ClassRecall(
        found=float((of_class == label).mean()),
        missed=len(missed) / len(of_class),
        open=float((of_class == ABSTAIN).mean()),
        other=int(np.bincount(missed).argmax()) if len(missed) else None,
        precision=float((gold[predicted == label] == label).mean()) if (predicted == label).any() else None,
    )
