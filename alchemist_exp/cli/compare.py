"""`alchemist compare`: a table of the paper from records, next to the paper's numbers; or any sweep's table."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command, refuse_existing
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.results.paper_tables import TABLES
from alchemist_exp.results.render import DEFAULT_WIDTH, FORMATS, as_text
from alchemist_exp.results.report import Report

if TYPE_CHECKING:
    import pandas as pd

VERSIONS = ("code", "packages", "data")
"""What filters may name and a run is not made with."""

PICTURES = ("svg", "png")

DEFAULT_HEIGHT = 54
"""Lines of a screen where the output is not a terminal."""

UNSEEN = "Unseen: rows of valid and test whose text is in no earlier split; without such repeats, all rows."
"""The caption of a comparison by --unseen."""

DESCRIPTION = """\
Make tables from the records of runs. Makes no LLM call and runs nothing.

  alchemist compare outputs                               one line for each setting, the best first, seeds averaged
  alchemist compare outputs --all label_model=snorkel     every line of a part of the runs
  alchemist compare outputs --table table8                a table of the paper, next to the paper's numbers
  alchemist compare outputs --table table8 gold=none      only runs with that value; keys are those of alchemist run
  alchemist compare outputs --unseen                      scores without rows that repeat a text of an earlier split
  alchemist compare outputs --table table1 --out t1.html  into a file of that format: txt, md, csv, tex, html
  alchemist compare outputs --table figure5 --out figure  into a directory: every format, figure5 as svg and png too
  alchemist compare outputs --table table8 --wandb        also to a W&B run; WANDB_PROJECT and WANDB_MODE as in a run

