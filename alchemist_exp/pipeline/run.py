"""Runs an experiment: the stages of the paper in order, and the record of the run.

A finished run is loaded from its record. A run that fails, is interrupted or killed leaves a record that says so.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from alchemist_exp.context import RunContext
from alchemist_exp.core.errors import AlchemistError, StoreError, Terminated, TimeLimitReached
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.core.locks import locked
from alchemist_exp.core.progress import Progress, StageProgress
from alchemist_exp.data.text_data import TextData
from alchemist_exp.methods.base import ProgramMethod, SoftLabelMethod, VoteMethod
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline import artifacts
from alchemist_exp.pipeline.calibration_section import record_calibration
from alchemist_exp.pipeline.compatibility import check_experiment, check_with_data
from alchemist_exp.pipeline.concept_scores import name_and_score
from alchemist_exp.pipeline.data_section import data_section, fit_notes, missing_text_notes, repeat_notes
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.feature_stage import no_features
from alchemist_exp.pipeline.image_figure import save_image_figure
from alchemist_exp.pipeline.image_sections import concept_section, group_section
from alchemist_exp.pipeline.prediction_stage import combine_predictions
from alchemist_exp.pipeline.record_sections import record_labels, record_predictions
from alchemist_exp.pipeline.rounds import refine_programs
from alchemist_exp.pipeline.run_directory import RESERVE, clear_directory, reserve_space
from alchemist_exp.pipeline.run_notes import count_zero_features, feature_notes
from alchemist_exp.pipeline.run_stage import remove_stage, write_stage
from alchemist_exp.pipeline.saved_components import COMPONENTS, LABEL_MODEL, save_components, save_label_model
from alchemist_exp.pipeline.stages import (
    aggregate,
    distil,
    make_context,
    predict,
    program_votes,
    require_programs,
)
from alchemist_exp.pipeline.tracked import track
from alchemist_exp.programs.execution import execute
from alchemist_exp.programs.selection import select
from alchemist_exp.programs.trials import RunTrials
from alchemist_exp.programs.vetting import Vetter
from alchemist_exp.results.provenance import git_state, package_versions
from alchemist_exp.results.record import STOPPED_BY_TIME_LIMIT, RunRecord, RunStatus, utc_now
from alchemist_exp.results.record import RunResult as RunResult
from alchemist_exp.tracking.base import RunInfo, Tracker

GOES_ON = "the same command goes on with the cached LLM responses, votes and features"
"""Advice after Ctrl-C. What a stage stores while it runs is used again; the stage that was stopped begins again."""


def run(
    experiment: Experiment,
    config: Mapping[str, Any],
    overrides: list[str],
    progress: Progress,
    *,
    sweep: str = "",
    data: TextData | None = None,
) -> RunResult:
    """Run an experiment, or load the record of the same run when it has finished before.

    Args:
        experiment: The experiment.
        config: Its resolved configuration, for the record.
        overrides: The Hydra overrides that it was composed with, for the record.
        progress: Shows the progress of the stages.
        sweep: The name of the sweep that the run belongs to, for the logger.
        data: The experiment's dataset, if the caller has loaded it; None to load it here.

    Returns:
        The record of the run.

    Raises:
        AlchemistError: The experiment cannot run, or a stage failed. The record of a failed run has the reason.

    """
    check_experiment(experiment)
    stages = StageProgress(progress)
    with stages.stage("load", f"loading {experiment.dataset.name}"):
        data = experiment.dataset.load() if data is None else data
        check_with_data(experiment, data.rows_with_text)
        key = experiment.run_key(data.fingerprint)
    directory = experiment.paths.runs / key
    if directory.is_symlink():
        raise StoreError(
            f"{directory} is a symbolic link, and a run replaces files in its directory; remove the link and run again."
        )
    if finished := _finished(experiment, directory):
        return finished  # without the lock, which needs a file system that can be written
    # Of two jobs with the same key, the second waits here and then finds the run finished.
    with locked(experiment.paths.runs / ".locks" / f"{key}.lock"):
        if finished := _finished(experiment, directory):
            return finished
        with stages.stage("load", "looking for repeated rows"):
            section = data_section(experiment.dataset, data)
            notes = [*data.notes, *missing_text_notes(data), *repeat_notes(data), *fit_notes(data)]
        record = RunRecord(
            run_key=key,
            status=RunStatus.STARTED,
            started_at=utc_now(),
            config=dict(config),
            overrides=overrides,
            components=experiment.component_keys(),
            code=code_fingerprint(),
            git=git_state(),
            packages=package_versions(),
            data=section,
            notes=notes,
        )
        _run_recorded(experiment, data, record, directory, stages, sweep)
    return RunResult(record=record, directory=directory, reused=False)


def run_stages(
    experiment: Experiment,
    data: TextData,
    record: RunRecord,
    directory: Path,
    progress: StageProgress,
    tracker: Tracker,
) -> None:
    """Run the stages of the paper in order, and fill the record's sections.

    Args:
        experiment: The experiment.
        data: Its dataset, loaded.
        record: The record; its sections are filled.
        directory: The run's directory, which gets programs, labels and model.
        progress: Times the stages and shows their progress.
        tracker: Receives curves, figures and tables.

    Raises:
        AlchemistError: A stage failed.

    """
    loaded, data = data, data.rows_with_text
    context, extract_features = make_context(experiment, data, progress)
    try:
        result = label_rows(experiment, context)
        if (reviewed := context.gold.use_reviewed("labels of their rows")) is not None:
            result = result.replace_labels(reviewed.rows, reviewed.gold, 1.0)
        record_labels(record, experiment, data, context, result)
        with progress.stage("write", "writing programs"):
            artifacts.save_programs(directory / artifacts.PROGRAMS, result.sources)
            artifacts.save_concepts(directory / artifacts.CONCEPTS, result.concepts, data.task.classes)
            chosen = None if data.task.multi_label else result.label_model  # of several classes, one model for each
            save_components(directory / COMPONENTS, experiment, chosen)
            record.notes += save_label_model(directory / LABEL_MODEL, result, data.task.classes, data.kind)

        features = extract_features() if experiment.end_model.trains else no_features(data)
        record.data["zero_features"] = zeros = count_zero_features(features.by_split)
        record.notes += feature_notes(experiment.feature_extractor, zeros, features.by_split)
        model = distil(experiment, context, result, features.by_split)
        probs = predict(model, features.by_split, progress)
        with progress.stage("evaluate", "scoring"):
            predictions = combine_predictions(experiment, context, result, probs)
            record_predictions(record, experiment, data, context, result, model, predictions)
            record_calibration(record, data, result, experiment.end_model, model, predictions.final)
            record.groups = group_section(data, result, probs)
            record.concepts = concept_section(data, result)
        with progress.stage("write", "writing labels and model"):
            save_image_figure(directory / artifacts.IMAGES, data, result)
            artifacts.save_labels(directory / artifacts.LABELS, loaded, result, predictions.final)
            if features.entry is not None:
                artifacts.save_model(directory / artifacts.MODEL, features.entry, model, data.kind)
        with progress.stage("tracking", "logging scores"):
            track(tracker, record, model, result.sources)
    finally:
        # The record of a failed run names the gold labels that it used and what it paid, too.
        record.data["gold_used"] = list(context.gold.uses)
        record.cache_entries = sorted(context.cache.used)
        record.cost = record.cost or {"spent_usd": context.llm_client.paid_usd}


def label_rows(experiment: Experiment, context: RunContext) -> LabelingResult:
    """Label the rows by the experiment's method (paper, Sections 3.1 and 3.2).

    Args:
        experiment: The experiment.
        context: What the stages of the run share.

    Returns:
        Soft labels of train, and of the other splits where the method has votes.

    Raises:
        AlchemistError: The LLM cannot be reached, there are too few programs, or no row got a label.

    """
    match experiment.method:
        case ProgramMethod() as method:
            concepts = None
            if experiment.scores_concepts:  # images (Section 3.3)
                context, concepts = name_and_score(context, experiment.concepts, experiment.image_encoder)
            trials = RunTrials(context=context, vetter=Vetter(experiment.vetting, context))
            generated = method.generate(context, trials, experiment.supplement, experiment.repair)
            generated = refine_programs(experiment, context, trials, generated)
            vetted = trials.vetter.vet_finally(generated.candidates)
            executed = execute(context, vetted.accepted)
            require_programs(context, method, experiment.repair, vetted, executed)
            selected = select(context, experiment.selection, executed, generated.left_out)
            votes = program_votes(method, experiment.supplement, generated, vetted, executed, selected)
            calls = (*(concepts.named.calls if concepts else ()), *generated.calls)
            return method.add_labels(context, replace(aggregate(context, votes, calls), concepts=concepts))
        case VoteMethod() as method:
            return aggregate(context, method.votes(context))
        case SoftLabelMethod() as method:
            return method.label(context)
        case method:
            raise TypeError(f"method={method.name} is none of ProgramMethod, VoteMethod and SoftLabelMethod")


def _finished(experiment: Experiment, directory: Path) -> RunResult | None:
    """Return the result of a run that has finished and need not run again."""
    record = RunRecord.read_current(directory)
    if record is None or record.status is not RunStatus.FINISHED or experiment.runs_again_after(record):
        return None
    return RunResult(record=record, directory=directory, reused=True)


def _run_recorded(
    experiment: Experiment, data: TextData, record: RunRecord, directory: Path, stages: StageProgress, sweep: str
) -> None:
    """Run the stages between a record `started` and one `finished` or `failed`."""
    clear_directory(directory)
    record.write(directory)
    stages.on_stage = partial(write_stage, directory)
    groups = ("supplement", "label_model")
    members = [experiment.dataset.name, experiment.method.name]
    members += [getattr(experiment, group).name for group in groups if experiment.uses(group)]
    tags = [*members, f"seed {experiment.seed.name}"]
    info = RunInfo(
        key=record.run_key,
        directory=directory,
        config=record.config,
        tags=[*dict.fromkeys(tags)],
        name=" ".join([*dict.fromkeys([*members, experiment.seed.name]), record.run_key[:6]]),
        group=sweep,
        job_type=experiment.method.name,
    )
    first_error: BaseException | None = None
    try:
        reserve_space(directory)
        with ExitStack() as opened:
            with stages.stage("tracking", f"opening the logger {experiment.logger.name}"):
                tracker = opened.enter_context(experiment.logger.open(info))
            try:
                run_stages(experiment, data, record, directory, stages, tracker)
            except BaseException as error:
                # The logger writes when it is closed, which fails too on a full disk: this error is the one to show.
                first_error = error
                (directory / RESERVE).unlink(missing_ok=True)
                raise
            with stages.stage("tracking", f"closing the logger {experiment.logger.name}"):
                opened.close()
        if not (directory / RESERVE).exists():
            raise StoreError(f"{directory} was removed or changed while the run went on; run again.")
        record.seconds = stages.finish()
        record.end(RunStatus.FINISHED)
        remove_stage(directory)
        record.write(directory)
    except BaseException as error:
        failure = first_error or error
        if isinstance(failure, KeyboardInterrupt):
            failure.args = (GOES_ON,)
        record.seconds = stages.finish()
        record.end(RunStatus.FAILED, _reason(failure))
        (directory / RESERVE).unlink(missing_ok=True)
        remove_stage(directory)
        record.write(directory)
        if failure is not error:
            raise failure from None
        raise
    (directory / RESERVE).unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    match error:
        case AlchemistError():
            return str(error)
        case TimeLimitReached():
            return STOPPED_BY_TIME_LIMIT
        case Terminated():
            return "terminated"
        case KeyboardInterrupt():
            return "interrupted"
        case _:
            return f"{type(error).__name__}: {error}"
