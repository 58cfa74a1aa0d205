"""`alchemist label FILE`: labels the rows of one file, and writes them as a table.

It makes the overrides of `alchemist run` from plain arguments, so both commands make the same run.
"""

import argparse
import csv
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alchemist_exp.cli.arguments import Parser, apply_command, report_command, run_command, show_command
from alchemist_exp.cli.confirm import may_send_calls
from alchemist_exp.cli.labeled_table import LabeledTable, label_rows
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.hashing import bytes_fingerprint
from alchemist_exp.core.overrides import override
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.data.class_names import count_labels, numbered
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.readers import read_table, similar_column
from alchemist_exp.data.table import Columns, Table
from alchemist_exp.data.text_formats import DELIMITERS
from alchemist_exp.data.texts import has_text
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

SAVED_TO = "my_conf"
"""The directory of `--save` without --config-dir."""

WRITTEN = "label_tables"
"""The directory in outputs with a file for each table that was written: the fingerprint of its content."""

ARGUMENTS = {
    "dataset": "FILE",
    "dataset.path": "FILE",
    "dataset.text_column": "--text",
    "dataset.columns": "--text",
}
"""Keys that no override may change, because the table is made of what these arguments name."""

OPTIONS = {
    "dataset.text_column": "--text",
    "dataset.columns": "--text",
    "dataset.label_column": "--label",
    "dataset.classes": "--classes",
    "dataset.prompt": "--task",
    "method.path": "--programs",
    "llm.model": "--model",
    "budget.usd": "--budget",
}
"""The keys of `alchemist run` that have an option of this command."""

SHOWN_VALUES = 12
"""Labels or columns that are named on the screen."""

ONE_CLASS = (
    "alchemist label is for one class per row; with several use alchemist run with dataset.multi_label=true, whose "
    "labels.parquet has the classes of each row."
)


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
    return run_command(lambda: _label_by_options(parser.parse_intermixed_args(arguments)))


def _label_by_options(chosen: argparse.Namespace) -> int:
    """Label a file; errors name the options of this command where the user gave no override of the key."""
    try:
        return _label(chosen)
    except AlchemistError as error:
        given = {text.lstrip("+").partition("=")[0] for text in chosen.overrides}
        text = with_options(str(error), {key: name for key, name in OPTIONS.items() if key not in given})
        raise type(error)(text) from error


def with_options(text: str, options: Mapping[str, str]) -> str:
    r"""Return a message with the options of this command instead of keys of `alchemist run`.

    Args:
        text: The message.
        options: The option of each key.

    Example:
        >>> with_options("set 'dataset.classes=[ham,spam]'; dataset.label_column=null stays", OPTIONS)
        "set '--classes ham,spam'; dataset.label_column=null stays"

    """
    keys = "|".join(map(re.escape, options))
    if not keys:
        return text
    # An option takes a text: no brackets of a list, no quotes of the grammar, and no null.
    text = re.sub(rf"\"?\b({keys})='([^']*)'\"?", lambda m: f"{options[m[1]]} {shlex.quote(m[2])}", text)
    text = re.sub(rf"\b({keys})=\[([^\]]*)\]", lambda m: f"{options[m[1]]} {m[2].replace('...', 'A,B')}", text)
    return re.sub(rf"\b({keys})\b(?!=null|\.)(=)?", lambda m: options[m[1]] + (" " if m[2] else ""), text)


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
    parts = _names(asked)
    if absent := next((part for part in parts if part not in columns), None):
        raise ConfigError(f"{file} has no column {absent!r}{_guess(absent, columns)}; the columns are {names}.")
    return parts


def _guess(absent: str, columns: Columns) -> str:
    similar = similar_column(absent, columns)
    return "" if similar is None else f" (did you mean {similar!r}?)"


def _run(chosen: argparse.Namespace, table: Table, row_columns: list[str], out: Path) -> int:
    """Show what is there and what it costs, ask, run and write the table."""
    from alchemist_exp.library import compose_experiment
    from alchemist_exp.pipeline.run import run
    from alchemist_exp.results.console import show
    from alchemist_exp.results.progress import RichProgress

    overrides = _overrides(chosen, row_columns)
    saved = None if chosen.save is None else _member_file(chosen)
    config_dir = chosen.config_dir if saved is None or Path(chosen.config_dir or "").is_dir() else None
    experiment, container = compose_experiment(overrides, config_dir)
    if experiment.dataset.is_multi_label:
        raise ConfigError(ONE_CLASS)
    label_column = container["dataset"]["label_column"]
    if any(isinstance(label, list) for label in table.columns.get(label_column, ())):
        raise ConfigError(f"the column {label_column!r} has lists of classes. {ONE_CLASS}")
    _show_found(chosen.file, table, row_columns, label_column)
    written = experiment.paths.root / WRITTEN / bytes_fingerprint(os.fsencode(out.resolve()))
    if not _may_replace(chosen, out, written) or not _agreed(chosen, experiment):
        print("nothing was sent and nothing was written")
        return 1
    if saved is not None:
        _save_member(saved, chosen, overrides, config_dir)
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
    _show_next(chosen, labels, row_columns, result.directory, overrides, out)
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


