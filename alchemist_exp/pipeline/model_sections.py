"""Makes the record's sections on the label model and the end model: scores, coverage and warnings."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.label_sets import members, predicted_sets
from alchemist_exp.core.types import ABSTAIN, BoolArray, FloatArray, IntArray, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.evaluation.label_sets import score_classes, score_sets
from alchemist_exp.evaluation.metrics import Scores, class_scores, confusion_matrix, score, summarize
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline.label_warnings import label_warnings
from alchemist_exp.pipeline.prediction_stage import Predictions
from alchemist_exp.results.record import Section


def label_model_section(
    result: LabelingResult, data: TextData, positive: int | None, wrong: Mapping[int, str]
) -> Section:
    """Return the record's section on the label model.

    Args:
        result: The soft labels.
        data: The dataset.
        positive: The class of the binary F1 score; None for the weighted F1 score.
        wrong: The reason by column of each program whose votes are wrong, see `wrong_programs`.

    Returns:
        The coverage of every split, scores over covered rows where there are gold labels (also by class, and on the
        rows of a split whose text is in no earlier split, if it has others), and warnings on the labels.
    """
    metrics: dict[str, Section | None] = {}
    metrics_unseen: dict[str, Section | None] = {}
    by_class: dict[str, Section] = {}
    for split, labels in result.labels.items():
        if (gold := data.gold(split)) is not None:
            metrics[split.value] = _scores(gold, labels.hard(), data, positive)
            by_class[split.value] = _by_class(gold, labels.hard(), data)
            if (unseen := _partly_unseen(data, split)) is not None:
                metrics_unseen[split.value] = _scores(gold[unseen], labels.hard()[unseen], data, positive)
    hard, n_classes = result.labels[Split.TRAIN].hard(), len(data.task.classes)
    rows_by_class = (
        members(hard, n_classes).sum(axis=0)
        if data.task.multi_label
        else np.bincount(hard[hard != ABSTAIN], minlength=n_classes)
    )
    convergence = None if result.label_model is None else result.label_model.convergence
    return {
        "name": result.labeled_by,
        "choice": None if result.choice is None else to_jsonable(result.choice),
        "class_balance": None if result.class_balance is None else list(result.class_balance),
        "convergence": None if convergence is None else asdict(convergence),
        "labels": dict(zip(data.task.classes, rows_by_class.tolist(), strict=True)),
        "coverage": {split.value: float(labels.covered.mean()) for split, labels in result.labels.items()},
        "tied": {split.value: int(labels.tied.sum()) for split, labels in result.labels.items()},
        "metrics": metrics,
        "metrics_unseen": metrics_unseen,
        "by_class": by_class,
        "warnings": label_warnings(result, data, wrong),
    }


def end_model_section(
    name: str, seeds: list[int], predictions: Predictions, data: TextData, positive: int | None
) -> Section:
    """Return the record's section on the end model.

    Args:
        name: The end model's name.
        seeds: Its seeds.
        predictions: The predictions on each split.
        data: The dataset.
        positive: The class of the binary F1 score; None for the weighted F1 score.

    Returns:
        Mean and standard deviation over seeds of every score, on valid and test where there are gold labels; also on
        the rows of a split whose text is in no earlier split, if it has others. `ensemble` has the scores of the mean
        over seeds of the probabilities; `combined`, with predict=combine, those of its mixture with the label model,
        with the `weight` of the latter and its `class_offsets`, else it is None. The scores by class are those of the
        predictions in labels.parquet. No scores without seeds.

    Raises:
        ValueError: A split has no rows.
    """
    metrics: dict[str, Any] = {}
    metrics_unseen: dict[str, Any] = {}
    by_class: dict[str, Section] = {}
    for split in (Split.VALID, Split.TEST):
        if (gold := data.gold(split)) is not None and seeds:
            probs = predictions.by_seed[split]
            metrics[split.value] = _score_seeds(gold, probs, data, positive)
            by_class[split.value] = _by_class(gold, _predicted(predictions.final[split], data), data)
            if (unseen := _partly_unseen(data, split)) is not None:
                metrics_unseen[split.value] = _score_seeds(gold[unseen], probs[:, unseen], data, positive)
    return {
        "name": name,
        "seeds": seeds,
        "metrics": metrics,
        "metrics_unseen": metrics_unseen,
        "ensemble": _scores_by_split(predictions.ensemble, data, positive),
        "combined": None
        if predictions.weight is None
        else {"weight": predictions.weight, "class_offsets": [*predictions.class_offsets]}
        | _scores_by_split(predictions.combined, data, positive),
        "by_class": by_class,
    }


def _scores_by_split(probs: Mapping[Split, FloatArray], data: TextData, positive: int | None) -> Section:
    """Return the scores of one prediction on valid and test: `metrics`, and `metrics_unseen` where others repeat."""
    metrics: dict[str, Any] = {}
    metrics_unseen: dict[str, Any] = {}
    for split in (Split.VALID, Split.TEST):
        if (gold := data.gold(split)) is not None and split in probs:
            predicted = _predicted(probs[split], data)
            metrics[split.value] = _scores(gold, predicted, data, positive)
            if (unseen := _partly_unseen(data, split)) is not None:
                metrics_unseen[split.value] = _scores(gold[unseen], predicted[unseen], data, positive)
    return {"metrics": metrics, "metrics_unseen": metrics_unseen}


def _score_seeds(gold: IntArray, probs: FloatArray, data: TextData, positive: int | None) -> Section:
    per_seed = []
    for seed_probs in probs:
        scores = _score(gold, _predicted(seed_probs, data), data, positive)
        if scores is None:
            raise ValueError("a split has no rows")
        per_seed.append(scores)
    section: Section = to_jsonable(summarize(per_seed))
    return section


def _by_class(gold: IntArray, predicted: IntArray, data: TextData) -> Section:
    """Return the scores of each class, and of single classes the confusion matrix (a line per gold class)."""
    if data.task.multi_label:
        of_classes = score_classes(gold, predicted, n_classes=len(data.task.classes))
        return {"classes": to_jsonable(dict(zip(data.task.classes, of_classes, strict=True)))}
    confusion = confusion_matrix(gold, predicted, len(data.task.classes))
    scores = dict(zip(data.task.classes, class_scores(confusion), strict=True))
    return {"confusion": confusion.tolist(), "classes": to_jsonable(scores)}


def _scores(gold: IntArray, predicted: IntArray, data: TextData, positive: int | None) -> Section | None:
    scores = _score(gold, predicted, data, positive)
    return None if scores is None else to_jsonable(scores)


def _score(gold: IntArray, predicted: IntArray, data: TextData, positive: int | None) -> Scores | None:
    n_classes = len(data.task.classes)
    if data.task.multi_label:
        return score_sets(gold, predicted, n_classes=n_classes)
    return score(gold, predicted, n_classes=n_classes, positive=positive)


def _predicted(probs: FloatArray, data: TextData) -> IntArray:
    """Return the class of each row, or its set of classes."""
    return predicted_sets(probs) if data.task.multi_label else probs.argmax(axis=1).astype(np.int64)


def _partly_unseen(data: TextData, split: Split) -> BoolArray | None:
    """Return which rows of a split are in no earlier split; None if all or none are."""
    unseen = data.repeats.unseen[split]
    return None if unseen.all() or not unseen.any() else unseen
