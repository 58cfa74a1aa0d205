"""`alchemist label FILE`: labels the rows of one file, and writes them as a table.

It makes the overrides of `alchemist run` from plain arguments, so both commands make the same run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alchemist_exp.cli.arguments import Parser, as_command
from alchemist_exp.cli.confirm import may_send_calls
from alchemist_exp.cli.label_overrides import OPTIONS, listed_names, run_overrides, with_options
from alchemist_exp.cli.label_screen import show_found, show_next
from alchemist_exp.cli.labeled_table import label_rows
from alchemist_exp.cli.saved_dataset import member_file, save_member
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.hashing import bytes_fingerprint
from alchemist_exp.core.terminal import single_line
from alchemist_exp.data.class_names import numbered
from alchemist_exp.data.readers import read_table, similar_column
from alchemist_exp.data.table import Columns, Table
from alchemist_exp.data.writers import WRITERS, check_output, write_table

if TYPE_CHECKING:
    from alchemist_exp.pipeline.experiment import Experiment

DESCRIPTION = """\
Label the rows of a file with programs that an LLM writes, and write them as a table.

  alchemist label tickets.csv --task "Label support tickets as billing, technical or account access." \\
      --classes billing,technical,"account access" --llm openai --budget 1
  alchemist label tickets.csv --task "..." --classes ... --programs DIR    use programs from files; needs no LLM
  alchemist label tickets.csv --task "..." --classes ... -o labels.xlsx    CSV, TSV, JSONL, XLSX or Parquet

