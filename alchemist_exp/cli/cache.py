"""`alchemist cache`: lists, shows, checks, deletes and exports the cached replies.

Replies, names of models and files are texts of others: no control character of theirs reaches the terminal.
"""

import argparse
import io
import json
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from alchemist_exp.cli.arguments import Parser, age, date, positive
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.exit_codes import clean_exit, print_error, user_error_text
from alchemist_exp.core.terminal import escape_controls, sanitize, single_line
from alchemist_exp.llm.cache_entry import Entry, read_entry
from alchemist_exp.llm.providers.recorded import RecordedPrompt, RecordedResponse, dump_recording
from alchemist_exp.llm.response_cache import CacheDefect, Problem, ResponseCache
from alchemist_exp.llm.types import Role

KEY_SHOWN = 12
"""Digits of a key in a table: enough to tell millions apart."""


def main(arguments: Sequence[str]) -> int:
    """Runs `alchemist cache` with `arguments`. The exit code; errors end the process."""
    with clean_exit(_show_error):
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Replies hold characters that a terminal of another encoding does not know.
            sys.stdout.reconfigure(errors="backslashreplace")
        chosen = _parser().parse_args(arguments)
        root = chosen.outputs / "cache" / "replies"
        if not root.is_dir():
            raise StoreError(
                f"there are no cached replies at {root}, as replayed ones are not kept there; name the runs' folder "
                "with --outputs DIR."
            )
        command: Callable[[ResponseCache, argparse.Namespace], int] = chosen.command
        return command(ResponseCache(root), chosen)
    raise AssertionError("clean_exit ends the process after an error")


def _show_error(error: Exception) -> None:
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


