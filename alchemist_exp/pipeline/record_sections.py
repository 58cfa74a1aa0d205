"""Turns the results of the stages into the sections of the record, its notes, and figures for the tracker."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.artifact_cache import row_chunks
from alchemist_exp.core.convergence import Convergence
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.label_sets import members, predicted_sets
from alchemist_exp.core.types import BoolArray, FloatArray, IntArray, Split, tied_rows
from alchemist_exp.data.base import Metric
from alchemist_exp.data.class_names import numbered
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.evaluation.label_sets import score_classes, score_sets
from alchemist_exp.evaluation.metrics import Scores, class_scores, confusion_matrix, score, summarize
from alchemist_exp.evaluation.seed_variance import high_seed_variance
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.label_models.diagnostics import check_class_order, diagnose
from alchemist_exp.label_models.majority import WeightedMajority
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.pipeline.asked_section import asked_section
from alchemist_exp.pipeline.cost import cost_section
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.prediction_stage import Predictions
from alchemist_exp.pipeline.program_section import programs_section
from alchemist_exp.pipeline.rounds_section import round_notes, rounds_section
from alchemist_exp.pipeline.stages import can_stop
from alchemist_exp.pipeline.training_warnings import coverage_warnings, one_class_warnings
from alchemist_exp.pipeline.valid_warnings import check_on_valid, shows_no_loss
from alchemist_exp.programs.types import RejectionStage
from alchemist_exp.results.provenance import host
from alchemist_exp.results.record import RunRecord, Section
from alchemist_exp.sandbox.base import Outcome

MAX_ZERO_FEATURES: Final = 0.1
"""Share of texts whose features are all zero from which on there is a note. valid of youtube has .05."""


def label_model_section(result: LabelingResult, data: TextData, positive: int | None) -> Section:
    """Return the record's section on the label model.

    Args:
        result: The soft labels.
        data: The dataset.
        positive: The class of the binary F1 score; None for the weighted F1 score.

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
    train = result.labels[Split.TRAIN].hard()
    return {
        "name": result.labeled_by,
        "choice": None if result.choice is None else to_jsonable(result.choice),
        "class_balance": None if result.class_balance is None else list(result.class_balance),
        "convergence": None if (convergence := _convergence(result)) is None else asdict(convergence),
        "labels": dict(zip(data.task.classes, _rows_by_class(train, data), strict=True)),
        "coverage": {split.value: float(labels.covered.mean()) for split, labels in result.labels.items()},
        "tied": {split.value: int(labels.tied.sum()) for split, labels in result.labels.items()},
        "metrics": metrics,
        "metrics_unseen": metrics_unseen,
        "by_class": by_class,
        "warnings": [*coverage_warnings(result.labels[Split.TRAIN])]
        if data.task.multi_label
        else [
            *coverage_warnings(result.labels[Split.TRAIN]),
            *_class_order_warnings(result, data),
            *_valid_warnings(result, data),
            *diagnose(
                result.sources.matrices[Split.TRAIN],
                result.labels[Split.TRAIN],
                labeled_by=result.labeled_by,
                program_names=result.sources.names,
                class_names=data.task.classes,
                labeled=result.labeled_votes,
                compare_with_majority=not _is_good_on_valid(result),
            ),
        ],
    }


def _convergence(result: LabelingResult) -> Convergence | None:
    """Return how the fit of the label model ended; None if it is not iterative."""
    return None if result.label_model is None else result.label_model.convergence


def _convergence_notes(result: LabelingResult) -> list[str]:
    """Return a note when the fit of the label model was stopped before it converged."""
    convergence = _convergence(result)
    if convergence is None or convergence.converged:
        return []
    return [
        f"The fit of label_model={result.labeled_by} has {convergence}, so its labels depend on where it was stopped; "
        "raise label_model.max_iterations or label_model.tolerance."
    ]


def _class_order_warnings(result: LabelingResult, data: TextData) -> list[str]:
    """Return a warning when the labels of a split fit the classes in another order only, see `_order_split`."""
    split = _order_split(result, data)
    if split is None or (gold := data.gold(split)) is None:
        return []
    matrix, hard, names = result.sources.matrices[split], result.labels[split].hard(), data.task.classes
    return check_class_order(matrix, hard, gold, labeled_by=result.labeled_by, split=split.value, class_names=names)


def _order_split(result: LabelingResult, data: TextData) -> Split | None:
    """Return the split whose gold labels show the order of the classes: valid, or else train; None without labels."""
    splits = (Split.VALID, Split.TRAIN)
    of_votes = [split for split in splits if split in result.labels and split in result.sources.matrices]
    return next((split for split in of_votes if data.gold(split) is not None), None)


def _note_scoring(context: RunContext, result: LabelingResult, data: TextData) -> None:
    """Note the gold labels that `record_labels` compares with programs and labels."""
    accuracy_split = Split.TRAIN if data.gold(Split.TRAIN) is not None else Split.VALID  # as in `programs_section`
    voters = "programs" if result.sources.programs else "votes"
    order_split = None if data.task.multi_label else _order_split(result, data)
    for split, what in ((accuracy_split, voters), (order_split, "the class order")):
        if split and split in result.sources.matrices and (gold := data.gold(split)) is not None:
            context.gold.note_scoring(split, len(gold), what)