Shows what is in the file and what the LLM costs, asks before it sends anything, and prints the same run as a command of
alchemist run. The table has the columns of the file and: label; confidence, its probability; labeled_by: given (the
label of the file, which is kept), programs, or model where no program votes (the distilled model labels these rows);
the vote of each program. A column of the file with one of these names gets the prefix input_. If OUT exists, and is not
as this command wrote it, it is replaced only after a question or with --overwrite. KEY=VALUE is any override of
alchemist run, as in label_model=majority.
"""

WRITTEN = "label_tables"
"""The directory in outputs with a file for each table that was written: the fingerprint of its content."""

ONE_CLASS = (
    "alchemist label is for one class per row; with several use alchemist run with dataset.multi_label=true, whose "
    "labels.parquet has the classes of each row."
)


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist label`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist label", description=DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="the file with one row per line or record")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="any override of alchemist run")
    parser.add_argument("--task", required=True, help="what the LLM is to do, in one sentence")
    parser.add_argument("--classes", metavar="A,B,...", help='the names of the classes; "a, b",c has a comma in a name')
    parser.add_argument(
        "--text",
        metavar="COLUMN",
        help="the column of the texts (default: text, or the only column); A,B: several columns",
    )
    parser.add_argument("--label", metavar="COLUMN", help="a column of gold labels, which may be partly empty")
    parser.add_argument("--llm", metavar="NAME", help="the LLM: openai, anthropic, openai_compatible or recorded")
    parser.add_argument("--model", metavar="M", help="its model")
    parser.add_argument("--programs", metavar="DIR", help="a directory of programs, used instead of an LLM")
    parser.add_argument(
        "--budget", metavar="USD", type=float, help="the most that all runs in the outputs directory may spend"
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help="the table (default: FILE_labels in this directory)"
    )
    parser.add_argument(
        "--save", metavar="NAME", help="write the dataset to CONFIG_DIR/dataset/NAME.yaml, for dataset=NAME"
    )
    parser.add_argument("--config-dir", metavar="DIR", help="your own members (default with --save: my_conf)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT, whatever it is, without asking")
    parser.add_argument("--yes", action="store_true", help="do not ask before the LLM is paid")
    chosen = parser.parse_intermixed_args(arguments)
    try:
        return _label(chosen)
    except AlchemistError as error:
        # An error names the option of this command, unless the user gave an override of the key.
        given = {text.lstrip("+").partition("=")[0] for text in chosen.overrides}
        text = with_options(str(error), {key: name for key, name in OPTIONS.items() if key not in given})
        raise type(error)(text) from error


def _label(chosen: argparse.Namespace) -> int:
    file = Path(chosen.file)
    if not file.is_file():
        raise ConfigError(f"{chosen.file!r} is not a file; name the file whose rows are to be labeled.")
    if not chosen.task.strip():
        raise ConfigError("--task is empty; say in one sentence what the LLM is to do.")
    encodings = [text.partition("=")[2] for text in chosen.overrides if text.startswith("dataset.encoding=")]
    encoding = None if encodings[-1:] in ([], ["null"]) else encodings[-1].strip("'\"")
    wanted = (*(chosen.text or "text").split(","), chosen.label or "label")
    table = read_table(file, wanted=wanted, encoding=encoding)
    columns = table.columns
    row_columns = _row_columns(chosen.text, columns, file)
    stem, ending = Path(file.name.removesuffix(".gz")).stem, file.suffix.lower()
    out = chosen.out or Path(f"{stem}_labels{ending if ending in WRITERS else '.csv'}")
    check_output(out, columns)
    if out.exists() and out.samefile(file):
        raise ConfigError(f"{str(out)!r} is the file that is read; name another one by -o FILE.")
    return _run(chosen, table, row_columns, out)


def _row_columns(asked: str | None, columns: Columns, file: Path) -> list[str]:
    """Return the column of the texts, or the columns of records."""
    names = ", ".join(map(repr, columns))
    if asked is None:
        if "text" in columns or len(columns) == 1:
            return ["text" if "text" in columns else next(iter(columns))]
        raise ConfigError(
            f"{file} has no column 'text'{_guess('text', columns)}; name the column of the texts by --text: {names}."
        )
    if asked in columns:
        return [asked]
    parts = listed_names(asked)
    if absent := next((part for part in parts if part not in columns), None):
        raise ConfigError(f"{file} has no column {absent!r}{_guess(absent, columns)}; the columns are {names}.")
    return parts


def _guess(absent: str, columns: Columns) -> str:
    similar = similar_column(absent, columns)
    return "" if similar is None else f" (did you mean {similar!r}?)"


def _run(chosen: argparse.Namespace, table: Table, row_columns: list[str], out: Path) -> int:
    """Show what is there and what it costs, ask, run and write the table."""
    from alchemist_exp.cli.program_edit import METHODS
    from alchemist_exp.library import compose_experiment
    from alchemist_exp.pipeline.run import run
    from alchemist_exp.results.console import show
    from alchemist_exp.results.progress import RichProgress

    overrides = run_overrides(chosen, row_columns)
    saved = None if chosen.save is None else member_file(chosen)
    config_dir = chosen.config_dir if saved is None or Path(chosen.config_dir or "").is_dir() else None
    experiment, container = compose_experiment(overrides, config_dir)
    if experiment.dataset.is_multi_label:
        raise ConfigError(ONE_CLASS)
    label_column = container["dataset"]["label_column"]
    if any(isinstance(label, list) for label in table.columns.get(label_column, ())):
        raise ConfigError(f"the column {label_column!r} has lists of classes. {ONE_CLASS}")
    show_found(chosen.file, table, row_columns, label_column)
    written = experiment.paths.root / WRITTEN / bytes_fingerprint(os.fsencode(out.resolve()))
    if not _may_replace(chosen, out, written) or not _agreed(chosen, experiment):
        print("nothing was sent and nothing was written")
        return 1
    if saved is not None:
        save_member(saved, chosen, overrides, config_dir)
    result = run(experiment, container, overrides, RichProgress())
    show(result.record, str(result.directory), reused=result.reused)
    labels = label_rows(table.columns, result)
    same_format = table.delimiter is not None and out.suffix.lower() == ".csv"
    write_table(
        out,
        labels.columns,
        delimiter=table.delimiter if same_format and table.delimiter else ",",
        byte_order_mark=table.encoding == "utf-8-sig",
    )
    write_bytes(written, bytes_fingerprint(out.read_bytes()).encode())
    show_next(chosen, labels, row_columns, result.directory, overrides, out, editable=experiment.method.name in METHODS)
    return 0


def _may_replace(chosen: argparse.Namespace, out: Path, written: Path) -> bool:
    """Return whether a table may be written: to a new file, to one that is as this command wrote it, or by consent.

    Raises:
        ConfigError: The file may not be replaced, and there is no terminal to ask on.

    """
    if chosen.overwrite or not out.exists():
        return True
    if written.is_file() and written.read_text() == bytes_fingerprint(out.read_bytes()):
        return True
    found = f"{single_line(str(out))} exists, and alchemist label did not write it or it was changed since"
    if not sys.stdin.isatty():
        raise ConfigError(f"{found}; name another file by -o FILE, or add --overwrite to replace it.")
    print(f"{found}. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _agreed(chosen: argparse.Namespace, experiment: "Experiment") -> bool:
    """Check the experiment, print its plan, and ask if it has to be paid for.

    Raises:
        ConfigError: The LLM has to be paid, but there is no terminal to ask on.

    """
    from alchemist_exp.cli.plan import JobPlan, show_plans
    from alchemist_exp.pipeline.compatibility import check_experiment, check_with_data
    from alchemist_exp.pipeline.plan import REFUSAL, plan

    data = experiment.dataset.load()
    given = chosen.classes or any(text.startswith("dataset.classes=") for text in chosen.overrides)
    origin = "" if given else " (from the labels; programs must return these numbers)"
    print(f"classes: {single_line(numbered(experiment.dataset.classes))}{origin}")
    if not experiment.uses("llm"):
        check_experiment(experiment)
        check_with_data(experiment, data)
        return True
    planned = plan(experiment, data)
    # A refusal ends this command with the same sentence, after the cost.
    warnings = tuple(text for text in planned.warnings if not text.startswith(REFUSAL))
    show_plans([JobPlan(model=experiment.llm.model, plan=replace(planned, warnings=warnings))])
    check_experiment(experiment)
    check_with_data(experiment, data)
    return may_send_calls([(experiment, planned)], yes=chosen.yes)
