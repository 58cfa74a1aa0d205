"""Looks at votes and the labels made of them, and says in a sentence each what a careful person would look into.

A warning is a reason to compare, not a proof: nothing is changed, and a wrong label that everybody votes for passes.
Thresholds were set on 17 sets of votes (recorded programs on seven datasets, human-crafted functions on two) under
every label model. What lost more than six points of accuracy to the majority vote is named, what beat it is not, but
for Snorkel on french, which gains four points and all but gives up a class.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import LabeledVotes

MOST_CONTRADICTED: Final = 0.05
"""Share of unanimous rows labeled otherwise. Sound fits reach .023, collapsed ones begin at .13."""

FARTHEST: Final = 0.10
"""Share of rows labeled against the majority vote. Snorkel, five points better than it, reaches .097 on finance."""

LEAST_KEPT: Final = 0.5
"""Share of the majority vote's rows of one class that keep it: below, a class is being voted away."""

LEANING: Final = 0.95
"""Share of the rows where one program stands against the others that go its way. Recorded programs reach .83."""

LEANT_ON: Final = 0.05
"""Share of all voted rows that these rows must be, or leaning does little."""

DEVIATIONS: Final = 4.0
"""How many standard deviations under chance a program must be; with dozens of programs two or three happen."""

ALIKE: Final = 0.98
"""Share of contested rows on which two programs answer the same. Recorded programs reach .969."""

FEWEST_ROWS: Final = 20
"""Shares of fewer rows than this say nothing."""

_NAMED = 3


def diagnose(
    matrix: LabelMatrix,
    labels: SoftLabels,
    *,
    labeled_by: str,
    names: Sequence[str],
    classes: Sequence[str],
    labeled: LabeledVotes | None = None,
) -> list[str]:
    """Warnings about the votes (n, m) and their labels (n, k); empty when there is nothing to look into.

    labeled_by: the label model's name. names: one per program. classes: their names. labeled: votes with gold,
    None where no stage may use it.
    """
    counts, hard = matrix.counts(), labels.hard()
    return [
        *_contradicted(counts, hard, labeled_by),
        *_far_from_majority(counts, hard, labeled_by, classes),
        *_leaning(matrix, counts, hard, labeled_by, names),
        *_below_chance(matrix, counts, names, labeled),
        *_near_copies(matrix, names),
        *_of_one_mind(matrix, hard, classes),
    ]


def _contradicted(counts: IntArray, hard: IntArray, labeled_by: str) -> list[str]:
    """Rows on which two or more programs vote, all for one class, and the label is another."""
    cast = counts.sum(axis=1)
    unanimous = (cast >= 2) & (counts.max(axis=1) == cast)
    rows = int(unanimous.sum())
    against = np.count_nonzero(hard[unanimous] != counts[unanimous].argmax(axis=1))
    if rows < FEWEST_ROWS or against <= MOST_CONTRADICTED * rows:
        return []
    return [
        f"{labeled_by} contradicts all voters on {against:,} of {rows:,} rows ({against / rows:.0%}) where two or more "
        "of them agree, so its assumptions do not fit these votes; use label_model=majority."
    ]


def _far_from_majority(counts: IntArray, hard: IntArray, labeled_by: str, classes: Sequence[str]) -> list[str]:
    """Labels that part with the majority vote on many rows, or on most rows of a class."""
    majority = _plurality(counts)
    decided = majority != ABSTAIN
    rows, off = int(decided.sum()), int(np.count_nonzero(hard[decided] != majority[decided]))
    cure = "compare with label_model=majority before trusting either"
    if rows >= FEWEST_ROWS and off > FARTHEST * rows:
        return [
            f"{labeled_by} labels {off:,} of {rows:,} voted rows ({off / rows:.0%}) against the majority vote; {cure}."
        ]
    for c, name in enumerate(classes):
        of_class = majority == c
        had, kept = int(of_class.sum()), int(np.count_nonzero(hard[of_class] == c))
        if had >= FEWEST_ROWS and kept < LEAST_KEPT * had:
            return [
                f"{labeled_by} keeps {kept:,} of the {had:,} rows ({kept / had:.0%}) that the majority vote gives to "
                f"{name}; {cure}."
            ]
    return []