def _valid_warnings(result: LabelingResult, data: TextData) -> list[str]:
    """Return the warnings of `check_on_valid`, where the labels of valid may be used."""
    on_valid = result.labels.get(Split.VALID)
    if result.labeled_votes is None or on_valid is None:
        return []
    return check_on_valid(
        result.labels[Split.TRAIN],
        on_valid,
        result.labeled_votes,
        labeled_by=result.labeled_by,
        class_names=data.task.classes,
    )


def _is_good_on_valid(result: LabelingResult) -> bool:
    """Return whether gold labels of valid may be used and show that labels are not worse than the majority vote."""
    on_valid, labeled = result.labels.get(Split.VALID), result.labeled_votes
    return on_valid is not None and labeled is not None and shows_no_loss(on_valid, labeled)


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


def _rows_by_class(labels: IntArray, data: TextData) -> list[int]:
    """Return the number of rows of each class."""
    n_classes = len(data.task.classes)
    if data.task.multi_label:
        return [int(count) for count in members(labels, n_classes).sum(axis=0)]
    return [int(np.count_nonzero(labels == c)) for c in range(n_classes)]


def _partly_unseen(data: TextData, split: Split) -> BoolArray | None:
    """Return which rows of a split are in no earlier split; None if all or none are."""
    unseen = data.repeats.unseen[split]
    return None if unseen.all() or not unseen.any() else unseen


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


def record_labels(
    record: RunRecord, experiment: Experiment, data: TextData, context: RunContext, result: LabelingResult
) -> None:
    """Fill the sections on programs, label model and cost, and the notes on labeling.

    Args:
        record: The record of the run.
        experiment: The experiment.
        data: The dataset with its gold labels, for scoring.
        context: What the stages of the run share.
        result: The soft labels and what they were made from.

    """
    with context.progress.stage("evaluate", "scoring programs and label model"):
        record.programs = programs_section(result, data, experiment.sandbox.effective_mode)
        record.rounds = rounds_section(experiment, data, result.sources)
        record.programs |= asked_section(result, data, experiment.llm)
        record.label_model = label_model_section(result, data, experiment.dataset.positive)
        if result.labeled_votes is not None:
            context.gold.use(Split.VALID, "warnings")
        _note_scoring(context, result, data)
    with context.progress.stage("cost", "estimating the cost of zero-shot labeling"):
        record.cost = cost_section(experiment, context, result)
    record.notes += result.notes
    if experiment.gold.use_valid and not context.gold.available(Split.VALID):
        from_votes = experiment.uses("label_model") and context.gold.reviewed is None
        balance = "the class balance is estimated from the votes, and " * from_votes
        record.notes.append(
            f"There are no validation labels: {balance}early stopping watches held-out pseudo-labels, as with "
            "gold=none."
        )
    elif context.gold.available(Split.VALID) and not can_stop(experiment.dataset, context.gold):
        missing = experiment.dataset.positive_class if experiment.dataset.metric is Metric.f1 else "all classes but one"
        record.notes.append(
            f"Valid has no rows of {missing}, so early stopping watches held-out pseudo-labels, as with gold=none."
        )
    record.notes += _convergence_notes(result)
    record.notes += _tie_notes(result, experiment)
    record.notes += experiment.unused_overrides(record.overrides)
    if isinstance(experiment.method, ProgramMethod):
        record.notes += _program_notes(experiment, experiment.method, context, result.sources)


def _tie_notes(result: LabelingResult, experiment: Experiment) -> list[str]:
    """Return a note on training rows whose label is not decided by their votes."""
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


def record_predictions(
    record: RunRecord,
    experiment: Experiment,
    data: TextData,
    context: RunContext,
    result: LabelingResult,
    model: FittedEndModel,
    predictions: Predictions,
) -> None:
    """Fill the section on the end model, the gold labels that were used, and the notes on both.

    Args:
        record: The record of the run.
        experiment: The experiment.
        data: The dataset with its gold labels, for scoring.
        context: What the stages of the run share.
        result: The soft labels.
        model: The distilled model.
        predictions: The predictions on each split.

    """
    seeds = list(experiment.seed.values) if experiment.end_model.trains else []
    record.end_model = end_model_section(
        experiment.end_model.name, seeds, predictions, data, experiment.dataset.positive
    )
    record.host = host(model.device)
    for split in Split:
        if split in data.splits and split not in result.labels:
            record.notes.append(f"No label-model scores on {split}: there are no votes on it.")
        if (gold := data.gold(split)) is not None:
            context.gold.note_scoring(split, len(gold))
        elif split is not Split.TRAIN:
            problem = "has no labels" if split in data.splits else "does not exist"
            record.notes.append(f"No {split} scores: the split {problem}.")
    counts = result.sources.matrices[Split.TRAIN].counts().sum(axis=0)
    if silent := [name for name, count in zip(data.task.classes, counts, strict=True) if not count]:
        record.notes.append(f"No vote on train is for the class {', '.join(silent)}.")
    if data.task.multi_label:
        record.notes += high_seed_variance(record.end_model["metrics"], "macro_f1")
        return
    record.notes += one_class_warnings(
        result.labels[Split.TRAIN],
        predictions.by_seed[Split.TRAIN],
        end_model=experiment.end_model.name,
        class_names=data.task.classes,
    )
    record.notes += high_seed_variance(record.end_model["metrics"], experiment.dataset.metric.value)


def _program_notes(
    experiment: Experiment, method: ProgramMethod, context: RunContext, sources: LabelSources
) -> list[str]:
    """What fell short of the configuration, and what makes scores on valid unfair."""
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