def _overrides(chosen: argparse.Namespace, row_columns: list[str]) -> list[str]:
    """Return the overrides of `alchemist run` that the arguments stand for."""
    for text in chosen.overrides:
        if "=" not in text and not text.startswith("~"):
            raise ConfigError(f"{text!r} is not KEY=VALUE; alchemist label reads one file, here {chosen.file!r}.")
    own = [text.lstrip("+").partition("=")[0] for text in chosen.overrides]
    if chosen.llm is None and chosen.programs is None and not {"llm", "method"} & {*own}:
        raise ConfigError(
            "nothing writes programs; choose an LLM, as in --llm openai, or name a directory of programs by --programs "
            "DIR."
        )
    if chosen.llm is not None and chosen.programs is not None:
        raise ConfigError("--llm and --programs exclude each other; programs from files need no LLM.")
    for key, option in ARGUMENTS.items():
        if key in own:
            raise ConfigError(f"{key} is given by {option} of alchemist label; leave out the override.")
    if chosen.programs is not None and "method" in own:
        raise ConfigError("--programs stands for method=program_files; leave out --programs or the override of method.")
    values: dict[str, object] = {
        "dataset": "files",
        "dataset.name": chosen.save,
        "dataset.path": chosen.file,
        "dataset.prompt": chosen.task,
        "dataset.classes": None if chosen.classes is None else _names(chosen.classes),
        "dataset.text_column": None if len(row_columns) > 1 or row_columns == ["text"] else row_columns[0],
        "dataset.columns": row_columns if len(row_columns) > 1 else None,
        "dataset.label_column": chosen.label,
        "llm": chosen.llm,
        "llm.model": chosen.model,
        "method": None if chosen.programs is None else "program_files",
        "method.path": chosen.programs,
        "budget.usd": chosen.budget,
    }
    return [*(override(key, value) for key, value in values.items() if value is not None), *chosen.overrides]


def _names(text: str) -> list[str]:
    """Return the names in a list with commas or in brackets; double quotes are around a name with a comma."""
    from alchemist_exp.config_errors import intended_value

    if re.fullmatch(r"\[[^\[\]]*\]", text.strip()):
        return list(map(str, intended_value("dataset.classes", text)))
    (names,) = csv.reader([" ".join(text.splitlines())], skipinitialspace=True)
    return [name.strip() for name in names]


def _show_found(file: str, table: Table, row_columns: list[str], label_column: str | None) -> None:
    """Print what is in the file: rows, columns, texts and labels."""
    columns = table.columns
    rows = list(
        zip(
            *([None if is_missing(v) or not has_text(str(v)) else str(v) for v in columns[n]] for n in row_columns),
            strict=True,
        )
    )
    without = (None,) * len(row_columns)
    n_repeated = sum(count - 1 for row, count in Counter(rows).items() if row != without)
    encoding = {None: [], "utf-8-sig": ["UTF-8 with a byte order mark"]}.get(
        table.encoding, [str(table.encoding).upper()]
    )
    read_as = encoding + ([f"separated by {DELIMITERS[table.delimiter]}"] if table.delimiter else [])
    how = f" ({', '.join(read_as)})" if read_as else ""
    print(f"{single_line(file)}{how}: {_count(len(rows), 'row')}; columns: {_listed(columns)}")
    empty, repeated = _count(rows.count(without), "row"), _count(n_repeated, "text")
    names = ", ".join(repr(single_line(name)) for name in row_columns)
    print(f"texts in {names}: {empty} without text, {repeated} repeated from an earlier row")
    if label_column is not None and label_column in columns:
        merged, n_spellings = count_labels(columns[label_column])
        counts = _listed(f"{count:,} {name}" for name, count in merged.items())
        n_labeled = f"{_count(sum(merged.values()), 'row')}: {counts}" if merged else "none, the column is empty"
        together = " (spellings that differ only in case or blanks are counted together)"
        print(f"labels in {single_line(label_column)!r}: {n_labeled}{together * (n_spellings > len(merged))}")
    else:
        print("no labels: no score can be computed (a column of gold labels: --label COLUMN)")