def ls(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """One line for each reply, newest last, and a line of totals."""
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
        cells = (entry.key[:KEY_SHOWN], f"{entry.time:%Y-%m-%d %H:%M}", model, f"{entry.sample:,}", *counts, prompt)
        rows.append((entry.time, cells))
    rows.sort()
    shown = [cells for _, cells in rows[-chosen.last :]] if chosen.last else [cells for _, cells in rows]
    console = _console()
    if shown:
        header, *lines = _aligned([("key", "time (UTC)", "model", "sample", "in", "out", "prompt"), *shown])
        console.print(Text(header, style="dim"), no_wrap=True, overflow="ellipsis")
        console.print(Text("\n".join(lines)), no_wrap=True, overflow="ellipsis")
    some = f"{len(shown):,} shown of " if len(shown) < len(rows) else ""
    without = f", not counted in {unmetered:,} without usage" if unmetered else ""
    totals = (
        f"{some}{_count(len(rows), 'reply')}: {tokens_in:,} tokens in, {tokens_out:,} out{without}; {decimal(size)}"
    )
    console.print(Text(totals, style="bold"))
    return 0


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, numbers to the right. A table of rich takes 9 s for 20,000 rows."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (
            " " * (width - cell_len(cell)) + cell if column in _NUMBERS else cell + " " * (width - cell_len(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


_NUMBERS = (3, 4, 5)


def show(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Everything about one reply."""
    found = cache.find(chosen.key)
    if not found:
        raise StoreError(f"no cached reply has a key that begins with {chosen.key!r}; alchemist cache ls lists them.")
    if len(found) > 1:
        keys = ", ".join(path.stem for path in found[:3])
        raise StoreError(f"{len(found):,} keys begin with {chosen.key!r} ({keys}, ...); give more digits.")
    entry = read_entry(found[0])
    if entry is None:
        raise StoreError(f"{found[0]} has just been deleted; alchemist cache ls lists the others.")
    request = entry.request
    served = "" if entry.model == request.model else f", served by {entry.model}"
    for name, value in {
        "key": entry.key,
        "file": f"{entry.path} ({decimal(entry.size)})",
        "time": f"{entry.time:%Y-%m-%d %H:%M:%S} UTC",
        "provider": entry.provider,
        "model": f"{request.model}{served}",
        "sample": f"{entry.sample:,}",
        "usage": _usage(entry),
        "parameters": json.dumps(request.parameters, ensure_ascii=False),
    }.items():
        print(f"{name:<11}{single_line(value)}")
    console = _console()
    messages = [("prompt" if m.role is Role.USER else m.role.value, m.text) for m in request.messages]
    for title, text in [*messages, ("reply", entry.text)]:
        console.print(Text(f"\n-- {title} --", style="bold cyan"))
        print(escape_controls(text))
    return 0


def _usage(entry: Entry) -> str:
    if (usage := entry.usage) is None:
        return "not metered"
    return (
        f"{usage.input_tokens:,} tokens in ({usage.cached_tokens:,} from the vendor's prompt cache, "
        f"{usage.cache_write_tokens:,} written to it), {usage.output_tokens:,} out "
        f"({usage.reasoning_tokens:,} of reasoning){', by batch' * entry.response.batch}"
    )


def verify(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Says what is wrong, or that nothing is. 1 when something is."""
    sound, problems = 0, []
    for found in cache.scan():
        if isinstance(found, Problem):
            problems.append(found)
            print(single_line(found.message))
        else:
            sound += 1
    if not problems:
        print(f"OK: {_count(sound, 'reply')} in {single_line(str(cache.root))}, each is what was written")
        return 0
    removable = sum(problem.defect in (CacheDefect.BROKEN, CacheDefect.DRAFT) for problem in problems)
    cure = f"; alchemist cache prune --broken deletes {removable:,} of them" if removable else ""
    print(f"{_count(len(problems), 'problem')}, {_count(sound, 'sound reply')}{cure}")
    return 1


def prune(cache: ResponseCache, chosen: argparse.Namespace) -> int:
    """Deletes what the criteria name and says so."""
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
    """Writes a pack that replays the replies."""
    pack: Path = chosen.pack
    if pack.suffix != ".jsonl":
        raise ConfigError(f"{str(pack)!r} is no name for a pack; it has to end in .jsonl.")
    if pack.exists() and not chosen.force:
        raise StoreError(f"{pack} is there already; name another file or say --force.")
    entries: dict[RecordedPrompt, Entry] = {}
    for entry in sorted(_chosen(cache, chosen), key=lambda entry: (entry.time, entry.key)):
        question = _question(entry)
        if (other := entries.setdefault(question, entry)) is not entry:
            raise StoreError(_conflict(other, entry))
    if not entries:
        raise StoreError(f"no reply in {cache.root} is chosen; alchemist cache ls lists them all.")
    raw = dump_recording({question: RecordedResponse(entry.text, entry.model) for question, entry in entries.items()})
    try:
        write_bytes(pack, raw)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise StoreError(f"{pack} could not be written: {error.__cause__.strerror}; name another file.") from error
        raise
    print(f"{_count(len(entries), 'reply')} in {single_line(str(pack))}; replay with")
    print(f"  alchemist run llm=recorded {single_line(_override('llm.recording', str(pack)))}")
    return 0


def _question(entry: Entry) -> RecordedPrompt:
    match entry.request.messages:
        case (system, user) if (system.role, user.role) == (Role.SYSTEM, Role.USER):
            return RecordedPrompt(system.text, user.text, entry.sample)
    raise StoreError(
        f"{entry.path} answers something else than a system message and a prompt, and a pack cannot replay that; "
        "leave it out with --model or --grep."
    )


def _conflict(one: Entry, other: Entry) -> str:
    opening = f"{one.key} and {other.key} answer the same prompt and sample"
    names = sorted({one.model, other.model}) if one.model != other.model else []
    if not names and one.request.model != other.request.model:
        names = sorted({one.request.model, other.request.model})
    if names:
        return f"{opening}; choose with --model {shlex.quote(names[0])} or --model {shlex.quote(names[1])}."
    return (
        f"{opening}, both by {one.model}, with other parameters; alchemist cache show KEY shows them: "
        f"move one away, as {other.path}."
    )


def _override(key: str, value: str) -> str:
    """`key`=`value` as a shell and Hydra read it."""
    if re.fullmatch(r"[\w./~+@-]+", value, re.ASCII):
        return f"{key}={value}"
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    return shlex.quote(f'{key}="{escaped}"')


def _chosen(cache: ResponseCache, chosen: argparse.Namespace) -> Iterator[Entry]:
    """The sound replies that --model and --grep choose; the others are counted on standard error."""
    text = None if chosen.grep is None else chosen.grep.casefold()
    problems = 0
    for found in cache.scan():
        if isinstance(found, Problem):
            problems += 1
        elif (chosen.model is None or found.is_by(chosen.model)) and (text is None or _has(found, text)):
            yield found
    if problems:
        left_out = f"note: {_count(problems, 'file')} left out; alchemist cache verify says what is wrong"
        print(left_out, file=sys.stderr)


def _has(entry: Entry, text: str) -> bool:
    return any(text in part.casefold() for part in (*(m.text for m in entry.request.messages), entry.text))


def _count(number: int, what: str) -> str:
    plural = what if number == 1 else f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {plural}"


def _console() -> Console:
    """Of the terminal's width, where lines are cut; on a file or a pipe they are not."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    return console


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="alchemist cache",
        description="The replies of LLMs that were paid for and kept. Times are UTC.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[ResponseCache, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            run.__name__, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
        )
        sub.set_defaults(command=run)
        sub.add_argument(
            "--outputs",
            metavar="DIR",
            type=Path,
            default=Path("outputs"),
            help="the folder of the runs, as paths.outputs of a run (default: outputs)",
        )
        return sub

    sub = command(ls, "list the replies, newest last")
    _add_choice(sub)
    sub.add_argument("--last", metavar="N", type=positive, help="only the N newest; the totals are of all")

    sub = command(show, "show everything about one reply")
    sub.add_argument("key", metavar="KEY", help="a reply's key, or how it begins")

    command(verify, "check that each file is what was written; the exit code is 1 when one is not")

    sub = command(prune, "delete replies for good, without asking; a run that needs one pays for it again")
    dates = sub.add_mutually_exclusive_group()
    dates.add_argument("--before", metavar="DATE", type=date, help="those written before DATE, as 2026-01-31")
    dates.add_argument("--older-than", metavar="AGE", type=age, help="those older than AGE: 12h, 30d or 8w")
    sub.add_argument("--model", metavar="M", help="those by the model M; with a date, both have to hold")
    sub.add_argument("--broken", action="store_true", help="also broken files, and what killed writers left")
    sub.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    sub = command(export, "write the replies to a file that replays them with llm=recorded, without key and network")
    sub.add_argument("pack", metavar="PACK.jsonl", type=Path, help="the file to write")
    _add_choice(sub)
    sub.add_argument("--force", action="store_true", help="replace PACK.jsonl if it is there")
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="only replies of the model M, as it was asked for or served")
    parser.add_argument("--grep", metavar="TEXT", help="only where TEXT is in prompt or reply; upper or lower case")
