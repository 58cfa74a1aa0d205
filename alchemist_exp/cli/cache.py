"""`alchemist cache`: lists, shows, checks, deletes and exports the cached LLM responses.

Responses, names of models and files are other people's texts: no control character of theirs reaches the terminal.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.cells import cell_len
from rich.filesize import decimal
from rich.text import Text

from alchemist_exp.cli.arguments import OUTPUTS, Parser, age, as_command, date, positive
from alchemist_exp.cli.recording import write_recording
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.overrides import typed
from alchemist_exp.core.terminal import escape_controls, sanitize, single_line
from alchemist_exp.llm.cache_entry import Entry, read_entry
from alchemist_exp.llm.response_cache import CacheDefect, Problem, ResponseCache
from alchemist_exp.llm.types import Role
from alchemist_exp.results.layout import new_console
from alchemist_exp.results.report import SHOWN_KEY_DIGITS


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist cache`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    chosen = _parser().parse_args(arguments)
    root = chosen.outputs / "cache" / "replies"
    if not root.is_dir():
        raise StoreError(
            f"there are no cached responses at {root} (replayed ones are not cached); name the outputs directory with "
            "--outputs DIR."
        )
    command: Callable[[ResponseCache, argparse.Namespace], int] = chosen.command
    return command(ResponseCache(root), chosen)


def ls(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Print one line for each response, newest last, and the totals."""
    rows: list[tuple[datetime, tuple[str, ...]]] = []
    unmetered = tokens_in = tokens_out = size = 0
    for entry in _chosen(cache, chosen):
        usage = entry.usage
        counts = ("-", "-") if usage is None else (f"{usage.input_tokens:,}", f"{usage.output_tokens:,}")
        unmetered += usage is None
        tokens_in += usage.input_tokens if usage else 0
        tokens_out += usage.output_tokens if usage else 0
        size += entry.size
        model, prompt = sanitize(entry.model)[:40], sanitize(entry.first_line[:400])
        time = f"{entry.time:%Y-%m-%d %H:%M}"
        rows.append((entry.time, (entry.key[:SHOWN_KEY_DIGITS], time, model, f"{entry.sample:,}", *counts, prompt)))
    rows.sort()
    shown = [cells for _, cells in rows[-chosen.last :]] if chosen.last else [cells for _, cells in rows]
    console = new_console()
    if shown:
        table = [("key", "time (UTC)", "model", "sample", "in", "out", "prompt"), *shown]
        # Aligned here, numbers to the right: a table of rich takes 9 s for 20,000 rows.
        widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            spaces = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
            cells = [
                space + cell if column in (3, 4, 5) else cell + space
                for column, (cell, space) in enumerate(zip(row, spaces, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        console.print(Text(lines[0], style="dim"), no_wrap=True, overflow="ellipsis")
        console.print(Text("\n".join(lines[1:])), no_wrap=True, overflow="ellipsis")
    some = f"{len(shown):,} shown of " if len(shown) < len(rows) else ""
    without = f", not counted in {unmetered:,} without usage" if unmetered else ""
    totals = (
        f"{some}{_count(len(rows), 'response')}: {tokens_in:,} tokens in, {tokens_out:,} out{without}; {decimal(size)}"
    )
    console.print(Text(totals, style="bold"))
    return 0


def show(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Print all that is known of one response."""
    found = cache.find(chosen.key)
    if not found:
        raise StoreError(
            f"no cached response has a key that begins with {chosen.key!r}; alchemist cache ls lists them."
        )
    if len(found) > 1:
        keys = ", ".join(path.stem for path in found[:3])
        raise StoreError(f"{len(found):,} keys begin with {chosen.key!r} ({keys}, ...); give more digits.")
    entry = read_entry(found[0])
    if entry is None:
        raise StoreError(f"{found[0]} has just been deleted; alchemist cache ls lists the others.")
    request = entry.request
    served = "" if entry.model == request.model else f", served by {entry.model}"
    metered = "not metered"
    if (usage := entry.usage) is not None:
        metered = (
            f"{usage.input_tokens:,} tokens in ({usage.cached_tokens:,} from the provider's prompt cache, "
            f"{usage.cache_write_tokens:,} written to it), {usage.output_tokens:,} out "
            f"({usage.reasoning_tokens:,} of reasoning){', by batch' * entry.response.batch}"
        )
    for name, value in {
        "key": entry.key,
        "file": f"{entry.path} ({decimal(entry.size)})",
        "time": f"{entry.time:%Y-%m-%d %H:%M:%S} UTC",
        "provider": entry.provider,
        "model": f"{request.model}{served}",
        "sample": f"{entry.sample:,}",
        "usage": metered,
        "parameters": json.dumps(request.parameters, ensure_ascii=False),
    }.items():
        print(f"{name:<11}{single_line(value)}")
    console = new_console()
    messages = [("prompt" if m.role is Role.USER else m.role.value, m.text) for m in request.messages]
    for title, text in [*messages, ("response", entry.text)]:
        console.print(Text(f"\n-- {title} --", style="bold cyan"))
        print(escape_controls(text))
    return 0


def verify(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Print what is wrong with the files of the cache.

    Args:
        cache: The cache.
        chosen: Not used.

    Returns:
        1 where a file is not as it was written, else 0.

    """
    intact, problems = 0, []
    for found in cache.scan():
        if isinstance(found, Problem):
            problems.append(found)
            print(single_line(found.message))
        else:
            intact += 1
    if not problems:
        print(f"OK: {_count(intact, 'response')} in {single_line(str(cache.root))}, each as it was written")
        return 0
    removable = sum(problem.defect in (CacheDefect.BROKEN, CacheDefect.DRAFT) for problem in problems)
    fix = f"; alchemist cache prune --broken deletes {removable:,} of them" if removable else ""
    print(f"{_count(len(problems), 'problem')}, {_count(intact, 'intact response')}{fix}")
    return 1


def prune(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Delete the responses that all criteria choose, of which at least one is needed, and print them."""
    before = chosen.before or chosen.older_than
    if before is None and chosen.model is None and not chosen.broken:
        raise ConfigError("prune needs --before, --older-than, --model or --broken; see alchemist cache prune --help.")
    pruned = cache.prune(before=before, model=chosen.model, broken=chosen.broken, dry_run=chosen.dry_run)
    for one in pruned:
        what = one.defect.value if isinstance(one, Problem) else f"{one.time:%Y-%m-%d %H:%M}  {one.model}"
        print(single_line(f"{one.path}  {what}"))
    done = "would delete" if chosen.dry_run else "deleted"
    print(f"{done} {_count(len(pruned), 'file')}, {decimal(sum(one.size for one in pruned))}")
    return 0


def export(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Write the chosen responses to a recording, and print the command that replays it."""
    written = write_recording(_chosen(cache, chosen), chosen.pack, force=chosen.overwrite)
    if not written:
        raise StoreError(f"no response in {cache.root} is chosen; alchemist cache ls lists them all.")
    print(f"{_count(written, 'response')} in {single_line(str(chosen.pack))}; replay with")
    print(f"  alchemist run llm=recorded {single_line(typed('llm.recording', str(chosen.pack)))}")
    return 0


def _chosen(cache: ResponseCache, chosen: argparse.Namespace) -> Iterator[Entry]:
    """Yield the intact responses that --model and --grep choose; print how many files are not intact."""
    text = (chosen.grep or "").casefold()
    problems = 0
    for found in cache.scan():
        if isinstance(found, Problem):
            problems += 1
        elif chosen.model is None or found.is_by(chosen.model):
            texts = (*(message.text for message in found.request.messages), found.text)
            if any(text in one.casefold() for one in texts):
                yield found
    if problems:
        left_out = f"note: {_count(problems, 'file')} left out; alchemist cache verify says why"
        print(left_out, file=sys.stderr)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="alchemist cache",
        description="The LLM responses that were paid for and kept. Times are UTC.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def _add(run: Callable[[ResponseCache, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        """Add the subcommand that `run` is, and return its parser."""
        sub = commands.add_parser(
            run.__name__,
            aliases=["list"] if run is ls else [],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
        )
        sub.set_defaults(command=run)
        sub.add_argument(
            "--outputs",
            metavar="DIR",
            type=Path,
            default=OUTPUTS,
            help="the directory that the runs had as paths.outputs (default: outputs)",
        )
        return sub

    sub = _add(ls, "list the responses, newest last")
    _add_choice(sub)
    sub.add_argument("--last", metavar="N", type=positive, help="only the N newest; the totals are of all")

    sub = _add(show, "show all that is known of one response")
    sub.add_argument("key", metavar="KEY", help="a response's key, or its first digits")

    _add(verify, "check that each file is as it was written; the exit code is 1 when one is not")

    sub = _add(prune, "delete responses for good, without asking; a run that needs one pays for it again")
    dates = sub.add_mutually_exclusive_group()
    dates.add_argument("--before", metavar="DATE", type=date, help="those written before DATE, for example 2026-01-31")
    dates.add_argument("--older-than", metavar="AGE", type=age, help="those older than AGE: 12h, 30d or 8w")
    sub.add_argument("--model", metavar="M", help="those by the model M; with a date, those that fit both")
    sub.add_argument("--broken", action="store_true", help="also broken files, and those that killed processes left")
    sub.add_argument("--dry-run", action="store_true", help="only print what would be deleted")

    sub = _add(export, "write the responses to a recording, which llm=recorded replays without API key and network")
    sub.add_argument("pack", metavar="PACK.jsonl", type=Path, help="the file to write")
    _add_choice(sub)
    sub.add_argument("--overwrite", action="store_true", help="replace PACK.jsonl if it exists")
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="only responses of the model M, as requested or as served")
    parser.add_argument("--grep", metavar="TEXT", help="only where TEXT is in the prompt or the response, in any case")
