"""Notes for the reader of scores: ties, gold labels without use, programs that fell short, features that are zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.artifact_cache import row_chunks
from alchemist_exp.core.types import FloatArray, Split, tied_rows
from alchemist_exp.data.base import Metric
from alchemist_exp.data.class_names import numbered
from alchemist_exp.data.text_data import TextData
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.label_models.majority import WeightedMajority
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.rounds_section import round_notes
from alchemist_exp.pipeline.stages import can_stop
from alchemist_exp.programs.types import RejectionStage
from alchemist_exp.sandbox.base import Outcome

MAX_ZERO_FEATURES: Final = 0.1
"""Share of texts whose features are all zero from which on there is a note. valid of youtube has .05."""


def validation_notes(experiment: Experiment, context: RunContext) -> list[str]:
    """Return a note when gold labels of valid may be used and do not serve early stopping.

    Args:
        experiment: The experiment.
        context: What the stages of the run share.

    Returns:
        No note with gold=none, or when early stopping uses the labels.

    """
    if experiment.gold.use_valid and not context.gold.available(Split.VALID):
        from_votes = experiment.uses("label_model") and context.gold.reviewed is None
        balance = "the class balance is estimated from the votes, and " * from_votes
        return [
            f"There are no validation labels: {balance}early stopping watches held-out pseudo-labels, as with "
            "gold=none."
        ]
    if context.gold.available(Split.VALID) and not can_stop(experiment.dataset, context.gold):
        missing = experiment.dataset.positive_class if experiment.dataset.metric is Metric.f1 else "all classes but one"
        return [f"Valid has no rows of {missing}, so early stopping watches held-out pseudo-labels, as with gold=none."]
    return []


def convergence_notes(result: LabelingResult) -> list[str]:
    """Return a note when the fit of the label model was stopped before it converged.

    Args:
        result: The soft labels, with the label model.

    Returns:
        No note when the fit converged or is not iterative.

    """
    convergence = None if result.label_model is None else result.label_model.convergence
    if convergence is None or convergence.converged:
        return []
    return [
        f"The fit of label_model={result.labeled_by} has {convergence}, so its labels depend on where it was stopped; "
        "raise label_model.max_iterations or label_model.tolerance."
    ]


def tie_notes(result: LabelingResult, experiment: Experiment) -> list[str]:
    """Return a note on training rows whose label is not decided by their votes.

    Args:
        result: The soft labels and the votes they were made from.
        experiment: The experiment.

    Returns:
        No note without such rows, or when several classes may hold for a row.

    """
    labels, votes = result.labels[Split.TRAIN], result.sources.matrices[Split.TRAIN]
    if experiment.dataset.is_multi_label:
        return []
    tied, n_labeled = labels.tied, int(labels.covered.sum())
    how = "their soft labels are equal for these classes, and their hard labels are one of them at random"
    if experiment.uses("label_model") and isinstance(result.label_model, WeightedMajority):
        tied = votes.covered & tied_rows(votes.counts())
        how = "these get the class that is more frequent in the class balance; label_model=majority favors none"
    if not (n_tied := int(tied.sum())):
        return []
    return [
        f"Ties: {n_tied:,} of {n_labeled:,} labeled rows of train ({n_tied / n_labeled:.1%}) have as many votes for "
        f"one class as for another; {how}."
    ]


def count_zero_features(features: Mapping[Split, FloatArray]) -> dict[str, int]:
    """Count the rows whose features are all zero.

    Args:
        features: float32 arrays of shape (n_rows, n_features), by split.

    Returns:
        The number of rows by split; empty for features of width 0.

    """
    return {
        split.value: len(rows) - sum(int(np.count_nonzero(chunk.any(axis=1))) for chunk in row_chunks(rows))
        for split, rows in features.items()
        if rows.shape[1]
    }


def feature_notes(
    extractor: FeatureExtractor, zeros: Mapping[str, int], features: Mapping[Split, FloatArray]
) -> list[str]:
    """Return a note when the features of many texts are all zero, so that the end model cannot tell them apart.

    Args:
        extractor: The feature extractor.
        zeros: See `count_zero_features`.
        features: float32 arrays of shape (n_rows, n_features).

    Returns:
        No note when each split has less than `MAX_ZERO_FEATURES`.

    """
    shares = {split: count / max(len(features[Split(split)]), 1) for split, count in zeros.items()}
    if max(shares.values(), default=0) < MAX_ZERO_FEATURES:
        return []
    listed = ", ".join(f"{share:.0%} of {split}" for split, share in shares.items())
    return [
        f"The features of {listed} are all zero, so the distilled model predicts the same class for these texts; "
        f"{extractor.advice_for_zeros}."
    ]


def program_notes(
    experiment: Experiment, method: ProgramMethod, context: RunContext, sources: LabelSources
) -> list[str]:
    """Return what fell short of the configuration, and what makes scores on valid unfair.

    Args:
        experiment: The experiment.
        method: Its method.
        context: What the stages of the run share.
        sources: The programs and their fate.

    Returns:
        One sentence each.

    """
    notes = []
    n_accepted, n_selected = len(sources.programs) + len(sources.unselected), len(sources.programs)
    n_below = sum(one.stage is RejectionStage.BELOW_CHANCE for one in sources.rejected)
    if n_below:
        notes.append(
            f"{n_below} of the programs {'was' if n_below == 1 else 'were'} rejected as below chance on valid and not "
            "replaced: no LLM call depends on gold labels."
        )
    if experiment.uses("repair") and experiment.repair.attempts and n_accepted + n_below < sources.n_requested:
        notes.append(
            f"{n_accepted} of the {sources.n_requested} programs asked for were accepted in {sources.n_candidates} "
            "responses; repair.max_responses and repair.attempts limit how many are asked for."
        )
    unlimited = 1 << 30
    wanted = experiment.selection.max_selected(unlimited, method.n_strategies(experiment.supplement))
    if n_selected < wanted < unlimited:
        notes.append(
            f"selection={experiment.selection.name} was to choose {wanted} programs; only {n_selected} were accepted."
        )
    notes += _type_notes(context.data, sources)
    notes += round_notes(context, sources)
    gold = context.gold
    if experiment.vetting.reject_below_chance and not gold.available(Split.VALID) and gold.reviewed is None:
        notes.append("Programs below chance were not rejected: that needs gold=valid and labels of valid.")
    if any(shown.startswith("valid:") for supplement in sources.supplements for shown in supplement.gold_used):
        notes.append("Rows of valid were shown to the LLM: scores on valid are not a fair estimate.")
    return notes


def _type_notes(data: TextData, sources: LabelSources) -> list[str]:
    """Return a note on programs that return something else than an integer, with the first row of one."""
    found = []
    for program, origin in zip(sources.programs, sources.origins, strict=True):
        for split, run in sources.runs.get(program.source, {}).items():
            if message := run.messages.get(Outcome.BAD_TYPE):
                row, _, text = message.removeprefix("row ").partition(": ")
                rows, file = data.rows_of_input(split), Path(data.files.get(split, split)).name
                known = row.isdecimal() and int(row) < len(rows)
                where = f"row {rows[int(row)] + 1} of {file}" if known else split.value
                found.append(f"{origin} ({where}: {text if known else message})")
                break
    if not found:
        return []
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    expected, what = "class index", "Return"
    if data.task.multi_label:
        expected, what = "list of class indices", "Return a list of"
    return [
        f"Not counted as votes, because they are no {expected}: values returned by {', '.join(found[:3])}{more}. "
        f"{what} {numbered(data.task.classes)}, or -1 to abstain."
    ]
