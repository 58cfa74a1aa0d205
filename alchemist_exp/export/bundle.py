"""Makes an export: a directory with labeled data, card, labeler, distilled model and the files of the run."""

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import explain_write_errors, write_bytes, write_directory
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.end_model.base import EndModel
from alchemist_exp.export.card import FILES, card
from alchemist_exp.export.croissant import CROISSANT, croissant_bytes
from alchemist_exp.export.facts import facts_of, weak_source
from alchemist_exp.export.networks import ONNX, SAFETENSORS, write_onnx, write_safetensors
from alchemist_exp.export.python_labeler import LABELER, labeler_source
from alchemist_exp.export.tables import DATA, JSONL, SPLIT_NAMES, write_tables
from alchemist_exp.labeling.components import Consent, make_component
from alchemist_exp.labeling.program_labeler import program_labeler, read_programs
from alchemist_exp.labeling.run_files import StoredRun, read_object, run_files
from alchemist_exp.pipeline.saved_components import PROGRAMS_FILE
from alchemist_exp.programs.files import file_names
from alchemist_exp.results.record import EXPORTED_RUN, RECORD

CARD: Final = "README.md"

_SHOWN_FILES: Final = 5

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of renameat2(2)


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was written.

    Attributes:
        n_rows: Rows of all splits.
        sources: Rows by `label_source`.
        notes: What is not in the export and why, one sentence each.

    """

    n_rows: int
    sources: dict[str, int]
    notes: list[str]


def check_target(directory: Path, *, force: bool) -> None:
    """Check that an export can be written.

    Args:
        directory: The directory to write.
        force: Whether an earlier export there is replaced.

    Raises:
        ConfigError: It exists and is not to be replaced, or is not an export.

    """
    if not os.path.lexists(directory):
        return
    if not force:
        raise ConfigError(f"{str(directory)!r} exists; name another directory by -o DIR, or replace it by --overwrite.")
    has_files = (directory / CROISSANT).is_file() and (directory / EXPORTED_RUN / RECORD).is_file()
    if directory.is_symlink() or not has_files:
        raise ConfigError(
            f"{str(directory)!r} is not an export, so --overwrite does not replace it; name another one by -o DIR."
        )
    # What is in the directory of an export and not written by one.
    written = {CARD, *FILES} | {f"{DATA}/{name}.parquet" for name in SPLIT_NAMES.values()}
    written |= {f"{JSONL}/{name}.jsonl" for name in SPLIT_NAMES.values()}
    written |= {str(path.relative_to(directory)) for path in run_files(directory / EXPORTED_RUN)}
    files = (path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (str(path.relative_to(directory)) for path in files)
    # Python writes __pycache__ when labeler.py is imported.
    if foreign := sorted(name for name in names if name not in written and not name.startswith("__pycache__/")):
        shown = ", ".join(map(single_line, foreign[:_SHOWN_FILES])) + ", ..." * (len(foreign) > _SHOWN_FILES)
        raise ConfigError(
            f"{str(directory)!r} has files that an export does not write, which --overwrite would delete: {shown}; "
            "move them away, or name another directory by -o DIR."
        )


def export_run(run: StoredRun, directory: Path, consent: Consent) -> ExportSummary:
    """Write the export of a run; the directory appears when it is complete.

    Args:
        run: The run, whose files were checked.
        directory: The directory; an earlier export there is replaced, see `check_target`.
        consent: What the user allows the files of the run to do.

    Returns:
        What was written.

    Raises:
        AlchemistError: A file of the run is missing or broken, or the export cannot be written.

    """
    summaries: list[ExportSummary] = []
    if not directory.exists():
        write_directory(directory, lambda draft: summaries.append(_fill(run, draft, consent)))
        _remove_drafts(directory)
        return summaries[0]
    # After the exchange, the draft is the earlier export.
    draft = directory.with_name(f".{directory.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
    write_directory(draft, lambda inner: summaries.append(_fill(run, inner, consent)))
    with explain_write_errors(directory):
        _exchange(draft, directory)
        shutil.rmtree(draft)
    _remove_drafts(directory)
    return summaries[0]


def _exchange(one: Path, other: Path) -> None:
    """Exchange two directories in one step, so that a process that is killed leaves a complete export."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(other))
    # Some network file systems cannot exchange.
    aside = one.with_name(f"{one.name}-{secrets.token_hex(4)}")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _remove_drafts(directory: Path) -> None:
    """Remove the directories that killed exports have left next to this one."""
    name, suffix = re.escape(directory.name), "-[0-9a-f]{8}"
    pattern = re.compile(rf"\.{name}\.(?:new-)?(\d+){suffix}|\.\.{name}\.new-(\d+){suffix}\.\d+{suffix}")
    for path in directory.parent.glob(".*"):
        found = pattern.fullmatch(path.name)
        if found is None or not path.is_dir() or path.is_symlink():
            continue
        try:
            os.kill(int(found[1] or found[2]), 0)
        except ProcessLookupError:  # the process that made the directory has ended
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, OverflowError):  # a process of another user
            continue


