"""`alchemist clean`: lists what is in a directory of outputs, with sizes, and deletes runs, sweeps and unused caches.

LLM responses are never deleted here, since they were paid for: `alchemist cache prune` does that.
"""

import argparse
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
from rich.filesize import decimal
from rich.text import Text

from alchemist_exp.cli.arguments import OUTPUTS, Parser, age, run_command
from alchemist_exp.core.errors import ConfigError, StoreError, unknown_name
from alchemist_exp.core.hashing import KEY_LENGTH
from alchemist_exp.core.locks import close_locked, try_open_locked
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.edits import EDITED, used_directories
from alchemist_exp.results.layout import new_console, new_table
from alchemist_exp.results.record import RunRecord, RunStatus
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.results.runs import RunState, check_members, index_runs, narrow, run_name

DESCRIPTION = """\
List what is in a directory of outputs, and how large it is. With WHAT, delete a part of it, after a question.

  alchemist clean                                      only list what is in the directory outputs
  alchemist clean outputs unfinished                   failed, interrupted and killed runs
  alchemist clean outputs runs label_model=snorkel     finished runs that pass the filters of alchemist compare
  alchemist clean outputs runs --older-than 30d        finished runs that began more than 30 days ago
  alchemist clean outputs sweeps                       Hydra's notes on sweeps (multirun/), not their runs
  alchemist clean outputs cache                        votes, features and indexes that no remaining run has used
  alchemist clean outputs edited                       programs of alchemist programs edit that no remaining run uses
  alchemist clean outputs unfinished cache --yes       several, without a question

A running run is never deleted. LLM responses and the budget ledger stay: alchemist cache prune deletes responses.
"""

