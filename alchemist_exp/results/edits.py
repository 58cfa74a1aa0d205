"""Finds the runs that `alchemist programs edit` has made of a run.

Nothing is written into the directory of a finished run: an edited run names its parent, and the edits of a run are
found by a search of the runs in the same outputs directory.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import MAX_RECORD_BYTES, RECORD, RunRecord, RunStatus
from alchemist_exp.results.report import SHOWN_KEY_DIGITS

if TYPE_CHECKING:
    import pandas as pd

EDITED: Final = "edited"
"""The directory in an outputs directory that has the programs of edited runs, in one directory for each run."""

_SHOWN_FILES: Final = 3
_NAME_CHARS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A finished run that was made of another one.

    Attributes:
        run_key: Its key.
        finished_at: When it ended.
        files: The files of the programs that the other run does not have.

    """

    run_key: str
    finished_at: str
    files: tuple[str, ...]


def parent_of(record: RunRecord) -> str | None:
    """Return the key of the run that a run was made of by `alchemist programs edit`; None for other runs.

    Args:
        record: The record of a run.

    """
    method = record.config.get("method") if isinstance(record.config, dict) else None
    parent = method.get("edited_from") if isinstance(method, dict) else None
    return parent if isinstance(parent, str) and parent else None


def edits_of(directory: Path, record: RunRecord) -> list[Edit]:
    """Return the finished runs that were made of a run, the last one first.

    Args:
        directory: The run's directory, in the directory `runs` of an outputs directory.
        record: Its record.

    Returns:
        The edits; empty for a run that is elsewhere. A broken record counts as none.

    """
    programs = directory.parent.parent / EDITED
    # The records are read only if the run has been edited: an outputs directory may have thousands of runs.
    if not any(path.name.startswith(f"{directory.name[:SHOWN_KEY_DIGITS]}_") for path in _entries(programs)):
        return []
    old = _files(record)
    found = []
    for path in _entries(directory.parent):
        child = None if path.name == directory.name else _finished(path)
        if child is not None and parent_of(child) == record.run_key:
            new = [name for key, name in _files(child).items() if key not in old]
            found.append(Edit(run_key=path.name, finished_at=str(child.finished_at), files=tuple(new)))
    return sorted(found, key=lambda edit: (edit.finished_at, edit.run_key), reverse=True)


def edit_notes(directory: Path, record: RunRecord) -> list[str]:
    """Return what a reader of a run should know of the runs before and after it.

    Args:
        directory: The run's directory.
        record: Its record.

    Returns:
        A sentence that names the run that this one was made of, and one for each run that was made of this one.

    """
    parent = parent_of(record)
    notes = [f"edited from {parent[:SHOWN_KEY_DIGITS]}: this run has other programs than that one."] if parent else []
    for edit in edits_of(directory, record):
        shown = [single_line(name[:_NAME_CHARS]) for name in edit.files[:_SHOWN_FILES]]
        more = f" and {n_more:,} more" if (n_more := len(edit.files) - len(shown)) else ""
        changed = f", which changes {', '.join(shown)}{more}" if shown else ""
        finished = single_line(edit.finished_at[:_NAME_CHARS])
        notes.append(f"outdated by {edit.run_key[:SHOWN_KEY_DIGITS]}{changed}; finished {finished}.")
    return notes


def used_directories(runs: "pd.DataFrame") -> set[str]:
    """Return the names of the directories in `EDITED` that runs have their programs from.

    Args:
        runs: The runs, as `index_runs` lists them.

    """
    return {Path(path).name for path in runs.get("config.method.path", ()) if isinstance(path, str)}


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _finished(directory: Path) -> RunRecord | None:
    """Return the record of a finished run; None where there is none that can be read."""
    try:
        status = os.lstat(directory / RECORD)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECORD_BYTES:
            return None
        record = RunRecord.read(directory)
    except (OSError, StoreError):
        return None
    if record is None or record.status is not RunStatus.FINISHED or not isinstance(record.finished_at, str):
        return None
    listed = record.programs.get("list") if isinstance(record.programs, dict) else None
    return record if isinstance(listed, list) and all(isinstance(one, dict) for one in listed) else None


def _files(record: RunRecord) -> dict[str, str]:
    """Return the name of each program's file by the id of the program."""
    listed: Any = record.programs.get("list") if isinstance(record.programs, dict) else None
    return {
        str(one.get("id")): str(one.get("file") or one.get("origin"))
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    }
