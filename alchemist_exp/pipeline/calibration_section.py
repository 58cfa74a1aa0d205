"""Adds the calibration of soft labels and of the distilled model to the record, on each split with gold labels."""

from collections.abc import Mapping

from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import EndModel, FittedEndModel
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.evaluation.calibration import calibration
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.results.record import RunRecord


def record_calibration(
    record: RunRecord,
    data: TextData,
    result: LabelingResult,
    end_model: EndModel,
    model: FittedEndModel,
    predictions: Mapping[Split, FloatArray],
) -> None:
    """Fill `calibration` of both model sections, and `temperature` and `class_offsets` of the end model's.

    Of a dataset with several classes per row there is no calibration.

    Args:
        record: The record, whose other sections are filled.
        data: The dataset with its gold labels.
        result: The soft labels; covered rows count.
        end_model: The configured end model.
        model: The distilled model.
        predictions: float32 arrays of shape (n_rows, n_classes), the run's predictions by split; empty without an end
            model.

    """
    splits = () if data.task.multi_label else data.splits
    golds = {split: gold for split in splits if (gold := data.gold(split)) is not None}
    record.label_model["calibration"] = {
        split.value: to_jsonable(calibration(labels.probs, labels.hard(), golds[split]))
        for split, labels in result.labels.items()
        if split in golds
    }
    record.end_model["calibration"] = {}
    record.end_model["temperature"] = model.temperature
    record.end_model["class_offsets"] = to_jsonable(model.class_offsets)
    for split, probs in predictions.items():
        if split in golds:
            found = calibration(probs, probs.argmax(axis=1), golds[split])
            record.end_model["calibration"][split.value] = to_jsonable(found)
    if isinstance(end_model, Mlp) and end_model.calibrate and model.temperature is None:
        record.notes.append(
            "end_model.calibrate=true had no effect: valid has no gold labels that tell the classes apart."
        )