def _leaning(matrix: LabelMatrix, counts: IntArray, hard: IntArray, labeled_by: str, names: Sequence[str]) -> list[str]:
    """Programs that the labels follow against all others."""
    voted = int(matrix.covered.sum())
    found = []
    for program, name in enumerate(names):
        votes = matrix.votes[:, program]
        others = _plurality(_without(counts, votes))
        alone = (votes != ABSTAIN) & (others != ABSTAIN) & (votes != others)
        rows, followed = int(alone.sum()), int(np.count_nonzero(hard[alone] == votes[alone]))
        if rows >= max(FEWEST_ROWS, LEANT_ON * voted) and followed >= LEANING * rows:
            found.append(f"{name} ({followed:,} of {rows:,})")
    if not found:
        return []
    return [
        f"{labeled_by} follows a single program nearly everywhere against the majority of the others: "
        f"{_listed(found)}; read it, and compare with label_model=majority."
    ]


def _below_chance(
    matrix: LabelMatrix, counts: IntArray, names: Sequence[str], labeled: LabeledVotes | None
) -> list[str]:
    """Programs that are right less often than the same votes dealt out at random would be."""
    found = []
    for program, name in enumerate(names):
        if labeled is not None:
            votes, truth = labeled.matrix.votes[:, program], labeled.gold
        else:
            votes = matrix.votes[:, program]
            truth = _plurality(_without(counts, votes))
        right, chance, rows = _right_and_chance(votes, truth, matrix.n_classes)
        if right * rows < chance * rows - DEVIATIONS * np.sqrt(chance * (1 - chance) * rows):
            found.append(f"{name} ({right:.2f}, chance {chance:.2f})")
    if not found:
        return []
    against = "the validation labels" if labeled is not None else "the majority of the others, for want of gold"
    return [f"Worse than chance against {against}: {_listed(found)}; mend or leave out, as method=program_files can."]


def _right_and_chance(votes: npt.NDArray[np.int8], truth: IntArray, k: int) -> tuple[float, float, int]:
    """Share of votes that are right, the share expected of as many votes per class dealt at random, and how many."""
    known = truth != ABSTAIN
    cast = known & (votes != ABSTAIN)
    rows = int(cast.sum())
    if not rows:
        return 0.0, 0.0, 0
    classes = np.bincount(truth[known], minlength=k) / known.sum()
    named = np.bincount(votes[cast], minlength=k) / rows
    return float((votes[cast] == truth[cast]).mean()), float(classes @ named), rows


def _near_copies(matrix: LabelMatrix, names: Sequence[str]) -> list[str]:
    """Pairs that answer alike wherever one of them votes and not all programs answer alike."""
    votes = matrix.votes[(matrix.votes != matrix.votes[:, :1]).any(axis=1)]
    same = np.zeros((len(names), len(names)))
    for c in range(matrix.n_classes):
        of_class = (votes == c).astype(np.float32)
        same += of_class.T @ of_class
    voted = (votes != ABSTAIN).astype(np.float32)
    cast = voted.sum(axis=0)
    either = cast[:, np.newaxis] + cast - voted.T @ voted
    pairs = np.argwhere(np.triu((either >= FEWEST_ROWS) & (same >= ALIKE * either), 1))
    if not len(pairs):
        return []
    found = [f"{names[i]} and {names[j]} ({same[i, j] / either[i, j]:.0%})" for i, j in pairs.tolist()]
    return [
        f"Near-copies, alike on contested rows: {_listed(found)}; label models take programs to be independent, so "
        "leave one of each out, as method=program_files can."
    ]


def _of_one_mind(matrix: LabelMatrix, hard: IntArray, classes: Sequence[str]) -> list[str]:
    """Votes that hold nothing to weigh: all programs answer alike, or all labels are the same."""
    labeled = hard[hard != ABSTAIN]
    if len(labeled) < FEWEST_ROWS:
        return []
    found = []
    if matrix.votes.shape[1] > 1 and (matrix.votes == matrix.votes[:, :1]).all():
        found.append("All programs answer alike on every row, so there is nothing to weigh; one of them would do.")
    if (labeled == labeled[0]).all():
        found.append(f"Every label is {classes[labeled[0]]}; look at the programs before training on that.")
    return found


def _plurality(counts: IntArray) -> IntArray:
    """int64 (n,): the class with the most votes, ABSTAIN where there is no vote or a tie."""
    most = counts.max(axis=1, keepdims=True)
    plurality: IntArray = np.where((counts == most).sum(axis=1) == 1, counts.argmax(axis=1), ABSTAIN)
    return plurality


def _without(counts: IntArray, votes: npt.NDArray[np.int8]) -> IntArray:
    """The counts (n, k) less one program's votes (n,)."""
    rest: IntArray = counts - (votes[:, np.newaxis] == np.arange(counts.shape[1]))
    return rest


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
