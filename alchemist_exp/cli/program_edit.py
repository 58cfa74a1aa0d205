"""Runs a finished run again with changed programs, as a new run; the votes of the others come from the cache."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alchemist_exp.core.atomic_io import read_prefix, write_bytes, write_directory
from alchemist_exp.core.errors import AlchemistError, ConfigError, ProgramsError, StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.overrides import override
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.terminal import single_line
from alchemist_exp.labeling.run_files import MADE_AGAIN
from alchemist_exp.programs.files import split_header
from alchemist_exp.programs.types import Program
from alchemist_exp.results.edits import EDITED, used_directories
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.sweeps.overrides import key_of_override, without_sweep_keys

if TYPE_CHECKING:
    from alchemist_exp.core.progress import Progress
    from alchemist_exp.data.text_data import TextData
    from alchemist_exp.pipeline.experiment import Experiment
    from alchemist_exp.results.record import RunResult

METHODS: Final = ("alchemist", "program_files")
"""The methods whose votes are those of programs alone."""

MAX_FILE_BYTES: Final = 1 << 24

REPLACED: Final = ("method", "supplement", "selection", "refine", "repair", "paths.outputs", "force")
"""Groups and keys whose overrides are not repeated: the programs of the new run are those that voted, and
no LLM is asked for others."""


def run_edited(
    parent: Path, record: RunRecord, outputs: Path, program: str | None, file: Path, own: Path | None
) -> "RunResult":
    """Make a run with changed programs.

    Args:
        parent: The directory of the run.
        record: Its record.
        outputs: The outputs directory of both runs.
        program: The file name of the program, or a part of it that no other has; None if `file` is a directory.
        file: The changed program, or a directory with changed programs under their names in the run.
        own: The user's --config-dir.

    Returns:
        The new run, or the existing run with these programs.

    Raises:
        AlchemistError: The run cannot be edited, vetting rejects the changed program, or the new run fails.

    """
    # The overrides of a run are executed, so it must be one of the user's own.
    if parent.resolve().parent != (outputs / "runs").resolve():
        raise ConfigError(
            f"the run {single_line(str(parent))} is not in {outputs / 'runs'}; only runs of the directory --outputs "
            "can be edited, because their command is run again."
        )
    method = record.config.get("method", {}).get("name")
    if method not in METHODS or record.data.get("kind") == "images":
        what = "the rows are images" if method in METHODS else f"method={single_line(str(method))}"
        raise ConfigError(f"only runs of {' or '.join(METHODS)} on texts or records can be edited; here {what}.")
    directory = _write_programs(parent, record, outputs, program, file)
    kept = [
        text
        for text in without_sweep_keys(record.overrides)
        if key_of_override(text) not in REPLACED and key_of_override(text).partition(".")[0] not in REPLACED
    ]
    added = [
        *("method=program_files", "supplement=none", "selection=all", "refine=none", "repair=off"),
        override("method.path", str(directory)),
        override("method.edited_from", record.run_key),
        override("paths.outputs", str(outputs.resolve())),
    ]
    from alchemist_exp import library
    from alchemist_exp.pipeline.compatibility import check_experiment
    from alchemist_exp.pipeline.run import run
    from alchemist_exp.results.progress import RichProgress
    from alchemist_exp.results.runs import index_runs

    progress, overrides = RichProgress(), [*kept, *added]
    try:
        experiment, values = library.compose_experiment(overrides, own)
        check_experiment(experiment)
        data = experiment.dataset.load()
        _vet(experiment, data, progress)
    except AlchemistError:
        # A killed earlier try may have left the directory, so it may also go if this one did not make it.
        if directory.name not in used_directories(index_runs(outputs).runs):
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return run(experiment, values, overrides, progress, data=data)


def _vet(experiment: "Experiment", data: "TextData", progress: "Progress") -> None:
    """Vet the programs of a run before it begins; their votes on train and valid are then in the cache.

    Raises:
        ProgramsError: Vetting rejects one of them, which the run would leave out.

    """
    from alchemist_exp.methods.program_files import ProgramFilesMethod
    from alchemist_exp.pipeline.stages import make_context
    from alchemist_exp.programs.vetting import Vetter

    context, _ = make_context(experiment, data.rows_with_text, StageProgress(progress))
    assert isinstance(experiment.method, ProgramFilesMethod)
    rejected = Vetter(experiment.vetting, context).vet_finally(experiment.method.candidates).rejected
    if rejected:
        reasons = "; ".join(f"{one.origin} ({one.stage.replace('_', ' ')}: {one.reason})" for one in rejected)
        raise ProgramsError(
            f"vetting={experiment.vetting.name} rejects {reasons}; correct the program. Nothing was changed."
        )


def _write_programs(parent: Path, record: RunRecord, outputs: Path, program: str | None, file: Path) -> Path:
    """Write the programs that voted in a run, with some of them changed, and return their directory."""
    texts = _unchanged_programs(parent, record)
    changed = []
    given = _given_programs(file, program, [*texts])
    for name, text in given.items():
        source, earlier = split_header(text)[1], split_header(texts[name])[1]
        if source != earlier:
            changed.append(name)
            # The header stays: by it the new program has the old one as its parent.
            texts[name] = texts[name].removesuffix(earlier) + source
    if not changed:
        found = "has no changed program" if program is None else f"is equal to the program {', '.join(given)}"
        raise ConfigError(f"{single_line(str(file))!r} {found}; change it first.")
    key = key_of("edited programs", texts)[:SHOWN_KEY_DIGITS]
    what = Path(changed[0]).stem if len(changed) == 1 else f"{len(changed)}_programs"
    directory = outputs.resolve() / EDITED / f"{parent.name[:SHOWN_KEY_DIGITS]}_{what}_{key}"

    def fill(draft: Path) -> None:
        """Write every program into the draft of the directory."""
        for each, text in texts.items():
            write_bytes(draft / each, text.encode("utf-8"))

    if directory.is_dir():
        os.utime(directory)  # `alchemist clean` leaves new directories alone
    else:
        write_directory(directory, fill)
    return directory


def _given_programs(file: Path, program: str | None, names: Sequence[str]) -> dict[str, str]:
    """Return the texts that the user gives by the names of the programs in the run."""
    if not file.is_dir():
        if program is None:
            raise ConfigError("--program NAME is missing; it says which program FILE replaces.")
        fitting = [name for name in names if program in (name, Path(name).stem)] or [n for n in names if program in n]
        if len(fitting) != 1:
            found = f"{len(fitting)} programs have" if fitting else "no program has"
            raise ConfigError(
                f"--program is {single_line(program)!r}, but {found} this in the name of the file; the files are "
                f"{', '.join(map(single_line, names))}."
            )
        return {fitting[0]: _read(file)}
    if program is not None:
        raise ConfigError(f"--program is for one FILE, and {single_line(str(file))!r} is a directory; leave it out.")
    given = sorted(file.glob("*.py"))
    if unknown := [path.name for path in given if path.name not in names]:
        raise ConfigError(
            f"{single_line(str(file / unknown[0]))!r} is not the name of a program of the run; they are "
            f"{', '.join(map(single_line, names))}."
        )
    return {path.name: _read(path) for path in given}


def _unchanged_programs(parent: Path, record: RunRecord) -> dict[str, str]:
    """Return the text of each program that voted in a run by its file.

    Raises:
        StoreError: A file is missing or was changed since the run, so the new run would differ in more than was
            given.

    """
    directory = parent / "programs"
    if not directory.is_dir():
        raise StoreError(
            f"{single_line(str(directory))} is missing, so no program can be changed; {MADE_AGAIN}, or restore it."
        )
    files = {path.name: path for path in sorted(directory.glob("*.py"))}
    texts = {}
    for program in record.programs["list"]:
        name = str(program.get("file"))
        text = _read(files[name]) if name in files else None
        if text is None or Program(source=split_header(text)[1], origin=name).id != program["id"]:
            what = "is missing" if text is None else "was changed since the run"
            raise StoreError(
                f"{single_line(str(directory / name))} {what}; restore the file (a changed program is given as FILE), "
                f"or {MADE_AGAIN}."
            )
        texts[name] = text
    return dict(sorted(texts.items()))


def _read(file: Path) -> str:
    """Return the text of a program's file."""
    try:
        if not file.is_file():
            raise ConfigError(f"{single_line(str(file))!r} is not a file; name the changed program.")
        raw = read_prefix(file, MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{single_line(str(file))!r} has more than {MAX_FILE_BYTES:,} bytes.")
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{single_line(str(file))!r} is not UTF-8 (byte {error.start}).") from error
    except OSError as error:
        raise ConfigError(f"{single_line(str(file))!r} cannot be read: {error.strerror}.") from error
