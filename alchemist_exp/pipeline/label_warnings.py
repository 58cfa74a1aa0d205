"""Warnings on the soft labels of a run, from their votes and, where it may be used, from the gold labels of valid."""

from collections.abc import Mapping

from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.label_models.diagnostics import check_class_order, diagnose
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline.training_warnings import coverage_warnings
from alchemist_exp.pipeline.valid_warnings import check_on_valid, shows_no_loss


def label_warnings(result: LabelingResult, data: TextData, wrong: Mapping[int, str]) -> list[str]:
    """Return the warnings on the labels of train; of several classes per row, only on their coverage.

    Args:
        result: The soft labels and the votes they were made from.
        data: The dataset with its gold labels.
        wrong: The reason by column of each program whose votes are wrong, see `wrong_programs`.

    Returns:
        One sentence each.

    """
    labels, classes, labeled = result.labels[Split.TRAIN], data.task.classes, result.labeled_votes
    warnings = coverage_warnings(labels)
    if data.task.multi_label:
        return warnings
    split = class_order_split(result, data)
    if split is not None and (gold := data.gold(split)) is not None:
        matrix, hard = result.sources.matrices[split], result.labels[split].hard()
        warnings += check_class_order(
            matrix, hard, gold, labeled_by=result.labeled_by, split=split.value, class_names=classes
        )
    on_valid, is_good = result.labels.get(Split.VALID), False
    if on_valid is not None and labeled is not None:
        warnings += check_on_valid(labels, on_valid, labeled, labeled_by=result.labeled_by, class_names=classes)
        is_good = shows_no_loss(on_valid, labeled)
    warnings += diagnose(
        result.sources.matrices[Split.TRAIN],
        labels,
        labeled_by=result.labeled_by,
        program_names=result.sources.names,
        class_names=classes,
        labeled=labeled,
        compare_with_majority=not is_good,
        wrong=wrong,
    )
    return warnings


def class_order_split(result: LabelingResult, data: TextData) -> Split | None:
    """Return the split whose gold labels show the order of the classes.

    Args:
        result: The soft labels and the votes they were made from.
        data: The dataset with its gold labels.

    Returns:
        Valid, or else train; None without gold labels.

    """
    splits = (Split.VALID, Split.TRAIN)
    of_votes = [split for split in splits if split in result.labels and split in result.sources.matrices]
    return next((split for split in of_votes if data.gold(split) is not None), None)