def _listed(names: Iterable[str]) -> str:
    shown = [sanitize(name) for name in names]
    more = f" and {len(shown) - SHOWN_VALUES} more" if len(shown) > SHOWN_VALUES else ""
    return ", ".join(shown[:SHOWN_VALUES]) + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


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


def _show_next(
    chosen: argparse.Namespace,
    table: LabeledTable,
    row_columns: list[str],
    directory: Path,
    overrides: Sequence[str],
    out: Path,
) -> None:
    """Print where the table is, and what to do next."""
    labels, labeled_by = table.columns["label"], list(table.columns["labeled_by"])
    counts = Counter(label for label in labels if label is not None)
    n_without = sum(label is None for label in labels)
    without = f"; {_count(n_without, 'row')} without a label" if n_without else ""
    by_model, given = labeled_by.count("model"), labeled_by.count("given")
    print(f"wrote {single_line(str(out))}: {_listed(f'{n:,} {name}' for name, n in counts.most_common())}{without}")
    if given:
        print(
            f"kept the label of the file in {_count(given, 'row')}; programs vote on {table.n_compared:,} of these "
            f"and disagree on {table.n_differing:,}"
        )
    if by_model:
        print(f"no program votes on {_count(by_model, 'row')}, which the distilled model has labeled")
    print("\nNext")
    if chosen.programs is None:
        again = ["alchemist", "label", chosen.file, "--task", chosen.task, "--text", chosen.text or row_columns[0]]
        again += ["--classes", chosen.classes] * (chosen.classes is not None)
        again += ["--label", chosen.label] * (chosen.label is not None)
        print(f"  copy the programs, correct one:  cp -r {shlex.quote(str(directory / 'programs'))} programs")
        print(f"  label with the corrected ones:   {shlex.join(again)} --programs programs")
    else:
        print(f"  correct a program in {single_line(chosen.programs)} and run the same command again")
    print(f"  the same run, with any setting:  {_run_command(chosen, overrides)}")
    print(f"  this screen again:               {show_command(directory)}")
    print(f"  a page with rows and programs:   {report_command(directory)}")
    print(f"  label other rows:                {apply_command(directory)}")


def _run_command(chosen: argparse.Namespace, overrides: Sequence[str]) -> str:
    """Return the command of `alchemist run` that makes the same run."""
    words = ["--config-dir", chosen.config_dir or SAVED_TO] if chosen.config_dir or chosen.save else []
    if chosen.save:
        rest = [text for text in overrides if not text.startswith(("dataset=", "dataset."))]
        return shlex.join(["alchemist", "run", *words, f"dataset={chosen.save}", *rest])
    return shlex.join(["alchemist", "run", *words, *overrides])


def _member_file(chosen: argparse.Namespace) -> Path:
    """Return the file of the member to save.

    Raises:
        ConfigError: The name cannot be that of a new member.

    """
    from alchemist_exp import config

    if not re.fullmatch(r"[A-Za-z][\w-]*", chosen.save, re.ASCII):
        raise ConfigError(f"--save {chosen.save!r} is not a name; use letters, digits, - and _.")
    if chosen.save in {path.stem for path in Path(config.config_dir(), "dataset").glob("*.yaml")}:
        raise ConfigError(f"--save {chosen.save} is the name of a dataset of the package; choose another one.")
    return Path(chosen.config_dir or SAVED_TO, "dataset", f"{chosen.save}.yaml")


def _save_member(path: Path, chosen: argparse.Namespace, overrides: Sequence[str], config_dir: str | None) -> None:
    """Write the values of the dataset that differ from dataset=files to a member's file."""
    import yaml
    from omegaconf import OmegaConf

    from alchemist_exp import config

    def values_of(overrides: Sequence[str]) -> Any:
        """Return the values of the dataset, references not resolved."""
        return OmegaConf.to_container(config.compose(overrides, config_dir)["dataset"], enum_to_str=True)

    usual, own = values_of(["dataset=files"]), values_of(overrides)
    values = {key: value for key, value in own.items() if usual.get(key) != value}
    values["path"] = str(Path(chosen.file).resolve())
    text = f"# {single_line(chosen.task)}\ndefaults:\n  - files\n  - _self_\n\n"
    text += yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=1000)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} exists with other values; choose another name for --save, or delete the file.")
    write_bytes(path, text.encode("utf-8"))
    print(f"wrote {path}")
