"""Labels rows with the distilled model or with the programs of a run. A labeler is applied to one part after another.

Parts may be labeled in any order, on any machine: a labeler has no state. Ties between classes are broken by a random
number generator that the caller may pass from part to part.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from alchemist_exp.concepts.scales import FittedScale, ScoreScale
from alchemist_exp.core.component import Component, naming_plugin
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.core.types import ABSTAIN, FloatArray, IntArray, LabelMatrix, SoftLabels
from alchemist_exp.data.kinds import KIND_FILE, load_kind
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.score_rows import ScoreRows, score_rows
from alchemist_exp.end_model.base import EndModel, FittedEndModel
from alchemist_exp.end_model.prediction import is_weight, mix
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.label_models.base import LabelModel, predict_labels
from alchemist_exp.labeling.components import Consent, changed_plugins, make_component, make_sandbox
from alchemist_exp.labeling.run_files import (
    MADE_AGAIN,
    StoredRun,
    broken,
    checked_classes,
    is_name,
    read_object,
    take,
)
from alchemist_exp.pipeline.artifacts import load_extractor
from alchemist_exp.pipeline.saved_components import CONCEPTS_FILE, PROGRAMS_FILE, SCALE_FILE, VERSION
from alchemist_exp.programs.files import file_names, split_header
from alchemist_exp.programs.types import Program
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.inputs import INPUTS

COLUMN_TYPES: Final = ("str", "int", "float", "bool")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowLabels:
    """The labels of a part of the rows.

    Attributes:
        classes: int64 array of shape (n_rows,); -1 (`ABSTAIN`) for a row without a label.
        probs: float32 array of shape (n_rows, n_classes); all zero for a row without a label.
        votes: int8 array of shape (n_rows, n_programs); no columns where no program was asked.
        failures: By program, why it did not finish on these rows, where it abstains on all of them.
        outcomes: The number of rows by outcome, added up over the programs; empty where no program was asked.

    """

    classes: IntArray
    probs: FloatArray
    votes: npt.NDArray[np.int8]
    failures: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class RowLabeler(ABC):
    """Labels rows of one kind.

    Attributes:
        CHUNK_ROWS: Rows that are labeled at once, so that memory is bounded; `chunk_rows` is lower for images.
        kind: The kind of the rows.
        classes: The class names.
        programs: A name for each program that votes, in the order of the columns of votes.
        notes: What the user should know, one sentence each.

    """

    CHUNK_ROWS: ClassVar[int] = 8192
    kind: RowKind
    classes: tuple[str, ...]
    programs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def chunk_rows(self) -> int:
        """Rows that are labeled at once."""
        return 512 if self.kind.name == "images" else self.CHUNK_ROWS

    def label(self, rows: Sequence[str], rng: np.random.Generator | None = None) -> RowLabels:
        """Label rows.

        Args:
            rows: Rows of `kind`. Rows without content get no label.
            rng: Breaks ties between classes, see `largest_class`.

        Returns:
            The labels.

        Raises:
            AlchemistError: The rows cannot be labeled.

        """
        places = np.array([not self.kind.is_empty(row) for row in rows], np.bool_)
        kept = [row for row, has_content in zip(rows, places.tolist(), strict=True) if has_content]
        found = self._label(kept, rng) if kept else self._nothing()
        if len(kept) == len(rows):
            return found
        classes = np.full(len(rows), ABSTAIN, np.int64)
        probs = np.zeros((len(rows), len(self.classes)), np.float32)
        votes = np.full((len(rows), len(self.programs)), ABSTAIN, np.int8)
        classes[places], probs[places], votes[places] = found.classes, found.probs, found.votes
        return replace(found, classes=classes, probs=probs, votes=votes)

    @abstractmethod
    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        """Label one or more rows that have content."""

    def _nothing(self) -> RowLabels:
        return RowLabels(
            classes=np.zeros(0, np.int64),
            probs=np.zeros((0, len(self.classes)), np.float32),
            votes=np.zeros((0, len(self.programs)), np.int8),
        )


@contextmanager
def naming_files(path: Path) -> Iterator[None]:
    """Turn any error of files that may be broken or hostile into one sentence that names them.

    Args:
        path: The files.

    Raises:
        StoreError: The files are broken.

    """
    try:
        yield
    except AlchemistError:
        raise
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error
    except MemoryError as error:
        raise StoreError(f"{path} needs more memory than this machine has.") from error
    except Exception as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error


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
        return RowLabels(classes=probs.argmax(axis=1).astype(np.int64), probs=probs, votes=votes)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramLabeler(RowLabeler):
    """Labels rows with the programs that voted in the run and the label model that was fitted on their votes.

    Attributes:
        CHUNK_ROWS: Higher than that of the model, because each part starts a process for each program.
        directory: The directory of the label model, for messages.
        sources: The source of each program.
        sandbox: Runs the programs.
        label_model: The fitted label model.
        program_rows: Returns the rows that programs receive, and their kind: the rows themselves, or concept scores.

    """

    CHUNK_ROWS = 50_000
    directory: Path
    sources: tuple[str, ...]
    sandbox: Sandbox
    label_model: LabelModel
    program_rows: Callable[[Sequence[str]], tuple[Sequence[str], RowKind]]

    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        given, kind = self.program_rows(rows)
        inputs = INPUTS[kind.name](kind.program_input(given))
        runs = self.sandbox.execute(self.sources, inputs, len(self.classes))
        votes = np.full((len(rows), len(runs)), ABSTAIN, np.int8)
        failures = {}
        outcomes: Counter[str] = Counter()
        for column, (name, run) in enumerate(zip(self.programs, runs, strict=True)):
            outcomes.update({str(outcome): count for outcome, count in run.outcomes.items()})
            if run.status is ProgramStatus.OK:
                votes[:, column] = run.votes
            else:  # a part of its votes would look like abstaining on the others
                failures[name] = f"{run.status.replace('_', ' ')}: {sanitize(run.detail)}"
        matrix = LabelMatrix(votes=votes, n_classes=len(self.classes))
        with naming_files(self.directory), np.errstate(all="ignore"):
            labels: SoftLabels = predict_labels(self.label_model, matrix)
        return RowLabels(
            classes=labels.hard(rng), probs=labels.probs, votes=votes, failures=failures, outcomes=+outcomes
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinedLabeler(RowLabeler):
    """Labels rows with the distilled model and, where programs vote, the label model, as a run with predict=combine.

    Attributes:
        model: Labels with the distilled model.
        voting: Labels with the programs.
        weight: The weight of the label model, 0 to 1.

    """

    model: ModelLabeler
    voting: ProgramLabeler
    weight: float

    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        distilled, voted = self.model._label(rows, rng), self.voting._label(rows, rng)
        labels = SoftLabels(probs=voted.probs, covered=np.any(voted.probs, axis=1))
        probs = mix(distilled.probs, labels, self.weight)
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
    kind, extractor, features = _load_features(run, consent)
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
        notes=_notes(run, {"feature_extractor": extractor, "end_model": end_model}),
    )


def program_labeler(
    run: StoredRun, consent: Consent, sandbox_mode: str | None, sandbox_workers: int | None = None
) -> ProgramLabeler:
    """Return a labeler with the programs and the label model of a run.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.
        sandbox_mode: The mode of the sandbox on this machine; None if the labeler will not be applied.
        sandbox_workers: Programs that run at once; None for as many as there are CPU cores.

    Returns:
        The labeler.

    Raises:
        StoreError: The run has no programs, or a file of it is missing, broken or was changed.
        SandboxError: The mode does not work on this machine.
        ConfigError: A plugin, a package or weights are missing.

    """
    programs = read_programs(run)
    label_model = make_component(run, "label_model", consent)
    if not isinstance(label_model, LabelModel):
        raise TypeError(f"label_model became a {type(label_model).__name__}")
    with naming_files(run.label_model), naming_plugin(label_model, "load"):
        fitted = label_model.load(run.label_model, n_programs=len(programs), n_classes=len(run.classes))
    made: dict[str, Component] = {"label_model": label_model}
    kind = _load_kind(run)
    program_rows = _unchanged(kind)
    if (run.label_model / CONCEPTS_FILE).exists():
        kind, extractor, features = _load_features(run, consent)
        made["feature_extractor"] = extractor
        program_rows = _concept_scores(run, extractor, features)
    return ProgramLabeler(
        kind=kind,
        classes=run.classes,
        programs=tuple(file_names(program.origin for program in programs)),
        directory=run.label_model,
        sources=tuple(program.source for program in programs),
        sandbox=make_sandbox(run, sandbox_mode, consent, sandbox_workers),
        label_model=fitted,
        program_rows=program_rows,
        notes=_notes(run, made),
    )


def read_programs(run: StoredRun) -> list[Program]:
    """Return the programs that voted in a run, in the order of their columns.

    Args:
        run: The run, whose files were checked.

    Returns:
        One or more programs, none of which was changed since the run.

    Raises:
        StoreError: The run has no programs, or a file of it is missing, broken or was changed.

    """
    path = run.label_model / PROGRAMS_FILE
    if not path.exists():
        if not (run.programs.is_dir() and any(run.programs.glob("*.py"))):
            raise _without_programs(run)
        raise StoreError(
            f"{run.directory} has no directory label_model, because an earlier version of this program made it or its "
            f"label model cannot be saved; {MADE_AGAIN}, or use --with model."
        )
    stored = read_object(path)
    if take(stored, "version", int, path) != VERSION:
        raise broken(path, f"its version is {stored['version']}; expected {VERSION}")
    if checked_classes(stored.get("classes"), path) != run.classes:
        raise broken(path, "it has other classes than the record")
    programs = _read_programs(run, take(stored, "programs", list, path), path)
    if not programs:
        raise _without_programs(run)
    if take(stored, "n_columns", int, path) != len(programs):
        raise broken(path, f"it has {len(programs)} programs for {stored['n_columns']} columns of votes")
    return programs


def _unchanged(kind: RowKind) -> Callable[[Sequence[str]], tuple[Sequence[str], RowKind]]:
    return lambda rows: (rows, kind)


def _load_kind(run: StoredRun) -> RowKind:
    """Return the kind of the rows of a run, after a check of its columns."""
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


def _without_programs(run: StoredRun) -> StoreError:
    name = sanitize(str(run.config("method").get("name", "")))
    return StoreError(f"no program voted in {run.directory} (method={name}); use --with model.")


def _read_programs(run: StoredRun, entries: Sequence[object], where: Path) -> list[Program]:
    """Return the programs that voted, in the order of their columns, after a comparison with their keys."""
    programs = []
    for entry in entries:
        if not isinstance(entry, dict) or not all(is_name(entry.get(key)) for key in ("file", "id", "key", "origin")):
            raise broken(where, "a program has no file, id, key or origin")
        name = entry["file"]
        if Path(name).name != name or not name.endswith(".py") or "\0" in name:
            raise broken(where, f"{name[:80]!r} is not the name of a program's file")
        path = run.programs / name
        edited = (
            f"only the programs that voted in the run can be used with its label model; restore the file, or use "
            f"edited programs by alchemist run method=program_files method.path={run.programs}"
        )
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise StoreError(f"{path} was changed since the run; {edited}.") from error
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}); {edited}.") from error
        program = Program(source=split_header(text)[1], origin=sanitize(entry["origin"]))
        if (program.id, key_of("program", program.source)) != (entry["id"], entry["key"]):
            raise StoreError(f"{path} was changed since the run; {edited}.")
        programs.append(program)
    return programs


def _load_features(
    run: StoredRun, consent: Consent
) -> tuple[RowKind, FeatureExtractor, Callable[[Sequence[str]], FloatArray]]:
    """Return the kind of the rows, and the fitted feature extractor of a run."""
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
        kind = _load_kind(run)
        _, features = load_extractor(run.model, extractor)
    if isinstance(extractor, ImageTextEncoder):
        _require_weights(run, extractor)

    def of_rows(rows: Sequence[str]) -> FloatArray:
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


def _concept_scores(
    run: StoredRun, extractor: FeatureExtractor, features: Callable[[Sequence[str]], FloatArray]
) -> Callable[[Sequence[str]], tuple[Sequence[str], RowKind]]:
    """Return the function that turns images into the concept scores that programs receive (paper, Section 3.3)."""
    path = run.label_model / CONCEPTS_FILE
    stored = read_object(path)
    scale, concepts = stored.get("scale"), take(stored, "concepts", list, path)
    if not isinstance(scale, str) or scale not in ScoreScale.__members__ or not isinstance(extractor, ImageTextEncoder):
        raise broken(path, "its scale or the feature extractor of the run is not known")
    descriptions: list[str] = []
    kept: list[bool] = []
    for concept in concepts:
        of = concept.get("descriptions") if isinstance(concept, dict) else None
        if not isinstance(of, list) or len(of) != len(run.classes) or not all(is_name(text) for text in of):
            raise broken(path, f"a concept does not have one description for each of {len(run.classes)} classes")
        descriptions += of
        kept += [take(concept, "kept", bool, path)] * len(of)
    if not any(kept):
        raise broken(path, "it has no concepts")
    with naming_files(path):
        # All together, as in the run: the vector of a text depends on the texts in its batch in the last digit.
        vectors = extractor.encode_texts(descriptions)[np.array(kept)]
        fitted = FittedScale.load(
            run.label_model / SCALE_FILE, ScoreScale[scale], n_classes=len(run.classes), n_descriptions=len(vectors)
        )

    def score(rows: Sequence[str]) -> tuple[Sequence[str], RowKind]:
        return score_rows(fitted.transform(features(rows) @ vectors.T)), ScoreRows()

    return score


def _notes(run: StoredRun, made: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"The code of {group}={sanitize(made[group].name)} has changed since the run; labels may differ."
        for group in changed_plugins(run, made)
    )
