"""`alchemist apply RUN [FILE]`: labels new rows with a finished run, line by line or as a table."""

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alchemist_exp.cli.arguments import OUTPUTS, Parser, run_command
from alchemist_exp.cli.run_directory import find_run, read_finished
from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.terminal import escape_controls, sanitize, single_line
from alchemist_exp.core.types import ABSTAIN

if TYPE_CHECKING:
    from alchemist_exp.data.table_stream import TableStream
    from alchemist_exp.labeling.labelers import RowLabeler
    from alchemist_exp.labeling.run_files import StoredRun

DESCRIPTION = """\
Label new rows with a finished run. Nothing is sent to an LLM, and nothing is fitted.

  alchemist apply RUN < texts.txt                 one row per line; prints class, probability and row
  alchemist apply RUN tickets.csv -o labels.csv   a table: its columns, then label, confidence and p(CLASS)
  alchemist apply RUN tickets.csv --with programs also a column for the vote of each program

A line is a text, a JSON object if the run has several columns, or the path of an image. A line ends at a newline
character only. A row without content has an empty class and probability.

--with model (default) uses the distilled model, the mean over its seeds. --with programs runs the programs of the run
in the sandbox and applies the label model that was fitted on their votes; a row without a vote has no label.

A run may be from another person: its files are data, its programs run in the sandbox, and no path in them is followed
without your consent by --weights, --allow-module or --config-dir.
"""

SUFFIX = "_applied"
"""Is added to the name of FILE, without -o."""

SHOWN_REASONS = 3
"""Reasons why rows have no content that are printed."""

IMAGE_COLUMNS = ("path", "image", "file")
"""Columns that may have the paths of images, if neither --text nor the run names one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist apply`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(
        prog="alchemist apply",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="a CSV, TSV, JSONL, Excel or Parquet file")
    parser.add_argument("--with", dest="using", choices=["model", "programs"], default="model", help="what labels rows")
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help=f"the table (default: FILE{SUFFIX} in this directory)"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--text", metavar="COLUMN", help="the column of the texts or image paths (default: the run's)")
    parser.add_argument("--encoding", metavar="NAME", help="the encoding of FILE (default: UTF-8)")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument(
        "--sandbox",
        choices=["auto", "seccomp", "bwrap", "none"],
        default="auto",
        help="where programs run; none gives them your rights",
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="run the code of your own components in DIR")
    parser.add_argument(
        "--weights", metavar="PATH", type=Path, action="append", default=[], help="read these weights of an encoder"
    )
    parser.add_argument(
        "--allow-module", metavar="NAME", action="append", default=[], help="programs may import this module"
    )
    return run_command(lambda: _apply(parser.parse_intermixed_args(arguments)))


def _apply(chosen: argparse.Namespace) -> int:
    if chosen.file is None and (chosen.out or chosen.text or chosen.encoding or chosen.force):
        raise ConfigError("-o, --force, --text and --encoding are for a FILE; name one after RUN.")
    if chosen.file is not None and not chosen.file.is_file():
        raise ConfigError(f"{str(chosen.file)!r} is not a file; name the table whose rows are to be labeled.")
    out = _output(chosen)
    from alchemist_exp.labeling.run_files import check_run_files, stored_run

    directory = find_run(chosen.outputs, chosen.run).absolute()
    check_run_files(directory)
    run = stored_run(directory, read_finished(directory, "only a finished run can label rows"))
    labeler = _labeler(run, chosen)
    for note in labeler.notes:
        print(f"note: {single_line(note)}", file=sys.stderr)
    if out is None:
        return _label_lines(labeler)
    return _label_file(run, labeler, chosen, out)


def _labeler(run: "StoredRun", chosen: argparse.Namespace) -> "RowLabeler":
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.labelers import model_labeler, program_labeler

    consent = Consent(config_dir=chosen.config_dir, weights=chosen.weights, modules=chosen.allow_module)
    if chosen.using == "model":
        return model_labeler(run, consent)
    return program_labeler(run, consent, chosen.sandbox)


def _label_lines(labeler: "RowLabeler") -> int:
    """Label the lines of standard input, part by part."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper):
            # No translation: a lone carriage return is part of a text. Bytes that are not UTF-8 are printed unchanged.
            stream.reconfigure(encoding="utf-8", errors=errors, newline="\n")
    if sys.stdin.isatty():
        print("reading one row per line; Ctrl-D ends the input", file=sys.stderr)
    classes = [single_line(name) for name in labeler.classes]
    rng = np.random.default_rng(0)
    failed: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    lines = (line.removesuffix("\n").removesuffix("\r") for line in sys.stdin)
    first = 1
    while part := list(islice(lines, labeler.chunk_rows)):
        rows = list(_parsed(labeler, part, first))
        found = labeler.label(rows, rng)
        failed = {**found.failures, **failed}
        reasons.update(filter(None, map(labeler.kind.reason_without_content, rows)))
        for line, c, share in zip(part, found.classes.tolist(), found.probs.max(axis=1).tolist(), strict=True):
            print(*(("", "") if c == ABSTAIN else (classes[c], f"{share:.3f}")), line, sep="\t")
        sys.stdout.flush()
        first += len(part)
    _note(reasons)
    _warn({name: f"it did not finish on some rows ({reason})" for name, reason in failed.items()})
    return 0


