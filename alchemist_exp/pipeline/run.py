"""Runs an experiment: check, load, label, extract features, distil, score, record.

A finished run is answered from its record. A run that fails, is interrupted or killed leaves a record that says so.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache, read_array
from alchemist_exp.core.atomic_io import explain_write_errors, write_bytes
from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.core.locks import locked
from alchemist_exp.core.progress import Progress, StageProgress
from alchemist_exp.core.types import FloatArray, IntArray, Split
from alchemist_exp.data.base import Metric, TextData
from alchemist_exp.end_model.base import FittedEndModel, ValidationData
from alchemist_exp.evaluation.seed_variance import high_seed_variance
from alchemist_exp.features.chunk_cache import transform_in_chunks
from alchemist_exp.methods.base import LabelingResult, Workbench
from alchemist_exp.pipeline import artifacts, plan, record_sections
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.results.provenance import git_state, host, package_versions
from alchemist_exp.results.record import RunRecord, RunStatus, utc_now
from alchemist_exp.tracking.base import RunInfo, Tracker

MADE = (artifacts.PROGRAMS, artifacts.MODEL, artifacts.LABELS, "csv", "wandb")
"""What a run puts beside its record; an earlier run's go before it begins again, and so do a killed run's drafts."""


RESERVE, RESERVED_BYTES = ".reserve", 1 << 16
"""Room on the disk for the word that a run has failed, should it fail because the disk is full."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The record of a run, where it lies, and whether it was there already."""

    record: RunRecord
    folder: Path
    reused: bool


def run(experiment: Experiment, config: Mapping[str, Any], overrides: list[str], progress: Progress) -> RunResult:
    """The record of `experiment`: found, when such a run has finished, else made. `config` goes into it as it is."""
    experiment.check()
    # torchmetrics imports matplotlib where it is installed, which keeps a cache of fonts.
    os.environ.setdefault("MPLCONFIGDIR", str(experiment.paths.cache / "matplotlib"))
    stages = StageProgress(progress)
    with stages.stage("load", f"loading {experiment.dataset.name}"):
        data = experiment.dataset.load()
        experiment.check_against(data)
        key = experiment.run_key(data.fingerprint)
    folder = experiment.paths.runs / key
    with locked(experiment.paths.runs / ".locks" / f"{key}.lock"):
        found = RunRecord.read_current(folder)
        if found and found.status is RunStatus.FINISHED and not experiment.anew:
            return RunResult(record=found, folder=folder, reused=True)
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
            data=record_sections.data_section(experiment.dataset, data),
        )
        _recorded_run(experiment, data, record, folder, stages)
    return RunResult(record=record, folder=folder, reused=False)


def _recorded_run(
    experiment: Experiment, data: TextData, record: RunRecord, folder: Path, stages: StageProgress
) -> None:
    """Runs the stages between a record `started` and one `finished` or `failed`."""
    _clear(folder)
    record.write(folder)
    info = RunInfo(
        key=record.run_key,
        directory=folder,
        config=record.config,
        tags=[experiment.dataset.name, experiment.method.name, experiment.label_model.name],
    )
    try:
        write_bytes(folder / RESERVE, os.urandom(RESERVED_BYTES))
        with ExitStack() as opened:
            with stages.stage("tracking", f"opening the logger {experiment.logger.name}"):
                tracker = opened.enter_context(experiment.logger.open(info))
            _stages(experiment, data, record, folder, stages, tracker)
            with stages.stage("tracking", f"closing the logger {experiment.logger.name}"):
                opened.close()
        record.seconds = stages.finish()
        record.status, record.finished_at = RunStatus.FINISHED, utc_now()
        record.write(folder)
    except BaseException as error:
        record.seconds = stages.finish()
        record.status, record.finished_at, record.error = RunStatus.FAILED, utc_now(), _sentence(error)
        (folder / RESERVE).unlink(missing_ok=True)
        record.write(folder)
        raise
    (folder / RESERVE).unlink()


