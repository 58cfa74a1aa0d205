"""`alchemist clean`: lists what is in a directory of outputs, with sizes, and deletes runs, sweeps and unused caches.

LLM responses are never deleted here, since they were paid for: `alchemist cache prune` does that.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
from rich.filesize import decimal
from rich.text import Text

from alchemist_exp.cli.arguments import OUTPUTS, Parser, age, as_command
from alchemist_exp.cli.deletion import (
    CACHE_KINDS,
    Chosen,
    cache_entries,
    choose,
    choose_cache,
    delete,
    directories,
)
from alchemist_exp.cli.disk_space import freed_by, size_of
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.edits import EDITED
from alchemist_exp.results.layout import new_console, new_table
from alchemist_exp.results.runs import RunState, index_runs

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


@as_command
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
    return _clean(parser.parse_intermixed_args(arguments))


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
    chosen = choose(outputs, index.runs, kinds, filters, arguments.older_than)
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
    freed = freed_by(item.path for item in chosen.items)
    total = f"{_count(len(chosen.items), 'directory', 'directories')}, {decimal(freed)}"
    if freed < sum(size_of([item.path]) for item in chosen.items):
        print("files that runs and cache share count in each line; their space is free when nothing has them any more")
    if arguments.dry_run:
        print(f"would delete {total}")
        return 0
    if not arguments.yes and not _confirmed(f"delete {total}?"):
        print("nothing was deleted")
        return 1
    deleted = 0
    # While the question was open, runs may have begun or finished and used entries of the cache.
    runs = index_runs(outputs).runs
    still_chosen = {item.path for item in choose(outputs, runs, kinds, filters, arguments.older_than).items}
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


def _list(outputs: Path, runs: pd.DataFrame) -> None:
    """Print how many runs, sweeps and cache entries there are, and their sizes."""
    table = new_table("", "number", "size")
    for state in RunState:
        if len(of_state := runs[runs["state"] == state]):
            paths = [outputs / "runs" / str(key) for key in of_state.index]
            table.add_row(f"runs, {state}", f"{len(paths):,}", decimal(size_of(paths)))
    sweeps = directories(outputs / "multirun")
    table.add_row("sweeps (Hydra's notes)", f"{len(sweeps):,}", decimal(size_of(sweeps)))
    if edited := directories(outputs / EDITED):
        table.add_row("programs of edited runs", f"{len(edited):,}", decimal(size_of(edited)))
    by_kind = Counter(kind for kind in CACHE_KINDS for _ in cache_entries(outputs / "cache", kind))
    for kind, count in by_kind.items():
        table.add_row(f"cache, {kind}", f"{count:,}", decimal(size_of([outputs / "cache" / kind])))
    orphans = Chosen()
    choose_cache(outputs, runs, orphans)
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