def _parsed(labeler: "RowLabeler", lines: Sequence[str], first: int) -> Iterator[str]:
    for number, line in enumerate(lines, start=first):
        try:
            yield labeler.kind.parse(line)
        except ValueError as error:
            raise ConfigError(f"line {number}: {error}") from error


def _output(chosen: argparse.Namespace) -> Path | None:
    """Return the table to write, None to print lines.

    Raises:
        ConfigError: The table cannot be written there, or exists.

    """
    from alchemist_exp.data.writers import WRITERS, check_output

    if chosen.file is None:
        return None
    file = chosen.file
    stem, ending = Path(file.name.removesuffix(".gz")).stem, file.suffix.lower()
    out: Path = chosen.out or Path(f"{stem}{SUFFIX}{ending if ending in WRITERS else '.csv'}")
    check_output(out, {})
    if out.exists() and out.samefile(file):
        raise ConfigError(f"{str(out)!r} is the file that is read; name another one by -o FILE.")
    if out.exists() and not chosen.force:
        raise ConfigError(f"{str(out)!r} exists; name another file by -o FILE, or replace it by --force.")
    return out


def _label_file(run: "StoredRun", labeler: "RowLabeler", chosen: argparse.Namespace, out: Path) -> int:
    """Label the rows of a table and write it."""
    from alchemist_exp.data.table_stream import open_table
    from alchemist_exp.labeling.tables import label_table
    from alchemist_exp.results.progress import RichProgress

    wanted = _wanted(run, labeler, chosen.text)
    progress = RichProgress()
    try:
        table = open_table(chosen.file, wanted=wanted, encoding=chosen.encoding)
        columns = _row_columns(table, labeler, wanted, chosen.text)
        progress.start(f"labeling {single_line(chosen.file.name)} with {chosen.using}", table.n_rows)
        try:
            summary = label_table(table, columns, labeler, out, progress.advance)
        finally:
            progress.stop()
    except AlchemistError as error:
        text = (
            str(error).replace("set dataset.encoding=", "set --encoding ").replace("dataset.encoding=", "--encoding ")
        )
        raise type(error)(text.replace("set dataset.encoding", "set --encoding")) from error
    counts = ", ".join(f"{count:,} {sanitize(name)}" for name, count in summary.labels.items()) or "no label"
    n_without = summary.n_rows - sum(summary.labels.values())
    without = f"; {n_without:,} row{'s' * (n_without != 1)} without a label" if n_without else ""
    print(f"wrote {single_line(str(out))}: {summary.n_rows:,} rows: {counts}{without}")
    _note(summary.reasons)
    _warn(
        {
            name: f"it did not finish on {count:,} part{'s' * (count != 1)} of the rows, where it abstains ({reason})"
            for name, (count, reason) in summary.failures.items()
        }
    )
    return 0


def _note(reasons: Mapping[str, int]) -> None:
    for reason, count in islice(reasons.items(), SHOWN_REASONS):
        print(f"note: {count:,} row{'s' * (count != 1)} cannot be labeled: {sanitize(reason)}", file=sys.stderr)


def _warn(failures: dict[str, str]) -> None:
    for name, reason in failures.items():
        print(f"warning: the program {escape_controls(name)!r}: {reason}", file=sys.stderr)


def _wanted(run: "StoredRun", labeler: "RowLabeler", asked: str | None) -> tuple[str, ...]:
    """Return the columns that rows are made of, as the user or the run names them."""
    if labeler.kind.columns:
        return tuple(column.name for column in labeler.kind.columns)
    if asked is not None:
        return (asked,)
    dataset = run.config("dataset")
    named: Any = dataset.get("path_column" if labeler.kind.name == "images" else "text_column")
    return (named,) if isinstance(named, str) else IMAGE_COLUMNS if labeler.kind.name == "images" else ("text",)


def _row_columns(
    table: "TableStream", labeler: "RowLabeler", wanted: Sequence[str], asked: str | None
) -> tuple[str, ...]:
    """Return the columns that rows are made of.

    Raises:
        ConfigError: The table does not have them, or --text names one for rows of several columns.

    """
    from alchemist_exp.data.readers import similar_column

    columns = ", ".join(map(repr, table.columns))
    if labeler.kind.columns:
        if asked is not None:
            raise ConfigError(f"--text is for texts; the rows of this run have the columns {', '.join(wanted)}.")
    elif asked is None:
        found = next((name for name in wanted if name in table.columns), None)
        if found is None and len(table.columns) == 1:
            found = table.columns[0]
        if found is None:
            guess = similar_column(wanted[0], table.columns)
            hint = "" if guess is None else f" (did you mean {guess!r}?)"
            raise ConfigError(
                f"{table.path} has no column {sanitize(wanted[0])!r}{hint}; name the column of the rows by --text: "
                f"{columns}."
            )
        return (found,)
    if absent := next((name for name in wanted if name not in table.columns), None):
        guess = similar_column(absent, table.columns)
        hint = "" if guess is None else f" (did you mean {guess!r}?)"
        raise ConfigError(f"{table.path} has no column {sanitize(absent)!r}{hint}; the columns are {columns}.")
    return tuple(wanted)
