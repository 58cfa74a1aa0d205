"""What `alchemist clean` may delete in a directory of outputs, and the deletion."""

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pandas as pd

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import KEY_LENGTH
from alchemist_exp.core.locks import close_locked, try_open_locked
from alchemist_exp.results.edits import EDITED, used_directories
from alchemist_exp.results.record import RunRecord, RunStatus
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.results.run_filters import check_members, narrow
from alchemist_exp.results.run_names import run_name
from alchemist_exp.results.runs import RunState

CACHE_KINDS = ("votes", "features", "feature_parts", "passages")
"""The kinds of cache entries that can be made again without an LLM."""

VETTING_SECONDS = 3_600
"""Programs of an edited run that are newer may be in vetting, before there is a run that names them."""

_KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")

_DELETED = re.compile(r"\.(.+)\.deleted")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A directory that may be deleted.

    Attributes:
        path: The directory.
        name: How it is listed; directories of the same name are one line.
        lock: The lock file that a process holds while it writes it; None where there is none.
        state: The state and the start of a run when it was chosen; None for everything else.

    """

    path: Path
    name: str
    lock: Path | None = None
    state: tuple[RunState, str] | None = None


@dataclass(kw_only=True)
class Chosen:
    """What is to be deleted, and what a person should know before."""

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose(
    outputs: Path, runs: pd.DataFrame, kinds: Sequence[str], filters: dict[str, list[str]], before: datetime | None
) -> Chosen:
    """Return what the command line chooses.

    Args:
        outputs: The directory of outputs.
        runs: Its runs, rows of `RunIndex.runs`.
        kinds: Words of `WHAT`.
        filters: As for `run_filters.narrow`; of runs.
        before: Only runs and sweeps that began earlier; None for all.

    """
    chosen = Chosen()
    states = {RunState.DONE} if "runs" in kinds else set[str]()
    states |= {RunState.FAILED, RunState.INTERRUPTED, RunState.KILLED} if "unfinished" in kinds else set()
    check_members(runs, filters)
    of_runs = narrow(runs, filters)
    of_runs = of_runs[of_runs["state"].isin(states)]
    if before is not None:
        of_runs = of_runs[of_runs["started_at"] < before.isoformat()]
    for key, run in of_runs.iterrows():
        started = run["started_at"][:19].replace("T", " ")
        name = f"{run['state']}  {str(key)[:SHOWN_KEY_DIGITS]}  {run_name(run)}  {started}"
        lock = outputs / "runs" / ".locks" / f"{key}.lock"
        state = RunState(run["state"]), run["started_at"]
        chosen.items.append(Item(path=outputs / "runs" / str(key), name=name, lock=lock, state=state))
    if states and _leads_elsewhere(outputs, outputs / "runs", chosen):
        chosen.items.clear()
    elif states:
        # What an interrupted deletion left has another name than the run had.
        for path in directories(outputs / "runs"):
            if _original_name(path) == path.name:
                continue
            lock = outputs / "runs" / ".locks" / f"{_original_name(path)}.lock"
            chosen.items.append(Item(path=path, name="rest of runs whose deletion was interrupted", lock=lock))
    if "sweeps" in kinds and not _leads_elsewhere(outputs, outputs / "multirun", chosen):
        for path in directories(outputs / "multirun"):
            if before is None or path.stat().st_mtime < before.timestamp():
                chosen.items.append(Item(path=path, name=f"sweep of {path.name}"))
    remaining = runs[~runs.index.isin(of_runs.index)]
    if EDITED in kinds and not _leads_elsewhere(outputs, outputs / EDITED, chosen):
        used, newest = used_directories(remaining), time.time() - VETTING_SECONDS
        unused = [path for path in directories(outputs / EDITED) if path.name not in used]
        unused = [path for path in unused if path.stat().st_mtime < newest]
        chosen.items += [Item(path=path, name="programs of edited runs") for path in unused]
    if "cache" in kinds:
        choose_cache(outputs, remaining, chosen)
    return chosen


def choose_cache(outputs: Path, remaining: pd.DataFrame, chosen: Chosen) -> None:
    """Choose the cache entries that no remaining run names; none while a run may be about to read one.

    Args:
        outputs: The directory of outputs.
        remaining: The runs that are not deleted, rows of `RunIndex.runs`.
        chosen: Gets the entries, and notes on what is kept.

    """
    if (remaining["state"] == RunState.RUNNING).any():
        chosen.notes.append("the cache is kept, because runs are running.")
        return
    lists = remaining["cache_entries"].dropna() if "cache_entries" in remaining else pd.Series(dtype=object)
    used = {entry for entries in lists for entry in entries}
    silent = sum(not entries for entries in lists) + len(remaining) - len(lists)
    kinds = [kind for kind in CACHE_KINDS if not _leads_elsewhere(outputs, outputs / "cache" / kind, chosen)]
    orphans = [(kind, path) for kind in kinds for path in cache_entries(outputs / "cache", kind)]
    orphans = [(kind, path) for kind, path in orphans if f"{kind}/{path.name}" not in used]
    if silent and orphans:
        runs = f"{silent:,} run{'s' * (silent != 1)}"
        chosen.notes.append(f"{runs} of an earlier version, or killed, do not name the entries they used.")
    for kind, path in orphans:
        lock = outputs / "cache" / "locks" / f"{kind}-{_original_name(path)}.lock"
        chosen.items.append(Item(path=path, name=f"cache, {kind}", lock=lock))


def cache_entries(cache: Path, kind: str) -> list[Path]:
    """Return the entries of a kind, by the form of their names; other directories are not from this program.

    Args:
        cache: The directory of the cache.
        kind: One of `CACHE_KINDS`.

    """
    return [path for path in directories(cache / kind) if _KEY.fullmatch(_original_name(path))]


def _original_name(path: Path) -> str:
    """Return the name that a directory had before `delete` renamed it."""
    match = _DELETED.fullmatch(path.name)
    return match[1] if match else path.name


def _leads_elsewhere(outputs: Path, directory: Path, chosen: Chosen) -> bool:
    """Return whether a directory of outputs is a link, or in one, and add a note that nothing is deleted there."""
    target = directory.resolve()
    if target == outputs.resolve() / directory.relative_to(outputs) or not directory.exists():
        return False
    chosen.notes.append(f"nothing is deleted in {directory}, because it is linked to {target}.")
    return True


def directories(parent: Path) -> list[Path]:
    """Return the directories in a directory, sorted; none where there is no such directory.

    Args:
        parent: The directory.

    """
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def delete(item: Item) -> bool:
    """Delete a directory, unless a process holds its lock or a run is not as it was when it was chosen.

    Args:
        item: The directory.

    Returns:
        Whether it was deleted.

    """
    lock = None if item.lock is None else try_open_locked(item.lock)
    if item.lock is not None and lock is None:
        return False
    try:
        if item.state is not None:
            # This process holds the lock of the run, so a run that has not ended was killed.
            record = RunRecord.read(item.path)
            states = {RunStatus.STARTED: RunState.KILLED, RunStatus.FAILED: RunState.FAILED}
            if record is None or (states.get(record.status, RunState.DONE), record.started_at) != item.state:
                return False
        if not item.path.is_dir():
            return True  # deleted meanwhile
        # Under another name first: a process that is killed here leaves no part of a run or an entry.
        hidden = item.path.with_name(f".{_original_name(item.path)}.deleted")
        if item.path != hidden:
            shutil.rmtree(hidden, ignore_errors=True)
            item.path.rename(hidden)
        if hidden.is_symlink():
            hidden.unlink()
        else:
            shutil.rmtree(hidden)
    except OSError as error:
        raise StoreError(f"{item.path} could not be deleted: {error.strerror or error}.") from error
    finally:
        if lock is not None:
            close_locked(lock)
    return True
