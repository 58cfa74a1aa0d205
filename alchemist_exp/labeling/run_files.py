"""Reads the directory of a finished run that another person may have made.

Only regular files inside the directory are read, as JSON, .npy and safetensors or tensors; sizes are checked first.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.atomic_io import read_json
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.label_sets import MAX_SET_CLASSES, SEPARATOR
from alchemist_exp.core.npy import check_npy
from alchemist_exp.core.terminal import is_writable, sanitize, single_line
from alchemist_exp.core.types import MAX_CLASSES
from alchemist_exp.pipeline.artifacts import MODEL, PROGRAMS
from alchemist_exp.pipeline.saved_components import COMPONENTS, LABEL_MODEL
from alchemist_exp.results.record import MAX_RECORD_BYTES, RECORD, RunRecord, read_finished

MAX_BYTES: Final = {".json": 1 << 29, ".py": 1 << 24}
"""The largest size of a file by extension; a vocabulary of ten million terms has 200 MB."""

MAX_FILES: Final = 10_000
MAX_NAME_CHARS: Final = 1_000
"""Characters of the name of a class, column or program."""

MADE_AGAIN: Final = "run the experiment again with force=true"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRun:
    """A finished run whose files may be read.

    Attributes:
        directory: The run's directory.
        record: Its record; the values of its sections are not checked.
        classes: The class names.

    """

    directory: Path
    record: RunRecord
    classes: tuple[str, ...]

    @property
    def multi_label(self) -> bool:
        """Whether several classes may hold for a row."""
        return self.record.multi_label

    @property
    def model(self) -> Path:
        """The directory of the distilled model."""
        return self.directory / MODEL

    @property
    def label_model(self) -> Path:
        """The directory of the fitted label model; earlier versions did not write it."""
        return self.directory / LABEL_MODEL

    @property
    def programs(self) -> Path:
        """The directory of the programs that vote."""
        return self.directory / PROGRAMS

    def config(self, group: str) -> Mapping[str, Any]:
        """Return a group of the run's configuration; empty where the record has none."""
        found = self.record.config.get(group) if isinstance(self.record.config, dict) else None
        return found if isinstance(found, dict) else {}


def check_run_files(directory: Path) -> None:
    """Check what is read of a run's directory before any of it is read.

    Args:
        directory: The directory, which itself may be reached by a symbolic link.

    Raises:
        StoreError: A file is too large, is a symbolic link or is not a regular file, or a .npy file is not an array of
            numbers of the size that its header names.

    """
    for path in run_files(directory):
        status = path.lstat()
        limit = MAX_RECORD_BYTES if path.name == RECORD else MAX_BYTES.get(path.suffix)
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise StoreError(f"{path} is {kind}, which is not read; copy the files of the run into its directory.")
        if limit is not None and status.st_size > limit:
            raise StoreError(f"{path} has {status.st_size:,} bytes; expected at most {limit:,}.")
        if path.suffix == ".npy":
            check_npy(path)


def run_files(directory: Path) -> Iterator[Path]:
    """Yield the files that label other rows, and entries that are neither files nor directories.

    Args:
        directory: The run's directory.

    Yields:
        Paths, of record, components, model, label model and programs that vote.

    Raises:
        StoreError: There are too many files.

    """
    places = [directory / MODEL, directory / LABEL_MODEL, directory / PROGRAMS]
    yield from (path for name in (RECORD, COMPONENTS) if os.path.lexists(path := directory / name))
    n_files = 0
    while places:
        place = places.pop()
        if not os.path.lexists(place):
            continue
        if place.is_symlink() or not place.is_dir():
            yield place
            continue
        for entry in os.scandir(place):
            if (n_files := n_files + 1) > MAX_FILES:
                raise StoreError(f"{directory} has more than {MAX_FILES:,} files; expected the directory of a run.")
            if entry.is_dir(follow_symlinks=False):
                # Rejected and unselected programs are not read.
                places += [Path(entry.path)] if place.name != PROGRAMS else []
            else:
                yield Path(entry.path)


def open_run(directory: Path) -> StoredRun:
    """Return a finished run.

    Args:
        directory: The run's directory.

    Returns:
        The run, after a check of its files.

    Raises:
        StoreError: The run has not finished, or a file of it may not be read, see `check_run_files`.

    """
    check_run_files(directory)
    return stored_run(directory, read_finished(directory, "only a finished run can label rows"))


def refuse_multi_label(run: StoredRun, command: str) -> None:
    """Refuse a run on a dataset with several classes per row.

    Args:
        run: The run.
        command: What cannot use it, such as "alchemist explain".

    Raises:
        ConfigError: Several classes may hold for a row of the run.

    """
    if run.multi_label:
        raise ConfigError(
            f"{command} is for runs with one class per row, and {single_line(str(run.directory))} has "
            "dataset.multi_label=true; use alchemist show -v, alchemist apply, or labels.parquet in its directory."
        )


def stored_run(directory: Path, record: RunRecord) -> StoredRun:
    """Return a finished run after a check of its files.

    Args:
        directory: The run's directory, see `check_run_files`.
        record: Its record.

    Returns:
        The run.

    Raises:
        StoreError: The record has no usable class names.

    """
    if not isinstance(record.data, dict):
        raise broken(directory / RECORD, "its data is not an object")
    classes = checked_classes(record.data.get("classes"), directory / RECORD, multi_label=record.multi_label)
    return StoredRun(directory=directory, record=record, classes=classes)


def checked_classes(found: object, where: Path, *, multi_label: bool = False) -> tuple[str, ...]:
    """Return class names that were read from a file.

    Args:
        found: The value in the file.
        where: The file, for the message.
        multi_label: Whether several classes may hold for a row.

    Returns:
        Two or more different names.

    Raises:
        StoreError: The value is not a list of such names.

    """
    if not isinstance(found, list) or not all(is_name(name) for name in found):
        raise broken(where, "its classes are not a list of names")
    most = MAX_SET_CLASSES if multi_label else MAX_CLASSES
    if len(set(found)) < len(found) or not 2 <= len(found) <= most:
        raise broken(where, f"it has {len(set(found))} classes; expected 2 to {most} different ones")
    # With one class per row, runs of earlier versions can have such names.
    if multi_label and (wrong := next((name for name in found if SEPARATOR in name or not is_writable(name)), None)):
        raise broken(where, f"its class {wrong[:80]!r} has {SEPARATOR} or a control character")
    return tuple(found)


def is_name(value: object) -> bool:
    """Return whether a value is a text of a length that a name may have."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run.

    Args:
        path: The file.

    Returns:
        The object; its values are not checked.

    Raises:
        StoreError: The file is missing or has no JSON object.

    """
    found = read_json(path, what="the file")
    if not isinstance(found, dict):
        raise broken(path, "it has no JSON object")
    return found


def broken(path: Path, reason: str) -> StoreError:
    """Return the error of a broken file.

    Args:
        path: The file or directory.
        reason: What is wrong, without a full stop; texts of other people in it are made safe to print.

    """
    return StoreError(f"{path} is broken ({sanitize(reason)}); {MADE_AGAIN}.")


def take(found: Mapping[str, Any], key: str, kind: type, where: Path) -> Any:
    """Return a value of a JSON object after a check of its type.

    Args:
        found: The object.
        key: The key.
        kind: The expected type; a bool is not an int here.
        where: The file, for the message.

    Raises:
        StoreError: The key is missing, or its value has another type.

    """
    value = found.get(key)
    if type(value) is not kind:
        raise broken(where, f"its {key} is {type(value).__name__}; expected {kind.__name__}")
    return value
