"""`alchemist compare`: a table of the paper from records, the paper's numbers beside ours; or any sweep's table."""

import argparse
import io
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alchemist_exp.cli.arguments import Parser
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.exit_codes import clean_exit, print_error, user_error_text
from alchemist_exp.results.compare import report
from alchemist_exp.results.filled import fill
from alchemist_exp.results.formats import FORMATS, PIPE_WIDTH, as_text
from alchemist_exp.results.overview import overview
from alchemist_exp.results.report import Report
from alchemist_exp.results.runs import Found, State, find, narrowed
from alchemist_exp.results.tables import TABLES

PICTURES = ("svg", "png")

DESCRIPTION = """\
Tables from the records of runs. Asks nothing, runs nothing.

  alchemist compare outputs                               every finished run on a line
  alchemist compare outputs --table table8                a table of the paper, its numbers beside ours
  alchemist compare outputs --table table8 gold=none      only runs that are so; keys are those of alchemist run
  alchemist compare outputs --table table1 --out t1.html  into a file of that kind: txt, md, csv, tex, html
  alchemist compare outputs --table figure5 --out figure  into a folder: every kind, figure5 as svg and png too

Runs of the same settings and other seeds are one figure. Runs that were not made alike (another version of the program,
other data, other settings) are refused, with the filter that chooses. Places without a figure are listed with the
command that fills them.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs `alchemist compare` with `arguments`. The exit code; errors end the process."""
    with clean_exit(_show_error):
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        chosen = _parser().parse_intermixed_args(arguments)
        kind = _kind(chosen)
        found = find(chosen.outputs)
        filters = _filters(chosen.filters)
        made, pictures = _report(
            chosen.outputs, found, chosen.table, filters, pictures=kind in ("html", *PICTURES, None)
        )
        for sentence in found.broken:
            print_error(sentence)
        if chosen.out is None:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
            print(as_text(made, width) if kind == "text" else FORMATS[kind or ""][1](made), end="")
        else:
            _write(chosen.out, kind, made, pictures)
        return 0
    raise AssertionError("clean_exit ends the process after an error")


def _show_error(error: Exception) -> None:
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


def _report(
    outputs: Path, found: Found, table: str | None, filters: Mapping[str, Sequence[str]], *, pictures: bool
) -> tuple[Report, Mapping[str, bytes]]:
    """The report, and figure 5's pictures where there are any to draw."""
    runs = narrowed(found.runs, filters)
    finished = sum(run.state is State.DONE for run in runs)
    if table is None:
        if not finished:
            raise StoreError(
                f"no run in {outputs} that is asked for has finished; alchemist status {outputs} says why."
            )
        return overview(runs, outputs), {}
    filled = fill(table, runs, filters)
    made = report(filled, outputs, all_runs=finished)
    if table != "figure5" or not filled.ours or not pictures:
        return made, {}
    from alchemist_exp.results.plots import figure5

    drawn = figure5(filled)
    return replace(made, svg=drawn["svg"].decode("utf-8")), drawn


def _kind(chosen: argparse.Namespace) -> str | None:
    """The format that is asked for; None for every one, into a folder. ConfigError where two are asked for."""
    if chosen.out is None:
        return str(chosen.format or "text")
    suffix = chosen.out.suffix
    if not suffix:
        if chosen.format:
            raise ConfigError(f"--out {chosen.out} is a folder and gets every format; leave out --format.")
        return None
    kinds = {suffix: name for name, (suffix, _) in FORMATS.items()}
    if chosen.table == "figure5":
        kinds |= {f".{name}": name for name in PICTURES}
    if suffix not in kinds or chosen.format not in (None, kinds[suffix]):
        raise ConfigError(f"--out {chosen.out} cannot hold that; its name has to end in one of {', '.join(kinds)}.")
    return kinds[suffix]


def _filters(texts: Sequence[str]) -> dict[str, list[str]]:
    filters = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key or not values:
            raise ConfigError(f"{text!r} is no filter; filters are key=value, as in label_model=snorkel.")
        filters[key] = values.split(",")
    return filters


def _write(out: Path, kind: str | None, made: Report, pictures: Mapping[str, bytes]) -> None:
    if kind in PICTURES and not pictures:
        raise StoreError("there is no finished run to draw; the table (without --out) lists what is missing.")
    written = {out: pictures[kind] if kind in PICTURES else FORMATS[kind][1](made).encode()} if kind else {}
    if kind is None:
        written = {out / f"{made.name}{suffix}": write(made).encode() for suffix, write in FORMATS.values()}
        written |= {out / f"{made.name}.{name}": raw for name, raw in pictures.items()}
    for path, raw in written.items():
        write_bytes(path, raw)
        print(f"wrote {path}")
    if made.gaps:
        print(f"{len(made.gaps)} places are without a figure: the text and HTML tables list them")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="alchemist compare", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outputs", type=Path, help="the folder given to the runs as paths.outputs")
    parser.add_argument("filters", nargs="*", metavar="key=value", help="only runs that are so; key=a,b: a or b")
    parser.add_argument("--table", choices=sorted(TABLES), help="the paper's table; without it, a line for each run")
    parser.add_argument("--format", choices=sorted(FORMATS), help="what is printed; text by default")
    parser.add_argument("--out", type=Path, help="a file (its ending says the format) or a folder (every format)")
    return parser
