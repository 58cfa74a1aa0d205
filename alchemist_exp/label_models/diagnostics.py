"""Warnings about votes and the soft labels made of them, one sentence each.

A warning is a reason to compare label models, not a proof of an error. Nothing is changed, and a wrong label that all
programs vote for is not detected. The thresholds were set on 17 label matrices (recorded programs on seven datasets,
human-crafted functions on two) under every label model: each model that loses more than six points of accuracy
against the majority vote gets a warning. docs/label_model_choice.md says how many good and bad fits get one, also on
random sets of programs. Where enough labeled rows show that labels are as good as the majority vote, disagreement with
it is no reason for a warning (`compare_with_majority`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix, SoftLabels
from alchemist_exp.label_models.base import LabeledVotes
from alchemist_exp.label_models.wrong_programs import (
    MIN_ROWS,
    MIN_SINGLE_DEVIATIONS,
    accuracy_and_chance,
    is_below_chance,
    plurality,
    without_votes,
    wrong_programs,
)

MAX_CONTRADICTED: Final = 0.05
"""Largest share of unanimous rows with another label. Good fits reach .023, collapsed ones start at .13."""

MAX_DISAGREEMENT: Final = 0.10
"""Largest share of rows labeled against the majority vote. Snorkel, five points better than it, has .097 on finance."""

MIN_KEPT: Final = 0.65
"""Smallest share of the majority vote's rows of a class that keep the class; below it, the class is disappearing. Of
all recorded fits with a better macro F1 than the majority vote, only one keeps less."""

MAX_FOLLOWED: Final = 0.95
"""Share of the rows where a program disagrees with the majority of the others: from here on the labels follow it too
often. Recorded programs reach .83."""

MIN_FOLLOWED_ROWS: Final = 0.05
"""Share of all covered rows that these rows must be; on fewer, it matters little which program is followed."""

MAX_SIMILARITY: Final = 0.98
"""Share of contested rows on which two near-duplicates have the same outcome. Recorded programs reach .969."""

MIN_ORDER_VOTES: Final = 5
"""Votes on labeled rows that each class needs before another order of the classes is suggested."""

_MAX_LISTED = 3  # programs or pairs named in one warning


def diagnose(
    matrix: LabelMatrix,
    labels: SoftLabels,
    *,
    labeled_by: str = "the label model",
    program_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    labeled: LabeledVotes | None = None,
    compare_with_majority: bool = True,
    wrong: Mapping[int, str] | None = None,
) -> list[str]:
    """Check votes and the labels that a label model made of them.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        labels: Soft labels of the same rows.
        labeled_by: The label model's name in the warnings; "majority" is not compared with the majority vote.
        program_names: A name per program; by default "program 0", "program 1", ...
        class_names: A name per class; by default "class 0", "class 1", ...
        labeled: Votes of the same programs on rows with gold labels. Without it, each program is compared with the
            majority of the others.
        compare_with_majority: Whether labels that differ from the majority vote are reported; False where labeled rows
            have shown that the labels are as good.
        wrong: The result of `wrong_programs` for the same votes; None to compute it.

    Returns:
        Warnings; empty when no check found anything.

    Raises:
        ValueError: The labels, names or labeled votes do not match the matrix.

    Example:
        Labels that are the opposite of three programs' unanimous votes:

        >>> import numpy as np
        >>> votes = np.tile([[0, 0, 0], [1, 1, 1], [0, 0, 1]], (20, 1)).astype(np.int8)
        >>> matrix = LabelMatrix(votes=votes, n_classes=2)
        >>> opposite = np.eye(2)[1 - votes[:, 0]]
        >>> warnings = diagnose(matrix, SoftLabels(probs=opposite, covered=matrix.covered))
        >>> warnings[0][:58]
        'the label model contradicts all voting programs on 40 of 4'

    """
    n_rows, n_programs = matrix.votes.shape
    program_names = [f"program {i}" for i in range(n_programs)] if program_names is None else program_names
    class_names = [f"class {c}" for c in range(matrix.n_classes)] if class_names is None else class_names
    for what, actual, expected in (
        ("labels", labels.probs.shape, (n_rows, matrix.n_classes)),
        ("program_names", len(program_names), n_programs),
        ("class_names", len(class_names), matrix.n_classes),
        ("labeled votes", n_programs if labeled is None else labeled.matrix.votes.shape[1], n_programs),
    ):
        if actual != expected:
            raise ValueError(f"{what}: {actual} does not match votes {matrix.votes.shape}; expected {expected}")
    counts, hard = matrix.counts(), labels.hard()
    wrong = wrong_programs(matrix, labeled, class_names) if wrong is None else wrong
    against_majority = [
        *_contradicted_votes(counts, hard, labeled_by),
        *_far_from_majority(counts, hard, labeled_by, class_names),
        *_followed_programs(matrix, counts, hard, labeled_by, program_names),
    ]
    return [
        # They advise to compare with the majority vote, which the labels are.
        *(against_majority if compare_with_majority and labeled_by != "majority" else []),
        *_wrong_program_warnings(wrong, program_names, labeled),
        # A wrong program contests rows on which good ones agree, so that these would look like duplicates.
        *_near_duplicates(matrix, [i for i in range(n_programs) if i not in wrong], program_names),
        *_constant_votes(matrix, hard, class_names),
    ]


def check_class_order(
    matrix: LabelMatrix, hard: IntArray, gold: IntArray, *, labeled_by: str, split: str, class_names: Sequence[str]
) -> list[str]:
    """Check votes and labels on rows with gold labels for class indices in another order.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        hard: Labels of the same rows, int64 of shape (n_rows,); -1 for none.
        gold: Gold labels of the same rows, int64 of shape (n_rows,).
        labeled_by: The label model's name in the warning.
        split: The split of the rows, for the warning.
        class_names: A name per class.

    Returns:
        One warning where most votes for each class are on rows of one other class, in a different order of all classes,
        or where the labels are worse than the same labels on random rows; otherwise none.

    Example:
        >>> import numpy as np
        >>> gold = np.arange(30) % 2
        >>> matrix = LabelMatrix(votes=(1 - gold[:, np.newaxis]).astype(np.int8), n_classes=2)
        >>> names = ["ham", "spam"]
        >>> found = check_class_order(matrix, 1 - gold, gold, labeled_by="m", split="valid", class_names=names)
        >>> found[0][-62:]
        'they fit the order 0 = spam, 1 = ham, in 100% of the 30 votes.'

    """
    n_classes = matrix.n_classes
    voted = matrix.votes != ABSTAIN
    gold_of_votes = np.broadcast_to(gold[:, np.newaxis], voted.shape)[voted]
    cells = np.bincount(matrix.votes[voted] * np.int64(n_classes) + gold_of_votes, minlength=n_classes**2)
    by_vote = cells.reshape(n_classes, n_classes)  # rows by the class of the vote, columns by gold class
    totals, order = by_vote.sum(axis=1), by_vote.argmax(axis=1)
    accuracy, chance, rows = accuracy_and_chance(hard, gold, n_classes)
    below = is_below_chance(accuracy, chance, rows, MIN_SINGLE_DEVIATIONS)
    reordered = (
        (totals >= MIN_ORDER_VOTES).all()
        and (2 * by_vote.max(axis=1) > totals).all()
        and sorted(order) == [*range(n_classes)]
        and (order != np.arange(n_classes)).any()
    )
    if not (below or reordered) or rows < MIN_ROWS:
        return []
    now = ", ".join(f"{c} = {name}" for c, name in enumerate(class_names))
    worse = f"worse than chance ({chance:.2f})" if below else "low"
    start = (
        f"the accuracy of {labeled_by} on {split} is {accuracy:.2f}, {worse}: are the class indices in the order {now}?"
    )
    if not reordered:
        return [start]
    fitting = ", ".join(f"{c} = {class_names[better]}" for c, better in enumerate(order))
    share = by_vote.max(axis=1).sum() / totals.sum()
    return [
        f"{start} The programs do not return these; they fit the order {fitting}, in {share:.0%} of the "
        f"{totals.sum():,} votes."
    ]


def _contradicted_votes(counts: IntArray, hard: IntArray, labeled_by: str) -> list[str]:
    """Warn of rows on which two or more programs vote, all for one class, and the label is another."""
    total = counts.sum(axis=1)
    unanimous = (total >= 2) & (counts.max(axis=1) == total)
    rows = int(unanimous.sum())
    contradicted = np.count_nonzero(hard[unanimous] != counts[unanimous].argmax(axis=1))
    if rows < MIN_ROWS or contradicted <= MAX_CONTRADICTED * rows:
        return []
    return [
        f"{labeled_by} contradicts all voting programs on {contradicted:,} of {rows:,} rows "
        f"({contradicted / rows:.0%}) where two or more vote and agree, so its assumptions do not hold here; "
        "use label_model=majority."
    ]


def _far_from_majority(counts: IntArray, hard: IntArray, labeled_by: str, class_names: Sequence[str]) -> list[str]:
    """Warn of labels that differ from the majority vote on many rows, or on most rows of one class."""
    majority = plurality(counts)
    decided = majority != ABSTAIN
    rows, different = int(decided.sum()), int(np.count_nonzero(hard[decided] != majority[decided]))
    advice = "compare with label_model=majority before you trust either"
    if rows >= MIN_ROWS and different > MAX_DISAGREEMENT * rows:
        return [
            f"{labeled_by} labels {different:,} of {rows:,} rows ({different / rows:.0%}) against the majority vote; "
            f"{advice}."
        ]
    for c, name in enumerate(class_names):
        of_class = majority == c
        had, kept = int(of_class.sum()), int(np.count_nonzero(hard[of_class] == c))
        if had >= MIN_ROWS and kept < MIN_KEPT * had:
            return [
                f"{labeled_by} keeps {kept:,} of the {had:,} rows ({kept / had:.0%}) that the majority vote labels "
                f"{name}; {advice}."
            ]
    return []


def _followed_programs(
    matrix: LabelMatrix, counts: IntArray, hard: IntArray, labeled_by: str, names: Sequence[str]
) -> list[str]:
    """Warn of programs whose vote becomes the label although the majority of the others disagrees."""
    covered = int(matrix.covered.sum())
    followed_programs = []
    for program, name in enumerate(names):
        votes = matrix.votes[:, program]
        others = plurality(without_votes(counts, votes))
        alone = (votes != ABSTAIN) & (others != ABSTAIN) & (votes != others)
        rows, followed = int(alone.sum()), int(np.count_nonzero(hard[alone] == votes[alone]))
        if rows >= max(MIN_ROWS, MIN_FOLLOWED_ROWS * covered) and followed >= MAX_FOLLOWED * rows:
            followed_programs.append(f"{name} ({followed:,} of {rows:,} rows)")
    if not followed_programs:
        return []
    return [
        f"{labeled_by} nearly always follows a single program against the majority of the others: "
        f"{_listed(followed_programs)}; read that program, and compare with label_model=majority."
    ]


def _wrong_program_warnings(wrong: Mapping[int, str], names: Sequence[str], labeled: LabeledVotes | None) -> list[str]:
    """Name the programs of `wrong_programs`."""
    if not wrong:
        return []
    truth = "the validation labels" if labeled is not None else "the majority of the others (no gold labels)"
    listed = _listed([f"{names[program]} ({reason})" for program, reason in wrong.items()])
    return [
        f"Often wrong, compared with {truth}: {listed}; fix or leave out these programs, for example with "
        "method=program_files."
    ]


def _near_duplicates(matrix: LabelMatrix, programs: Sequence[int], names: Sequence[str]) -> list[str]:
    """Warn of pairs with the same outcome on nearly all contested rows where at least one of the two votes.

    A row is contested when not all programs have the same outcome. On the others, all pairs agree.
    """
    if not programs:
        return []
    votes, names = matrix.votes[:, programs], [names[program] for program in programs]
    votes = votes[(votes != votes[:, :1]).any(axis=1)]
    same = np.zeros((len(names), len(names)))
    for c in range(matrix.n_classes):
        of_class = (votes == c).astype(np.float32)
        same += of_class.T @ of_class
    voted = (votes != ABSTAIN).astype(np.float32)
    total = voted.sum(axis=0)
    either = total[:, np.newaxis] + total - voted.T @ voted
    pairs = np.argwhere(np.triu((either >= MIN_ROWS) & (same >= MAX_SIMILARITY * either), 1))
    if not len(pairs):
        return []
    duplicates = [f"{names[i]} and {names[j]} ({same[i, j] / either[i, j]:.0%})" for i, j in pairs.tolist()]
    return [
        f"Near-duplicates, with the same outcome on contested rows: {_listed(duplicates)}; label models assume "
        "independent programs, so leave out one of each pair, for example with method=program_files."
    ]


def _constant_votes(matrix: LabelMatrix, hard: IntArray, class_names: Sequence[str]) -> list[str]:
    """Warn of votes that contain nothing to aggregate: all programs vote the same, or all labels are the same."""
    labeled = hard[hard != ABSTAIN]
    if len(labeled) < MIN_ROWS:
        return []
    warnings = []
    if matrix.votes.shape[1] > 1 and (matrix.votes == matrix.votes[:, :1]).all():
        warnings.append("All programs vote the same on every row, so there is nothing to aggregate; one is enough.")
    if (labeled == labeled[0]).all():
        warnings.append(f"Every label is {class_names[labeled[0]]}; check the labels before you train on them.")
    return warnings


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more
