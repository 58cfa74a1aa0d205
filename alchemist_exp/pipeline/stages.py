"""The stages that every method shares: context, features, distillation, predictions."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from alchemist_exp.context import RunContext, UsableGold
from alchemist_exp.core.artifact_cache import ArtifactCache, read_array
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.base import Metric, TextData
from alchemist_exp.end_model.base import FittedEndModel, ValidationData
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.chunk_cache import transform_in_chunks
from alchemist_exp.methods.base import LabelingResult
from alchemist_exp.pipeline.experiment import Experiment


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractedFeatures:
    """The features of every split.

    Attributes:
        by_split: float32 arrays of shape (n_rows, n_features), memory-mapped.
        entry: The cache entry, a directory that also holds the fitted extractor.

    """

    by_split: Mapping[Split, FloatArray]
    entry: Path


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
        if plan:
            raise RuntimeError("a plan extracts no features")
        return _extract_features(experiment.feature_extractor, data, artifact_cache, progress)

    labels = {split: data.gold(split) for split in (Split.TRAIN, Split.VALID)} if experiment.gold.use_valid else {}
    context = RunContext(
        data=data,
        gold=UsableGold(labels={split: gold for split, gold in labels.items() if gold is not None}),
        llm_client=experiment.llm_client(),
        prompts=experiment.prompt,
        sandbox=experiment.sandbox,
        label_model=experiment.label_model,
        cache=artifact_cache,
        progress=progress,
        features=lambda: extracted().by_split,
    )
    return context, extracted


def _extract_features(
    extractor: FeatureExtractor, data: TextData, artifact_cache: ArtifactCache, progress: StageProgress
) -> ExtractedFeatures:
    """Fit the extractor on train and extract the features of every split, or find them in the cache."""
    key = {"extractor": extractor.key(), "texts": {s.value: data.texts_key(s) for s in data.splits}}
    # Finished chunks are kept outside the entry, so that a killed run continues where it was.
    chunks = artifact_cache.path_of("feature_parts", key)
    n_rows = sum(len(data.texts(split)) for split in data.splits)
    with progress.stage("features", f"extracting features by {extractor.name}", n_rows) as advance:

        def make(directory: Path) -> None:
            extractor.fit(data.texts(Split.TRAIN))
            for split in data.splits:
                np.save(
                    directory / f"{split}.npy",
                    transform_in_chunks(extractor, data.texts(split), chunks, split, advance),
                )
            extractor.save(directory)

        entry = artifact_cache.get_or_create("features", key, make)
        shutil.rmtree(chunks, ignore_errors=True)
        return ExtractedFeatures(
            by_split={split: read_array(entry / f"{split}.npy") for split in data.splits}, entry=entry
        )


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
        One trained model per seed. Early stopping uses the gold labels of valid where they may be used, else
        pseudo-labels of held-out rows.

    Raises:
        AlchemistError: No training row has a label.

    """
    dataset, end_model, seeds = experiment.dataset, experiment.end_model, experiment.seed.values
    gold = context.gold.use(Split.VALID, "early stopping")
    validation = None
    if gold is not None:
        validation = ValidationData(
            features=features[Split.VALID],
            gold=gold,
            n_classes=context.n_classes,
            positive=dataset.positive if dataset.metric is Metric.f1 else None,
        )
    with context.progress.stage("end_model", f"training {len(seeds)} seeds of {end_model.name}") as advance:
        return end_model.fit(
            features[Split.TRAIN],
            result.labels[Split.TRAIN],
            seeds=seeds,
            validation=validation,
            on_epoch=lambda _: advance(1),
        )
