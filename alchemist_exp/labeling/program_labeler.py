"""Labels rows with the programs of a run and the label model that was fitted on their votes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alchemist_exp.concepts.scales import FittedScale, ScoreScale
from alchemist_exp.core.component import Component, naming_plugin
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray, SoftLabels
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.score_rows import ScoreRows, score_rows
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.label_models.fit import predict_labels
from alchemist_exp.label_models.per_class import PerClassModel
from alchemist_exp.labeling.components import Consent, make_component, make_sandbox
from alchemist_exp.labeling.fitted_features import change_notes, load_features, load_row_kind
from alchemist_exp.labeling.row_labeler import RowLabeler, RowLabels, naming_files
from alchemist_exp.labeling.run_files import (
    MADE_AGAIN,
    StoredRun,
    broken,
    checked_classes,
    is_name,
    read_object,
    take,
)
from alchemist_exp.pipeline.saved_components import CONCEPTS_FILE, PROGRAMS_FILE, SCALE_FILE, VERSION
from alchemist_exp.programs.execution import sandbox_execute, vote_matrix
from alchemist_exp.programs.files import file_names, split_header
from alchemist_exp.programs.types import Program
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.inputs import INPUTS


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
        n_classes, multi_label = len(self.classes), self.multi_label
        runs = sandbox_execute(self.sandbox, multi_label=multi_label)(self.sources, inputs, n_classes)
        failures, columns = {}, []
        outcomes: Counter[str] = Counter()
        for name, run in zip(self.programs, runs, strict=True):
            outcomes.update({str(outcome): count for outcome, count in run.outcomes.items()})
            finished = run.status is ProgramStatus.OK
            # A part of its votes would look like abstaining on the others.
            columns.append(run.votes if finished else None)
            if not finished:
                failures[name] = f"{run.status.replace('_', ' ')}: {sanitize(run.detail)}"
        matrix = vote_matrix(columns, len(rows), n_classes, multi_label=multi_label)
        with naming_files(self.directory), np.errstate(all="ignore"):
            labels: SoftLabels = predict_labels(self.label_model, matrix)
        return RowLabels(
            classes=labels.hard(rng), probs=labels.probs, votes=matrix.votes, failures=failures, outcomes=+outcomes
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
    label_model, fitted = load_label_model(run, consent, len(programs))
    made: dict[str, Component] = {"label_model": label_model}
    kind = load_row_kind(run)
    program_rows = _unchanged(kind)
    if (run.label_model / CONCEPTS_FILE).exists():
        kind, extractor, features = load_features(run, consent)
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
        multi_label=run.multi_label,
        notes=change_notes(run, made),
    )


def load_label_model(run: StoredRun, consent: Consent, n_programs: int) -> tuple[LabelModel, LabelModel]:
    """Return the label model of a run.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.
        n_programs: The number of programs that voted.

    Returns:
        The component, and the model that was fitted.

    Raises:
        StoreError: A file of it is missing, broken or was changed.
        ConfigError: A plugin or a package is missing.

    """
    label_model = make_component(run, "label_model", consent)
    if not isinstance(label_model, LabelModel):
        raise TypeError(f"label_model became a {type(label_model).__name__}")
    unfitted = PerClassModel.of(label_model, len(run.classes)) if run.multi_label else label_model
    with naming_files(run.label_model), naming_plugin(label_model, "load"):
        fitted = unfitted.load(run.label_model, n_programs=n_programs, n_classes=len(run.classes))
    return label_model, fitted


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
        """Return the concept scores of images, as rows of their own kind."""
        return score_rows(fitted.transform(features(rows) @ vectors.T)), ScoreRows()

    return score