Runs that differ only in seeds are averaged. Runs that differ in anything else (the version of the program, the data, a
setting) are refused, with the filter that chooses. Missing results are listed with the command that makes them.
"""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist compare`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist compare", description=DESCRIPTION)
    outputs_help = f"the directory that the runs had as paths.outputs (default: {OUTPUTS})"
    parser.add_argument("outputs", nargs="?", metavar="OUTPUTS", help=outputs_help)
    parser.add_argument("--outputs", dest="named", metavar="DIR", type=Path, help="the directory, as in other commands")
    parser.add_argument("filters", nargs="*", metavar="key=value", help="only runs with this value; key=a,b: a or b")
    parser.add_argument(
        "--table", choices=sorted(TABLES), help="a table of the paper; without it, a line for each setting"
    )
    parser.add_argument(
        "--unseen", action="store_true", help="scores on the rows whose text is in no earlier split of the dataset"
    )
    parser.add_argument("--all", action="store_true", help="every row, also those that do not fit the screen")
    parser.add_argument("--format", choices=sorted(FORMATS), help="what is printed; text by default")
    parser.add_argument(
        "-o", "--out", type=Path, help="a file (its name ends in the format) or a directory (every format)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files of --out that exist")
    parser.add_argument(
        "--wandb", action="store_true", help="also log every row, and figure 5 as a picture, to a new W&B run"
    )
    chosen = parser.parse_intermixed_args(arguments)
    # The directory is the first argument that is no filter.
    words = [word for word in (chosen.outputs, *chosen.filters) if word is not None]
    directory = next((word for word in words if "=" not in word), None)
    chosen.filters = [word for word in words if word is not directory or chosen.named]
    chosen.outputs = chosen.named or (OUTPUTS if directory is None else Path(directory))
    return _compare(chosen)


def _compare(chosen: argparse.Namespace) -> int:
    from alchemist_exp.results.run_filters import check_members
    from alchemist_exp.results.runs import index_runs

    kind = _format(chosen)
    for text in chosen.filters:
        key, equals, values = text.partition("=")
        if not equals or not key or not values:
            raise ConfigError(f"{text!r} is not a filter; a filter is key=value, as in label_model=snorkel.")
    index = index_runs(chosen.outputs)
    if chosen.table is None:
        filters = {key: values.split(",") for key, _, values in (text.partition("=") for text in chosen.filters)}
        check_members(index.runs, filters)
    else:
        from alchemist_exp.cli.table_runs import filters_of

        filters = filters_of(chosen.filters)
    if index.runs.empty and index.errors:
        raise StoreError(" ".join(index.errors))  # they are why there is nothing to compare
    screen = chosen.out is None and kind == "text"
    pictured = kind in ("html", *PICTURES, None) or chosen.wandb
    report, pictures = _report(chosen, index.runs, filters, pictures=pictured, screen=screen)
    if chosen.unseen:
        report = replace(report, captions=[*report.captions, UNSEEN])
    for sentence in index.errors:
        print_error(sentence)
    if chosen.out is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else DEFAULT_WIDTH
        print(as_text(report, width) if kind == "text" else FORMATS[kind or ""][1](report), end="")
    else:
        _write(chosen, kind, report, pictures)
    if chosen.wandb:
        from alchemist_exp import config
        from alchemist_exp.tracking.wandb_run import WandbLogger, offline_files

        logger = config.build_component(config.compose(["logger=wandb"]), "logger")
        assert isinstance(logger, WandbLogger)
        logger.log_comparison(chosen.outputs, report.name, report.flat, pictures.get("png"))
        if logger.effective_mode == "offline":
            print(f"upload    wandb sync {offline_files(chosen.outputs)}")
    return 0


def _report(
    chosen: argparse.Namespace,
    runs: "pd.DataFrame",
    filters: Mapping[str, Sequence[str]],
    *,
    pictures: bool,
    screen: bool,
) -> tuple[Report, Mapping[str, bytes]]:
    """Return the report, and figure 5's pictures by format where they are wanted and there is something to draw.

    screen: Whether a list of runs has to fit the screen.
    """
    from alchemist_exp.results.comparison import compare_runs, compare_table
    from alchemist_exp.results.filled_table import fill
    from alchemist_exp.results.run_filters import narrow, with_unseen_scores
    from alchemist_exp.results.runs import RunState

    runs = narrow(runs, filters)
    if chosen.unseen:
        runs = with_unseen_scores(runs)
    n_finished = int((runs["state"] == RunState.DONE).sum())
    if chosen.table is None:
        if not n_finished:
            raise StoreError(
                f"no run in {chosen.outputs} that passes the filters has finished; see alchemist status "
                f"{chosen.outputs}."
            )
        # What fits the screen, next to captions and notes.
        height = shutil.get_terminal_size().lines if sys.stdout.isatty() else DEFAULT_HEIGHT
        shown = None if chosen.all or not screen else max(10, height - 14)
        return compare_runs(runs, chosen.outputs, shown=shown), {}
    from alchemist_exp.cli.table_runs import choose_runs, left_out_note

    runs, left_out = choose_runs(chosen.table, runs, filters)
    overrides = [text for text in chosen.filters if text.partition("=")[0].partition(".")[0] not in VERSIONS]
    filled = fill(chosen.table, runs, filters)
    report = compare_table(filled, chosen.outputs, n_finished=n_finished, overrides=overrides)
    if left_out:
        report = replace(report, notes=[left_out_note(chosen.table, left_out), *report.notes])
    if chosen.table != "figure5" or filled.finished.empty or not pictures:
        return report, {}
    from alchemist_exp.results.plots import figure5

    drawn = figure5(filled)
    return replace(report, svg=drawn["svg"].decode("utf-8")), drawn


def _format(chosen: argparse.Namespace) -> str | None:
    """Return the format that is asked for; None for every format, into a directory."""
    if chosen.out is None:
        return str(chosen.format or "text")
    suffix = chosen.out.suffix
    if not suffix:
        if chosen.format:
            raise ConfigError(f"--out {chosen.out} is a directory and gets every format; leave out --format.")
        return None
    formats = {suffix: name for name, (suffix, _) in FORMATS.items()}
    if chosen.table == "figure5":
        formats |= {f".{name}": name for name in PICTURES}
    if suffix not in formats or chosen.format not in (None, formats[suffix]):
        raise ConfigError(
            f"the name in --out {chosen.out} has to end in one of {', '.join(formats)}, as --format says."
        )
    return formats[suffix]


def _write(chosen: argparse.Namespace, kind: str | None, report: Report, pictures: Mapping[str, bytes]) -> None:
    out = chosen.out
    if kind in PICTURES and not pictures:
        raise StoreError("there is no finished run to draw; the table (without --out) lists what is missing.")
    if kind is None:
        files = {out / f"{report.name}{suffix}": write(report).encode() for suffix, write in FORMATS.values()}
        files |= {out / f"{report.name}.{name}": raw for name, raw in pictures.items()}
    else:
        files = {out: pictures[kind] if kind in PICTURES else FORMATS[kind][1](report).encode()}
    # All of them first, so that no file is written if one of them is refused.
    for path in files:
        refuse_existing(path, "-o FILE" if kind else "-o DIR", overwrite=chosen.overwrite)
    for path, raw in files.items():
        write_bytes(path, raw)
        print(f"wrote {path}")
    if count := sum(one.of_sweep for one in report.missing):
        print(f"{count} result{' is' if count == 1 else 's are'} missing; the text and HTML tables list them")
