"""Labels rows with the distilled model of a run."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.label_sets import predicted_sets
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import FloatArray
from alchemist_exp.end_model.base import EndModel, FittedEndModel
from alchemist_exp.labeling.components import Consent, make_component
from alchemist_exp.labeling.fitted_features import change_notes, load_features
from alchemist_exp.labeling.row_labeler import RowLabeler, RowLabels, naming_files
from alchemist_exp.labeling.run_files import (
    StoredRun,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelLabeler(RowLabeler):
    """Labels rows with the distilled model.

    Attributes:
        directory: The directory of the model, for messages.
        features: Returns the features of rows: float32 array of shape (n_rows, n_features).
        model: The model of each seed; the probabilities are their mean.

    """

    directory: Path
    features: Callable[[Sequence[str]], FloatArray]
    model: FittedEndModel

    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        features = self.features(rows)
        with naming_files(self.directory), np.errstate(all="ignore"):
            probs = self.model.predict_proba(features).mean(axis=0)
            if probs.shape != (len(rows), len(self.classes)):
                raise ValueError(f"it predicts {probs.shape[-1]} classes; the record has {len(self.classes)}")
            if not np.isfinite(probs).all():
                raise ValueError("it predicts values that are not finite")
        votes = np.zeros((len(rows), 0), np.int8)
        classes = predicted_sets(probs) if self.multi_label else probs.argmax(axis=1).astype(np.int64)
        return RowLabels(classes=classes, probs=probs, votes=votes)


def model_labeler(run: StoredRun, consent: Consent) -> ModelLabeler:
    """Return a labeler with the distilled model of a run.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.

    Returns:
        The labeler.

    Raises:
        StoreError: A file of the run is missing or broken.
        ConfigError: The run has no distilled model, or a plugin, a package or weights are missing.

    """
    if not os.path.lexists(run.model):
        raise ConfigError(
            f"the run {single_line(str(run.directory))} has no distilled model, as with end_model=none; label with its "
            "programs: --with programs."
        )
    kind, extractor, features = load_features(run, consent)
    end_model = make_component(run, "end_model", consent)
    if not isinstance(end_model, EndModel):
        raise TypeError(f"end_model became a {type(end_model).__name__}")
    with naming_files(run.model), naming_plugin(end_model, "load"):
        model = end_model.load(run.model)
    return ModelLabeler(
        kind=kind,
        classes=run.classes,
        directory=run.model,
        features=features,
        model=model,
        multi_label=run.multi_label,
        notes=change_notes(run, {"feature_extractor": extractor, "end_model": end_model}),
    )
