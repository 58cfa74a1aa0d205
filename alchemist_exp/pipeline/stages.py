"""The stages of a run that are not components: context, votes, soft labels, distillation."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np

from alchemist_exp.context import RunContext, UsableGold
from alchemist_exp.core.artifact_cache import ArtifactCache, row_chunks, take_rows
from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.base import Dataset, Metric
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import FittedEndModel, ValidationData
from alchemist_exp.label_models.auto import Auto
from alchemist_exp.label_models.base import LabeledVotes
from alchemist_exp.label_models.fit import fit_label_model, predict_labels
from alchemist_exp.label_models.labeled_votes import out_of_fold_labels
from alchemist_exp.label_models.per_class import PerClassModel
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.methods.types import GeneratedPrograms, LabelingResult, LabelSources
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.feature_stage import ExtractedFeatures, extract_features
from alchemist_exp.programs.execution import ExecutionResult
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.types import VettingResult
from alchemist_exp.supplements.base import Supplement

_MAX_REASONS: Final = 10


def make_context(
    experiment: Experiment, data: TextData, progress: StageProgress, *, plan: bool = False
) -> tuple[RunContext, Callable[[], ExtractedFeatures]]:
    """Build what the stages of a run share.

    Args:
        experiment: The experiment.
        data: Its dataset, loaded.
        progress: Times the stages and shows their progress.
        plan: Whether this is for a plan, which must not extract features.

    Returns:
        The context, and the function that extracts the features at its first call.

    """
    artifact_cache = ArtifactCache(experiment.paths.cache)

    @cache
    def extracted() -> ExtractedFeatures:
        """Extract the features at the first call; later calls return the same."""
        if plan:
            raise RuntimeError("a plan extracts no features")
        return extract_features(experiment.feature_extractor, data, artifact_cache, progress)

    labels = {split: data.gold(split) for split in (Split.TRAIN, Split.VALID)} if experiment.gold.use_valid else {}
    context = RunContext(
        data=data.without_gold(),
        gold=UsableGold(
            labels={split: gold for split, gold in labels.items() if gold is not None}, reviewed=data.reviewed
        ),
        llm_client=experiment.llm_client(),
        prompts=experiment.prompt,
        sandbox=experiment.sandbox,
        label_model=experiment.label_model,
        cache=artifact_cache,
        progress=progress,
        extractor=experiment.feature_extractor,
        features=lambda: extracted().by_split,
    )
    return context, extracted


def distil(
    experiment: Experiment, context: RunContext, result: LabelingResult, features: Mapping[Split, FloatArray]
) -> FittedEndModel:
    """Train the end model on the soft labels of the covered training rows, all seeds in one job (Section 3.3).

    Args:
        experiment: The experiment.
        context: What the stages of the run share.
        result: The soft labels.
        features: float32 arrays of shape (n_rows, n_features).

    Returns:
        One trained model per seed. Early stopping uses the gold labels of valid where they may be used and can tell
        good from bad (see `can_stop`), else pseudo-labels of held-out rows.

    Raises:
        AlchemistError: No training row has a label.

    """
    dataset, end_model, seeds = experiment.dataset, experiment.end_model, experiment.seed.values
    validation = None
    usable = can_stop(dataset, context.gold)
    purpose = "early stopping" if usable else "check for early stopping"
    if end_model.trains and (gold := context.gold.use(Split.VALID, purpose)) is not None and usable:
        validation = ValidationData(
            features=features[Split.VALID],
            gold=gold,
            n_classes=context.n_classes,
            positive=dataset.positive if dataset.metric is Metric.f1 else None,
            multi_label=dataset.is_multi_label,
            macro=dataset.metric is Metric.macro_f1 and not dataset.is_multi_label,
        )
    rows, labels = features[Split.TRAIN], result.train_labels
    with context.progress.stage(
        "end_model", f"training {len(seeds)} seed{'s' * (len(seeds) != 1)} of {end_model.name}"
    ) as advance:
        if (sample := context.data.fit_sample) is not None:
            rows, labels = take_rows(rows, sample), labels.select(sample)  # the rows the extractor was fitted on
        fitted = end_model.fit(
            rows,
            labels,
            seeds=seeds,
            validation=validation,
            on_epoch=lambda _: advance(1),
        )
    if fitted.temperature is not None:
        context.gold.use(Split.VALID, "calibration")
    if fitted.class_offsets is not None:
        context.gold.use(Split.VALID, "class offsets")
    return fitted


def predict(
    model: FittedEndModel, features: Mapping[Split, FloatArray], progress: StageProgress
) -> dict[Split, FloatArray]:
    """Predict every row with the distilled model, chunk by chunk.

    Args:
        model: The distilled model.
        features: float32 arrays of shape (n_rows, n_features).
        progress: Times the stage and shows its progress.

    Returns:
        By split, float32 array of shape (n_seeds, n_rows, n_classes).

    """
    probs = {}
    with progress.stage("evaluate", "predicting", sum(map(len, features.values()))) as advance:
        for split, rows in features.items():
            parts = []
            for chunk in row_chunks(rows):
                parts.append(model.predict_proba(chunk))
                advance(len(chunk))
            probs[split] = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return probs


def can_stop(dataset: Dataset, gold: UsableGold) -> bool:
    """Return whether the gold labels of valid tell a good end model from a bad one.

    Args:
        dataset: The dataset, whose metric early stopping watches.
        gold: The gold labels that may be used.

    Returns:
        False when all rows of valid are of one class, or no row is of the class whose F1 is watched.

    """
    classes = np.unique(gold.labels.get(Split.VALID, ()))
    return len(classes) > 1 and (dataset.metric is not Metric.f1 or dataset.positive in classes)


def program_votes(
    method: ProgramMethod,
    supplement: Supplement,
    generated: GeneratedPrograms,
    vetted: VettingResult,
    executed: ExecutionResult,
    selected: Sequence[int],
) -> LabelSources:
    """Collect the votes of the selected programs and the fate of all others.

    Args:
        method: The method that provided the programs.
        supplement: The configured supplement.
        generated: All candidates.
        vetted: The accepted and the rejected ones.
        executed: The programs that ran to their end, and their votes.
        selected: The columns of `executed` that vote.

    Returns:
        The votes, one column per selected program.

    """
    programs = tuple(executed.programs[column] for column in selected)
    return LabelSources(
        method=method.name,
        n_requested=method.n_requested(supplement),
        ids=tuple(program.id for program in programs),
        origins=tuple(program.origin for program in programs),
        matrices={split: matrix.take_programs(selected) for split, matrix in executed.matrices.items()},
        n_candidates=len(generated.candidates),
        programs=programs,
        unselected=tuple(p for column, p in enumerate(executed.programs) if column not in selected),
        rejected=vetted.rejected + executed.rejected,
        supplements=generated.supplements,
        runs=executed.runs,
        refined=generated.refined,
    )


def require_programs(
    context: RunContext, method: ProgramMethod, repair: Repair, vetted: VettingResult, executed: ExecutionResult
) -> None:
    """Stop the run when fewer programs ran to their end than the label model needs.

    Args:
        context: What the stages of the run share.
        method: The method that provided the programs.
        repair: The configured repair.
        vetted: The accepted and the rejected candidates.
        executed: The programs that ran to their end.

    Raises:
        ProgramsError: There are too few programs; the message has the reasons of the first ten rejections.

    """
    model, n_accepted = context.label_model, len(executed.programs)
    if n_accepted >= model.min_programs:
        return
    n_candidates = len(vetted.accepted) + len(vetted.rejected)
    problem = f"{n_accepted or 'none'} of {n_candidates} programs {'was' if n_accepted < 2 else 'were'} accepted"
    rejected = vetted.rejected + executed.rejected
    advice = method.advice_without_programs(rejected, repair)
    if n_accepted:
        problem += f" and label_model={model.name} needs {model.min_programs}"
        advice += ", or use label_model=majority"
    reasons = [f"{one.origin}: {one.reason}" for one in rejected[:_MAX_REASONS]]
    if len(rejected) > _MAX_REASONS:
        reasons.append(f"and {len(rejected) - _MAX_REASONS} more")
    raise ProgramsError(f"{problem} ({'; '.join(reasons)}); {advice}.")


def aggregate(context: RunContext, sources: LabelSources, calls: tuple[LLMCall, ...] = ()) -> LabelingResult:
    """Combine votes into soft labels: the label model is fitted on train and applied to every split (Section 3.2).

    Of a large train it is fitted on `TextData.fit_sample`. With several classes per row one label model is fitted for
    each class, and the result has no labeled votes.

    The class balance is taken from the gold labels of valid where they may be used, else estimated from the votes. The
    labels of valid by a model that is fitted on its gold labels are made out of fold.

    Args:
        context: What the stages of the run share.
        sources: The votes.
        calls: The LLM calls that the votes are from.

    Returns:
        The soft labels of every split that has votes.

    Raises:
        ProgramsError: There are fewer programs than the label model needs.

    """
    multi_label = context.data.task.multi_label
    model, gold = context.label_model, context.gold.use(Split.VALID, "class balance")
    if multi_label:
        model = PerClassModel.of(model, context.n_classes)
    with context.progress.stage("label_model", f"fitting the label model {model.name}"):
        train, valid = sources.matrices[Split.TRAIN], sources.matrices.get(Split.VALID)
        sample = context.data.fit_sample
        fit_on = train if sample is None else train.select(sample)
        labeled, labels_of_labeled = context.gold.labeled_votes("class balance", train, valid)
        if model.uses_gold:
            context.gold.labeled_votes("label model", train, valid)
        fitted, balance, labeled_votes = fit_label_model(model, fit_on, labeled, labels_of_labeled)
        if context.gold.reviewed is not None:  # diagnostics compare with valid alone
            labeled_votes = None if valid is None or gold is None else LabeledVotes(matrix=valid, gold=gold)
        if multi_label:  # diagnostics are for one class per row
            labeled_votes = None
        labeled_by, choice = model.name, None
        if isinstance(fitted, Auto):
            choice, fitted = fitted.choice, fitted.chosen
            labeled_by = f"{model.name}: {choice.chosen}"
        labels = {split: predict_labels(fitted, matrix) for split, matrix in sources.matrices.items()}
        if fitted.uses_gold and labeled_votes is not None:
            # The model has seen these gold labels, so its own labels of valid would look better than they are.
            with naming_plugin(fitted, "fit"):
                labels[Split.VALID] = out_of_fold_labels(fitted, fit_on, balance, labeled_votes)
    return LabelingResult(
        labels=labels,
        labeled_by=labeled_by,
        sources=sources,
        calls=calls,
        class_balance=tuple(float(share) for share in balance),
        label_model=fitted,
        labeled_votes=labeled_votes,
        choice=choice,
    )