def _fill(run: StoredRun, directory: Path, consent: Consent) -> ExportSummary:
    """Write the files of an export into a new directory."""
    splits = write_tables(run, directory, weak_source(run))
    keys: dict[str, str] = {}
    notes: list[str] = []
    fitted = run.label_model / PROGRAMS_FILE
    if fitted.exists() and read_object(fitted).get("programs"):
        programs = read_programs(run)
        digests = [hashlib.sha256(program.source.encode("utf-8", "surrogatepass")).hexdigest() for program in programs]
        keys = dict(zip(file_names(program.origin for program in programs), digests, strict=True))
        if run.record.data.get("kind") == "images":  # before the encoder is loaded, which takes long
            notes.append(f"{LABELER} is not written: programs of this run receive images or scores of concepts.")
        else:
            labeler = program_labeler(run, consent, None)
            try:
                source = labeler_source(labeler, str(run.record.label_model.get("name", "")), run.record.run_key)
            except ConfigError as error:
                notes.append(f"{LABELER} is not written: {error}")
            else:
                write_bytes(directory / LABELER, source.encode("utf-8"))
    else:
        notes.append(f"{LABELER} is not written: no program voted in this run.")
    notes += _write_networks(run, directory, consent)
    for path in run_files(run.directory):
        copy = directory / EXPORTED_RUN / path.relative_to(run.directory)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    facts = facts_of(run, splits, keys)
    write_bytes(directory / CROISSANT, croissant_bytes(facts, directory))
    files = [name for name in FILES if (directory / name).exists()]
    write_bytes(directory / CARD, card(facts, files).encode("utf-8", "replace"))
    sources: Counter[str] = sum((split.sources for split in splits), Counter())
    return ExportSummary(n_rows=sum(split.rows for split in splits), sources=dict(sources), notes=notes)


def _write_networks(run: StoredRun, directory: Path, consent: Consent) -> list[str]:
    """Write the distilled model; return why it is not written, if so."""
    if not os.path.lexists(run.model):
        return [f"{SAFETENSORS} and {ONNX} are not written: the run has no distilled model."]
    end_model = make_component(run, "end_model", consent)
    if not isinstance(end_model, EndModel):
        raise TypeError(f"end_model became a {type(end_model).__name__}")
    fitted = end_model.load(run.model)
    try:
        layers = fitted.layers()
    except ConfigError as error:
        return [f"{SAFETENSORS} and {ONNX} are not written: {error}"]
    notes = []
    try:
        write_safetensors(directory / SAFETENSORS, layers, run.classes, fitted.seeds)
    except ConfigError as error:
        notes.append(f"{SAFETENSORS} is not written: {error}")
    try:
        write_onnx(directory / ONNX, layers, run.classes)
    except ConfigError as error:
        notes.append(f"{ONNX} is not written: {error}")
    return notes
