"""The labeler of a run: the distilled model, the programs, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alchemist_exp.core.types import SoftLabels
from alchemist_exp.end_model.class_offsets import MAX_OFFSET, add_offsets
from alchemist_exp.end_model.prediction import is_weight, mix
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.model_labeler import ModelLabeler, model_labeler
from alchemist_exp.labeling.program_labeler import ProgramLabeler, program_labeler
from alchemist_exp.labeling.row_labeler import RowLabeler, RowLabels
from alchemist_exp.labeling.run_files import (
    StoredRun,
    broken,
)
from alchemist_exp.pipeline.saved_components import PROGRAMS_FILE


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinedLabeler(RowLabeler):
    """Labels rows with the distilled model and, where programs vote, the label model, as a run with predict=combine.

    Attributes:
        model: Labels with the distilled model.
        voting: Labels with the programs.
        weight: The weight of the label model, 0 to 1.
        class_offsets: See `add_offsets`, for the label model.

    """

    model: ModelLabeler
    voting: ProgramLabeler
    weight: float
    class_offsets: tuple[float, ...]

    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        distilled, voted = self.model._label(rows, rng), self.voting._label(rows, rng)
        labels = SoftLabels(probs=voted.probs, covered=np.any(voted.probs, axis=1))
        probs = mix(distilled.probs, add_offsets(labels, self.class_offsets), self.weight)
        return replace(
            distilled,
            classes=probs.argmax(axis=1).astype(np.int64),
            probs=probs,
            failures=voted.failures,
            outcomes=voted.outcomes,
        )


def make_labeler(
    run: StoredRun, using: str, consent: Consent, sandbox_mode: str, sandbox_workers: int | None = None
) -> RowLabeler:
    """Return a labeler of a run.

    Args:
        run: The run, whose files were checked.
        using: "model" (of a run with predict=combine, the mixture that it chose) or "programs".
        consent: What the user allows.
        sandbox_mode: See `program_labeler`.
        sandbox_workers: See `program_labeler`.

    Returns:
        The labeler.

    Raises:
        AlchemistError: See `model_labeler` and `program_labeler`.

    """
    if using != "model":
        return program_labeler(run, consent, sandbox_mode, sandbox_workers)
    model, weight = model_labeler(run, consent), mixing_weight(run)
    if not weight:
        return model
    if not (run.label_model / PROGRAMS_FILE).exists():
        note = (
            "This run has predict=combine, but no programs that can vote on new rows: the distilled model labels alone."
        )
        return replace(model, notes=(*model.notes, note))
    voting = program_labeler(run, consent, sandbox_mode, sandbox_workers)
    note = (
        f"This run has predict=combine: its programs run on the rows, and its label model has a weight of {weight:g}."
    )
    return CombinedLabeler(
        kind=model.kind,
        classes=model.classes,
        notes=tuple(dict.fromkeys((*model.notes, *voting.notes, note))),
        model=model,
        voting=voting,
        weight=weight,
        class_offsets=label_offsets(run),
    )


def mixing_weight(run: StoredRun) -> float:
    """Return the weight of the label model in a run with predict=combine; 0 for another run.

    Args:
        run: The run.

    Raises:
        StoreError: The record is broken.

    """
    section = run.record.end_model
    combined = section.get("combined") if isinstance(section, dict) else None
    if combined is None:
        return 0.0
    weight: Any = combined.get("weight") if isinstance(combined, dict) else None
    if not is_weight(weight):
        raise broken(run.directory, "the weight in its end_model.combined is not a number from 0 to 1")
    return float(weight)


def label_offsets(run: StoredRun) -> tuple[float, ...]:
    """Return the class offsets of the label model in a run with predict=combine; empty for none.

    Args:
        run: The run, of which `mixing_weight` has checked the record.

    Raises:
        StoreError: The record is broken.

    """
    combined: Any = run.record.end_model.get("combined")
    found = (combined or {}).get("class_offsets") or []
    expected = f"a list of {len(run.classes)} numbers from {-MAX_OFFSET:g} to {MAX_OFFSET:g}"
    numbers = isinstance(found, list) and all(type(one) is float and abs(one) <= MAX_OFFSET for one in found)
    if not numbers or len(found) not in (0, len(run.classes)):
        raise broken(run.directory, f"the class_offsets in its end_model.combined are not {expected}")
    return tuple(found)
