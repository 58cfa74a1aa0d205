"""Fills the record from the results of the stages: its sections, its notes, and which gold labels were used."""

from alchemist_exp.context import RunContext
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import FittedEndModel
from alchemist_exp.evaluation.seed_variance import high_seed_variance
from alchemist_exp.label_models.wrong_programs import wrong_programs
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline.asked_section import asked_section
from alchemist_exp.pipeline.cost import cost_section
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.label_warnings import class_order_split
from alchemist_exp.pipeline.model_sections import end_model_section, label_model_section
from alchemist_exp.pipeline.prediction_stage import Predictions
from alchemist_exp.pipeline.program_section import programs_section
from alchemist_exp.pipeline.rounds_section import rounds_section
from alchemist_exp.pipeline.run_notes import convergence_notes, program_notes, tie_notes, validation_notes
from alchemist_exp.pipeline.training_warnings import disagreement_warnings, one_class_warnings
from alchemist_exp.results.provenance import host
from alchemist_exp.results.record import RunRecord


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
        votes, multi_label = result.sources.matrices[Split.TRAIN], data.task.multi_label
        wrong = {} if multi_label else wrong_programs(votes, result.labeled_votes, data.task.classes)
        record.programs = programs_section(result, data, experiment.sandbox.effective_mode, wrong)
        record.rounds = rounds_section(experiment, data, result.sources)
        record.programs |= asked_section(result, data, experiment.llm)
        record.label_model = label_model_section(result, data, experiment.dataset.positive, wrong)
        if result.labeled_votes is not None:
            context.gold.use(Split.VALID, "warnings")
        # As in `programs_section` and `label_warnings`, labels are compared for people to read.
        accuracy_split = Split.TRAIN if data.gold(Split.TRAIN) is not None else Split.VALID
        order_split = None if multi_label else class_order_split(result, data)
        voters = "programs" if result.sources.programs else "votes"
        for split, what in ((accuracy_split, voters), (order_split, "the class order")):
            if split and split in result.sources.matrices and (gold := data.gold(split)) is not None:
                context.gold.note_scoring(split, len(gold), what)
    with context.progress.stage("cost", "estimating the cost of zero-shot labeling"):
        record.cost = cost_section(experiment, context, result)
    record.notes += result.notes
    record.notes += validation_notes(experiment, context)
    record.notes += convergence_notes(result)
    record.notes += tie_notes(result, experiment)
    record.notes += experiment.unused_overrides(record.overrides)
    if isinstance(experiment.method, ProgramMethod):
        record.notes += program_notes(experiment, experiment.method, context, result.sources)


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
    labels, probs, name = result.train_labels, predictions.by_seed[Split.TRAIN], experiment.end_model.name
    one_class = one_class_warnings(labels, probs, end_model=name, class_names=data.task.classes)
    has_programs = isinstance(experiment.method, ProgramMethod)
    record.notes += one_class or disagreement_warnings(labels, probs, end_model=name, has_programs=has_programs)
    record.notes += high_seed_variance(record.end_model["metrics"], experiment.dataset.metric.value)
