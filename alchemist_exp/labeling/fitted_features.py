"""Loads the fitted feature extractor of a run, and the kind of its rows."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray
from alchemist_exp.data.kinds import KIND_FILE, load_kind
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.labeling.components import Consent, changed_plugins, make_component
from alchemist_exp.labeling.row_labeler import naming_files
from alchemist_exp.labeling.run_files import MADE_AGAIN, StoredRun, broken, is_name
from alchemist_exp.pipeline.artifacts import load_extractor

COLUMN_TYPES: Final = ("str", "int", "float", "bool")


def load_row_kind(run: StoredRun) -> RowKind:
    """Return the kind of the rows of a run, after a check of its columns.

    Args:
        run: The run, whose files were checked.

    Raises:
        StoreError: A column has no name, type or category, or the kind of rows is not known.

    """
    # A run without an end model has no directory of a model.
    directory = run.model if os.path.lexists(run.model) else run.label_model
    with naming_files(directory / KIND_FILE):
        kind = load_kind(directory)
        names = [column.name for column in kind.columns]
        if not all(is_name(c.name) and c.type in COLUMN_TYPES and type(c.category) is bool for c in kind.columns):
            raise ValueError("a column has no name, type or category")
        if kind.name not in ("texts", "records", "images") or len(set(names)) < len(names):
            raise ValueError("its kind of rows is not known, or two columns have the same name")
        if bool(names) != (kind.name == "records"):
            raise ValueError(f"it has {len(names)} columns for rows that are {kind.name}")
    return kind


def load_features(
    run: StoredRun, consent: Consent
) -> tuple[RowKind, FeatureExtractor, Callable[[Sequence[str]], FloatArray]]:
    """Return the kind of the rows of a run, its fitted feature extractor, and the function from rows to features.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.

    Raises:
        StoreError: A file is missing or broken, or lies outside of the run and was not allowed.
        ConfigError: A plugin, a package or weights are missing.

    """
    extractor = make_component(run, "feature_extractor", consent)
    if not isinstance(extractor, FeatureExtractor):
        raise TypeError(f"feature_extractor became a {type(extractor).__name__}")
    trusted = [path.expanduser().absolute() for path in consent.weights]
    with naming_files(run.model), naming_plugin(extractor, "load"):
        for path in extractor.external_files(run.model):
            if path not in trusted:
                raise StoreError(
                    f"the feature extractor of this run reads {sanitize(str(path))}, which is outside of the run; if "
                    "you trust these files, name them by --weights PATH."
                )
        kind = load_row_kind(run)
        _, features = load_extractor(run.model, extractor)
    if isinstance(extractor, ImageTextEncoder):
        _require_weights(run, extractor)

    def of_rows(rows: Sequence[str]) -> FloatArray:
        """Return the features of rows: float32 array of shape (n_rows, n_features)."""
        with naming_files(run.model):
            return features(rows)

    return kind, extractor, of_rows


def _require_weights(run: StoredRun, encoder: ImageTextEncoder) -> None:
    """Raise StoreError if an encoder has other weights than in the run."""
    components = run.record.components
    stored = components.get("feature_extractor") if isinstance(components, dict) else None
    of_run = stored.get("weights") if isinstance(stored, dict) else None
    if not isinstance(of_run, dict):
        raise broken(run.directory, "its record does not say which weights the feature extractor has")
    now = encoder.weights_identity()
    # The number format depends on the machine.
    if {**now, "precision": ""} != {**of_run, "precision": ""}:
        raise StoreError(
            f"the weights of feature_extractor={encoder.name} are not those of the run {run.directory}; restore those "
            f"weights, or {MADE_AGAIN}."
        )


def change_notes(run: StoredRun, made: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each component that is a plugin whose code has changed since the run.

    Args:
        run: The run.
        made: The components that were made again, by group.

    """
    return tuple(
        f"The code of {group}={sanitize(made[group].name)} has changed since the run; labels may differ."
        for group in changed_plugins(run, made)
    )
