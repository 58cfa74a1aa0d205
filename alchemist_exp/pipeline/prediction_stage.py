"""The prediction that a run reports and writes: the ensemble of its seeds, or its mixture with the label model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.data.base import Metric
from alchemist_exp.end_model.class_offsets import add_offsets, choose_offsets
from alchemist_exp.end_model.prediction import CombinedPrediction, choose_weight, mix
from alchemist_exp.evaluation.metrics import score
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline.experiment import Experiment

PURPOSE: Final = "mixing weight"
"""What the gold labels of valid are used for, as the record names it."""

_LEAST: Final = 1e-9
"""The least probability whose logarithm is taken; that of 0 is infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The predictions of a run.

    Attributes:
        by_seed: float32 arrays of shape (n_seeds, n_rows, n_classes), by split.
        ensemble: float32 arrays of shape (n_rows, n_classes), by split: the mean over seeds. Empty without end model.
        combined: The same, mixed with the label model; empty without predict=combine.
        weight: The weight of the label model in `combined`; None without predict=combine.
        class_offsets: What is added to the log probabilities of the label model in `combined`, one per class; empty if
            the dataset's metric is not macro-F1.

    """

    by_seed: Mapping[Split, FloatArray]
    ensemble: Mapping[Split, FloatArray]
    combined: Mapping[Split, FloatArray]
    weight: float | None
    class_offsets: tuple[float, ...] = ()

    @property
    def final(self) -> Mapping[Split, FloatArray]:
        """What is reported as the run's prediction: `combined` if there is one, else `ensemble`."""
        return self.combined or self.ensemble


def combine_predictions(
    experiment: Experiment, context: RunContext, result: LabelingResult, by_seed: Mapping[Split, FloatArray]
) -> Predictions:
    """Average the predictions of the seeds and, with predict=combine, mix them with the label model.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        result: The soft labels.
        by_seed: float32 arrays of shape (n_seeds, n_rows, n_classes).

    Returns:
        The predictions. Gold labels of valid are used if the weight is not given.

    Raises:
        AlchemistError: The weight cannot be chosen on valid.

    """
    ensemble = {split: probs.mean(axis=0) for split, probs in by_seed.items() if len(probs)}
    if not isinstance(predict := experiment.predict, CombinedPrediction) or not ensemble:
        return Predictions(by_seed=by_seed, ensemble=ensemble, combined={}, weight=None)
    class_offsets = _class_offsets(experiment, context, result)
    labels = {split: add_offsets(of_split, class_offsets) for split, of_split in result.labels.items()}
    if (weight := predict.weight) is None:
        of_valid, gold = labels.get(Split.VALID), context.gold.use(Split.VALID, PURPOSE)
        if of_valid is None or gold is None:
            raise ConfigError(
                "predict=combine chooses the weight on valid, which has no labels or no votes; set predict.weight, "
                "for example predict.weight=0.5."
            )
        dataset = experiment.dataset

        def own_score(predicted: IntArray) -> float | None:
            """Return the dataset's metric on valid; None if it is not defined."""
            found = score(gold, predicted, n_classes=context.n_classes, positive=dataset.positive)
            value: float | None = None if found is None else getattr(found, dataset.metric.value)
            return value

        weight = choose_weight(ensemble[Split.VALID], of_valid, own_score)
    combined = {
        split: mix(probs, labels[split], weight) if split in labels else probs for split, probs in ensemble.items()
    }
    return Predictions(
        by_seed=by_seed, ensemble=ensemble, combined=combined, weight=weight, class_offsets=class_offsets
    )


def _class_offsets(experiment: Experiment, context: RunContext, result: LabelingResult) -> tuple[float, ...]:
    """Return the offsets with which the label model's labels of valid have the best macro-F1; empty for no offsets."""
    labels = result.labels.get(Split.VALID)
    if experiment.dataset.metric is not Metric.macro_f1 or labels is None or not labels.covered.any():
        return ()
    gold = context.gold.use(Split.VALID, "class offsets")
    if gold is None:
        return ()
    covered = labels.covered
    return tuple(choose_offsets(np.log(np.maximum(labels.probs[covered], _LEAST)), gold[covered]).tolist())