def _sentence(error: BaseException) -> str:
    match error:
        case AlchemistError():
            return str(error)
        case Terminated():
            return "terminated"
        case KeyboardInterrupt():
            return "interrupted"
        case _:
            return f"{type(error).__name__}: {error}"


def _clear(folder: Path) -> None:
    with explain_write_errors(folder):
        for path in [*(folder / name for name in MADE), *folder.glob(".*")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _stages(
    experiment: Experiment, data: TextData, record: RunRecord, folder: Path, stages: StageProgress, tracker: Tracker
) -> None:
    """Fills the record's sections in the order of the paper."""
    valid_gold = _usable_gold(experiment, data, record)

    @cache
    def extracted() -> tuple[dict[Split, FloatArray], Path]:
        return _features(experiment, data, stages)

    labeling = experiment.method.label(_workbench(experiment, data, stages, lambda: extracted()[0]))
    positive = experiment.dataset.positive
    record.programs = record_sections.programs_section(labeling.voters, data, experiment.sandbox.effective_mode)
    record.label_model = record_sections.label_model_section(labeling, data, positive)
    record.cost = plan.cost_section(experiment, labeling, data)
    record.notes += [*experiment.without_effect(record.overrides), *labeling.voters.notes]
    artifacts.save_programs(folder / artifacts.PROGRAMS, labeling)

    features, extractor = extracted()
    model = _distil(experiment, features, labeling, valid_gold, stages, tracker)
    with stages.stage("evaluate", "scoring"):
        probs = {split: model.predict_proba(features[split]) for split in data.splits}
        record.end_model = record_sections.end_model_section(
            experiment.end_model.name, list(experiment.seed.values), probs, data, positive
        )
        record.host = host(model.device)
        artifacts.save_labels(folder / artifacts.LABELS, data, labeling, probs)
        artifacts.save_model(folder / artifacts.MODEL, extractor, model)
    _note_gold(record, data, labeling, valid_gold)
    _note_classes(record, labeling)
    record.notes += high_seed_variance(record.end_model["metrics"], experiment.dataset.metric.value)
    _track(tracker, record)


def _usable_gold(experiment: Experiment, data: TextData, record: RunRecord) -> IntArray | None:
    """The validation labels, where the configuration allows them and there are any."""
    gold = data.gold(Split.VALID) if experiment.gold.use_valid else None
    if experiment.gold.use_valid and gold is None:
        record.notes.append(
            "There are no validation labels: the class balance is estimated from the votes, "
            "and early stopping watches held-out pseudo-labels, as with gold=none."
        )
    return gold


def _workbench(
    experiment: Experiment, data: TextData, stages: StageProgress, features: Callable[[], Mapping[Split, FloatArray]]
) -> Workbench:
    return Workbench(
        data=data,
        gold=plan.usable_gold(experiment, data),
        llm_client=experiment.llm_client(),
        parts=experiment.parts,
        store=ArtifactCache(experiment.paths.cache),
        stages=stages,
        features=features,
    )


def _features(experiment: Experiment, data: TextData, stages: StageProgress) -> tuple[dict[Split, FloatArray], Path]:
    """Features of every split, fitted on train, and the cache entry that holds the fitted extractor."""
    extractor, store = experiment.feature_extractor, ArtifactCache(experiment.paths.cache)
    key = {"extractor": extractor.key(), "texts": {s.value: data.texts_key(s) for s in data.splits}}
    parts = store.path_of("feature_parts", key)
    rows = sum(len(data.texts(split)) for split in data.splits)

    with stages.stage("features", f"extracting features by {extractor.name}", rows) as advance:

        def make(folder: Path) -> None:
            extractor.fit(data.texts(Split.TRAIN))
            for split in data.splits:
                np.save(
                    folder / f"{split}.npy", transform_in_chunks(extractor, data.texts(split), parts, split, advance)
                )
            extractor.save(folder)

        entry = store.get_or_create("features", key, make)
        shutil.rmtree(parts, ignore_errors=True)
        return {split: read_array(entry / f"{split}.npy") for split in data.splits}, entry


def _distil(
    experiment: Experiment,
    features: Mapping[Split, FloatArray],
    labeling: LabelingResult,
    valid_gold: IntArray | None,
    stages: StageProgress,
    tracker: Tracker,
) -> FittedEndModel:
    """Trains the end model on the soft labels of the covered training rows, all seeds at once."""
    validation = None
    if valid_gold is not None:
        validation = ValidationData(
            features=features[Split.VALID],
            gold=valid_gold,
            n_classes=len(experiment.dataset.classes),
            positive=experiment.dataset.positive if experiment.dataset.metric is Metric.f1 else None,
        )
    seeds = experiment.seed.values
    with stages.stage("end_model", f"training {len(seeds)} seeds of {experiment.end_model.name}") as advance:
        model = experiment.end_model.fit(
            features[Split.TRAIN],
            labeling.labels[Split.TRAIN],
            seeds=seeds,
            validation=validation,
            on_epoch=lambda _: advance(1),
        )
    _track_curves(tracker, model)
    return model


def _track_curves(tracker: Tracker, model: FittedEndModel) -> None:
    """Each seed's training loss and validation score, an epoch a step, until the last seed has stopped."""
    for epoch in range(max(len(curve.train_loss) for curve in model.curves)):
        going = [curve for curve in model.curves if epoch < len(curve.train_loss)]
        losses = {f"train_loss/seed_{curve.seed}": curve.train_loss[epoch] for curve in going}
        scores = {f"valid_score/seed_{curve.seed}": curve.valid_score[epoch] for curve in going}
        tracker.log_metrics(epoch, losses | scores)


def _note_gold(record: RunRecord, data: TextData, labeling: LabelingResult, valid_gold: IntArray | None) -> None:
    """Says which gold labels were used for what, and which scores could not be given."""
    used = list(labeling.gold_used)
    if valid_gold is not None:
        used.append("valid: early stopping")
    for split in Split:
        if split in data.splits and split not in labeling.labels:
            record.notes.append(f"No label-model scores on {split}: nobody voted there.")
        if data.gold(split) is not None:
            used.append(f"{split}: scoring")
        elif split is not Split.TRAIN:
            lack = "has no labels" if split in data.splits else "is not there"
            record.notes.append(f"No {split} scores: the split {lack}.")
    record.data["gold_used"] = used


def _note_classes(record: RunRecord, labeling: LabelingResult) -> None:
    """Names classes that nobody ever votes for: no model distilled from the votes can know them."""
    counts = labeling.voters.matrices[Split.TRAIN].counts().sum(axis=0)
    silent = [name for name, count in zip(record.data["classes"], counts, strict=True) if not count]
    if silent:
        record.notes.append(f"No vote on train is for the class {', '.join(silent)}.")


def _track(tracker: Tracker, record: RunRecord) -> None:
    """Figures and the programs' table to the logger."""
    metrics: list[tuple[str, str, str, float, float]] = []
    for split, scores in record.label_model["metrics"].items():
        if scores:
            metrics += [("label model", split, name, scores[name], 0.0) for name in ("accuracy", "f1", "macro_f1")]
    for split, scores in record.end_model["metrics"].items():
        metrics += [("end model", split, name, s["mean"], s["std"]) for name, s in scores.items()]
    tracker.log_summary({f"{stage}/{split}/{name}".replace(" ", "_"): mean for stage, split, name, mean, _ in metrics})
    tracker.log_summary({f"coverage/{split}": share for split, share in record.label_model["coverage"].items()})
    tracker.log_table("metrics", ["stage", "split", "score", "mean", "std"], metrics)
    columns = ["id", "origin", "coverage", "accuracy", "errors"]
    rows = [[p["id"], p["origin"], p["coverage"], p["accuracy"], str(p["errors"])] for p in record.programs["list"]]
    rejected = [[r["id"], r["origin"], None, None, r["reason"]] for r in record.programs["rejected"]]
    tracker.log_table("programs", columns, rows + rejected)