WHAT = ("runs", "unfinished", "sweeps", "cache", EDITED)

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist clean`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(
        prog="alchemist clean",
        usage="alchemist clean [OUTPUTS] [WHAT ...] [key=value ...] [options]",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="OUTPUTS, WHAT",
        help=f"the directory that the runs had as paths.outputs (default: {OUTPUTS}); then what to delete: "
        f"{', '.join(WHAT)}, or filters key=value of runs",
    )
    parser.add_argument("--outputs", metavar="DIR", type=Path, help="the directory, as in the other commands")
    parser.add_argument("--older-than", metavar="AGE", type=age, help="only runs and sweeps older than 12h, 30d or 8w")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be deleted")
    parser.add_argument("--yes", action="store_true", help="delete without a question")
    return run_command(lambda: _clean(parser.parse_intermixed_args(arguments)))


def _clean(arguments: argparse.Namespace) -> int:
    words = [word for word in arguments.words if "=" not in word and word not in WHAT]
    outputs: Path = arguments.outputs or Path(words.pop(0) if words else OUTPUTS)
    # A word that is neither a directory nor WHAT is most likely a misspelled WHAT.
    for word in words or ([str(outputs)] if get_close_matches(str(outputs), WHAT) and not outputs.exists() else []):
        raise ConfigError(unknown_name("what to delete,", word, WHAT))
    kinds = [word for word in arguments.words if word in WHAT]
    filters = {
        key: values.split(",") for key, _, values in (word.partition("=") for word in arguments.words if "=" in word)
    }
    if filters and not {"runs", "unfinished"} & {*kinds}:
        raise ConfigError("a filter chooses among runs; say which: runs (finished ones) or unfinished.")
    index = index_runs(outputs)
    if not kinds:
        _list(outputs, index.runs)
        return 0
    chosen = _choose(outputs, index.runs, kinds, filters, arguments.older_than)
    console = new_console()
    for name in dict.fromkeys(item.name for item in chosen.items):
        paths = [item.path for item in chosen.items if item.name == name]
        entries = f", {len(paths):,} entries" if len(paths) > 1 else ""
        console.print(Text(f"{decimal(size_of(paths)):>10}  {single_line(name)}{entries}"), soft_wrap=True)
    for note in [*index.errors, *chosen.notes]:
        console.print(Text(f"! {single_line(note)}", style="yellow"), soft_wrap=True)
    if not chosen.items:
        print("nothing to delete")
        return 0
    total = f"{_count(len(chosen.items), 'directory', 'directories')}, {decimal(freed_by(chosen.items))}"
    if freed_by(chosen.items) < sum(size_of([item.path]) for item in chosen.items):
        print("files that runs and cache share count in each line; their space is free when nothing has them any more")
    if arguments.dry_run:
        print(f"would delete {total}")
        return 0
    if not arguments.yes and not _confirmed(f"delete {total}?"):
        print("nothing was deleted")
        return 1
    freed, deleted = freed_by(chosen.items), 0
    # While the question was open, runs may have begun or finished and used entries of the cache.
    runs = index_runs(outputs).runs
    still_chosen = {item.path for item in _choose(outputs, runs, kinds, filters, arguments.older_than).items}
    for item in chosen.items:
        if item.path not in still_chosen:
            print(single_line(f"kept, because it is in use or has changed since it was listed: {item.name}"))
        elif delete(item):
            deleted += 1
        else:
            print(single_line(f"kept, because a process is using it: {item.name}"))
    print(
        f"deleted {_count(deleted, 'directory', 'directories')}"
        + f", {decimal(freed)}" * (deleted == len(chosen.items))
    )
    return 0


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nothing was deleted: there is no terminal to ask; add --yes, or --dry-run to list only.")
    return input(f"{question} [y/N] ").strip().casefold() in ("y", "yes")


def _choose(
    outputs: Path, runs: pd.DataFrame, kinds: Sequence[str], filters: dict[str, list[str]], before: datetime | None
) -> Chosen:
    """Return what the command line chooses."""
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
        for path in _leftovers(outputs / "runs"):
            lock = outputs / "runs" / ".locks" / f"{_original_name(path)}.lock"
            chosen.items.append(Item(path=path, name="rest of runs whose deletion was interrupted", lock=lock))
    if "sweeps" in kinds and not _leads_elsewhere(outputs, outputs / "multirun", chosen):
        for path in _directories(outputs / "multirun"):
            if before is None or path.stat().st_mtime < before.timestamp():
                chosen.items.append(Item(path=path, name=f"sweep of {path.name}"))
    remaining = runs[~runs.index.isin(of_runs.index)]
    if EDITED in kinds and not _leads_elsewhere(outputs, outputs / EDITED, chosen):
        used, newest = used_directories(remaining), time.time() - VETTING_SECONDS
        unused = [path for path in _directories(outputs / EDITED) if path.name not in used]
        unused = [path for path in unused if path.stat().st_mtime < newest]
        chosen.items += [Item(path=path, name="programs of edited runs") for path in unused]
    if "cache" in kinds:
        _choose_cache(outputs, remaining, chosen)
    return chosen


def _choose_cache(outputs: Path, remaining: pd.DataFrame, chosen: Chosen) -> None:
    """Choose the cache entries that no remaining run names; none while a run may be about to read one."""
    if (remaining["state"] == RunState.RUNNING).any():
        chosen.notes.append("the cache is kept, because runs are running.")
        return
    lists = remaining["cache_entries"].dropna() if "cache_entries" in remaining else pd.Series(dtype=object)
    used = {entry for entries in lists for entry in entries}
    silent = sum(not entries for entries in lists) + len(remaining) - len(lists)
    kinds = [kind for kind in CACHE_KINDS if not _leads_elsewhere(outputs, outputs / "cache" / kind, chosen)]
    orphans = [(kind, path) for kind in kinds for path in _entries(outputs / "cache", kind)]
    orphans = [(kind, path) for kind, path in orphans if f"{kind}/{path.name}" not in used]
    if silent and orphans:
        chosen.notes.append(
            f"{_count(silent, 'run')} of an earlier version, or killed, do not name the entries they used."
        )
    for kind, path in orphans:
        lock = outputs / "cache" / "locks" / f"{kind}-{_original_name(path)}.lock"
        chosen.items.append(Item(path=path, name=f"cache, {kind}", lock=lock))


def _entries(cache: Path, kind: str) -> list[Path]:
    """Return the entries of a kind, by the form of their names; other directories are not from this program."""
    return [path for path in _directories(cache / kind) if _KEY.fullmatch(_original_name(path))]


def _leftovers(parent: Path) -> list[Path]:
    """Return what an interrupted `delete` left."""
    return [path for path in _directories(parent) if _original_name(path) != path.name]


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


def _directories(parent: Path) -> list[Path]:
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
        if item.state is not None and _state(item.path) != item.state:
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


def _state(run: Path) -> tuple[RunState, str] | None:
    """Return the state and the start of a run whose lock this process holds; None if it has no record."""
    record = RunRecord.read(run)
    if record is None:
        return None
    states = {RunStatus.STARTED: RunState.KILLED, RunStatus.FAILED: RunState.FAILED}
    return states.get(record.status, RunState.DONE), record.started_at


def _files(paths: Iterable[Path]) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Yield the identity, the links and the bytes on disk of each file under the paths."""
    for path in paths:
        for file in path.rglob("*"):
            try:
                status = file.lstat()
            except FileNotFoundError:
                continue  # a run that is running has replaced it
            if not file.is_dir() or file.is_symlink():
                yield (status.st_dev, status.st_ino), status.st_nlink, status.st_blocks * 512


def size_of(paths: Iterable[Path]) -> int:
    """Return how much disk space directories take.

    Args:
        paths: The directories.

    Returns:
        Bytes; a file that several of them share counts once.

    """
    return sum({identity: size for identity, _, size in _files(paths)}.values())


def freed_by(items: Sequence[Item]) -> int:
    """Return how much disk space is free after directories are deleted.

    Args:
        items: The directories.

    Returns:
        Bytes, without those of files that are linked from elsewhere too.

    """
    found = [*_files(item.path for item in items)]
    counts = Counter(identity for identity, _, _ in found)
    return sum({identity: size for identity, links, size in found if counts[identity] >= links}.values())


def _list(outputs: Path, runs: pd.DataFrame) -> None:
    """Print how many runs, sweeps and cache entries there are, and their sizes."""
    table = new_table("", "number", "size")
    for state in RunState:
        if len(of_state := runs[runs["state"] == state]):
            paths = [outputs / "runs" / str(key) for key in of_state.index]
            table.add_row(f"runs, {state}", f"{len(paths):,}", decimal(size_of(paths)))
    sweeps = _directories(outputs / "multirun")
    table.add_row("sweeps (Hydra's notes)", f"{len(sweeps):,}", decimal(size_of(sweeps)))
    if edited := _directories(outputs / EDITED):
        table.add_row("programs of edited runs", f"{len(edited):,}", decimal(size_of(edited)))
    by_kind = Counter(kind for kind in CACHE_KINDS for _ in _entries(outputs / "cache", kind))
    for kind, count in by_kind.items():
        table.add_row(f"cache, {kind}", f"{count:,}", decimal(size_of([outputs / "cache" / kind])))
    orphans = Chosen()
    _choose_cache(outputs, runs, orphans)
    unused = [item.path for item in orphans.items]
    table.add_row("cache, used by no run", f"{len(unused):,}", decimal(size_of(unused)))
    responses = outputs / "cache" / "replies"
    n_responses = sum(1 for _ in responses.glob("[0-9a-f][0-9a-f]/*.json"))
    table.add_row("LLM responses (alchemist cache)", f"{n_responses:,}", decimal(size_of([responses])))
    table.add_row("all", "", decimal(size_of([outputs])), style="bold")
    console = new_console()
    console.print(table)
    console.print(Text("files that runs and cache share count in both, and once in all", style="dim"))
    for note in orphans.notes:
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
