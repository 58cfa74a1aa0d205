"""Warnings on labels that are compared with the gold labels of valid, where the configuration allows their use."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, IntArray, SoftLabels, largest_class
from alchemist_exp.evaluation.metrics import class_scores, confusion_matrix
from alchemist_exp.label_models.base import LabeledVotes
from alchemist_exp.label_models.wrong_programs import MIN_DEVIATIONS, MIN_ROWS, MIN_SINGLE_DEVIATIONS

MAX_LOSS: Final = 0.02
"""Largest loss of macro F1 or accuracy on valid, compared with the majority vote."""

MIN_DECISIVE_ROWS: Final = 50
"""Labeled rows of valid with a vote from which on valid decides whether labels are worse than the majority vote, and
not agreement on train. Of 129 fits that beat it by over two points, 4 get a warning (6 from 75 rows, 14 from 100; by
agreement 40); of 92 that lose as much, 78 do (79, 80; 82). See docs/label_model_choice.md."""

MAX_CONFIDENCE_GAP: Final = 0.15
"""Largest difference between the mean confidence of the labels and their accuracy on valid. Measured over label models
and sets of recorded programs: finance .18 to .28, french .12 to .54, yelp .07 to .16, sms and youtube up to .11."""

MIN_SHARE_GAP: Final = 0.15
"""Smallest difference of a class's share between labels and gold labels that is warned of."""


def check_on_valid(
    labels: SoftLabels, on_valid: SoftLabels, labeled: LabeledVotes, *, labeled_by: str, class_names: Sequence[str]
) -> list[str]:
    """Check labels against gold labels of valid: their scores, their confidence, and the share of each class.

    Args:
        labels: Soft labels of train.
        on_valid: Soft labels of valid.
        labeled: Votes on valid with its gold labels.
        labeled_by: The label model's name in the warnings.
        class_names: A name per class.

    Returns:
        Warnings; none with fewer than `MIN_ROWS` labeled rows.

    Example:
        >>> from alchemist_exp.core.types import LabelMatrix
        >>> votes = LabelMatrix(votes=np.zeros((100, 1), np.int8), n_classes=2)
        >>> labels = SoftLabels(probs=np.tile([0.6, 0.4], (100, 1)), covered=votes.covered)
        >>> labeled = LabeledVotes(matrix=votes, gold=np.arange(100) % 2)
        >>> check_on_valid(labels, labels, labeled, labeled_by="m", class_names=["ham", "spam"])
        ['m labels 100% of train as ham, but valid has 50%; compare with other label models, or read the programs.']

    """
    hard, predicted, gold, n_classes = labels.hard(), on_valid.hard(), labeled.gold, len(class_names)
    decided = predicted != ABSTAIN
    rows = int(decided.sum())
    if rows < MIN_ROWS or np.count_nonzero(hard != ABSTAIN) < MIN_ROWS:
        return []
    warnings = []
    counts = np.bincount(gold[decided], minlength=n_classes)
    accuracy, frequent = float((predicted[decided] == gold[decided]).mean()), int(counts.argmax())
    if accuracy < counts[frequent] / rows:
        warnings.append(
            f"{labeled_by} is right on {accuracy:.1%} of the labeled rows of valid; the class {class_names[frequent]} "
            f"alone would be right on {counts[frequent] / rows:.1%}."
        )
    if losses := _losses_against_majority(on_valid, labeled):
        warnings.append(f"{labeled_by} has {losses[0]}; compare the classes with alchemist show -v.")
    confidence = float(on_valid.probs[decided].max(axis=1).mean())
    # A gap that chance explains with this number of rows is no finding; the same holds for the shares below.
    deviation = np.sqrt(accuracy * (1 - accuracy) / rows)
    if abs(confidence - accuracy) > max(MAX_CONFIDENCE_GAP, MIN_SINGLE_DEVIATIONS * deviation):
        warnings.append(
            f"the soft labels of {labeled_by} have a mean confidence of {confidence:.2f} on valid and are right on "
            f"{accuracy:.2f} of the rows; label_model=stacked learns its confidence from valid."
        )
    given = np.bincount(hard[hard != ABSTAIN], minlength=n_classes) / np.count_nonzero(hard != ABSTAIN)
    expected = np.bincount(gold, minlength=n_classes) / len(gold)
    far = int(np.abs(given - expected).argmax())
    deviation = np.sqrt(expected[far] * (1 - expected[far]) / len(gold))
    if abs(given[far] - expected[far]) > max(MIN_SHARE_GAP, MIN_DEVIATIONS * deviation):
        warnings.append(
            f"{labeled_by} labels {given[far]:.0%} of train as {class_names[far]}, but valid has {expected[far]:.0%}; "
            "compare with other label models, or read the programs."
        )
    return warnings


def shows_no_loss(on_valid: SoftLabels, labeled: LabeledVotes) -> bool:
    """Return whether valid shows that labels are not worse than the majority vote.

    Args:
        on_valid: Soft labels of valid.
        labeled: Votes on valid with its gold labels.

    Returns:
        False where valid shows a loss of macro F1 or accuracy, or has fewer than `MIN_DECISIVE_ROWS` labeled rows to
        show it.

    """
    if np.count_nonzero(on_valid.covered) < MIN_DECISIVE_ROWS:
        return False
    return not _losses_against_majority(on_valid, labeled)


def _losses_against_majority(on_valid: SoftLabels, labeled: LabeledVotes) -> list[str]:
    """Return the scores on valid that are lower than those of the majority vote by more than `MAX_LOSS`."""
    decided, gold = on_valid.covered, labeled.gold

    def scores(classes: IntArray) -> tuple[float, float]:
        """Return the macro F1 over the classes that occur, and the accuracy, of the decided rows."""
        confusion = confusion_matrix(gold, np.where(decided, classes, ABSTAIN), labeled.matrix.n_classes)
        f1s = [one.f1 for one in class_scores(confusion) if one.f1 is not None]
        return float(np.mean(f1s)), float((classes[decided] == gold[decided]).mean())

    own, other = scores(on_valid.hard()), scores(largest_class(labeled.matrix.counts()))
    return [
        f"{name} {score:.3f} on valid, label_model=majority {of_majority:.3f}"
        for name, score, of_majority in zip(("macro F1", "accuracy"), own, other, strict=True)
        if score < of_majority - MAX_LOSS
    ]
