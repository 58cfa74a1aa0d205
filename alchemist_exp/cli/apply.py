"""`alchemist apply RUN [FILE ...]`: labels new rows with a finished run, line by line, as a table or as many tables."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.apply_lines import label_lines
from alchemist_exp.cli.apply_table import SUFFIX, label_table, output_path
from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command, positive
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line

DESCRIPTION = """\
Label new rows with a finished run. Nothing is sent to an LLM, and nothing is fitted.

  alchemist apply RUN < texts.txt                 one row per line; prints class, probability and row
  alchemist apply RUN tickets.csv -o labels.csv   a table: its columns, then label, confidence and p(CLASS)
  alchemist apply RUN tickets.csv --with programs also a column for the vote of each program
  alchemist apply RUN 'shards/*.parquet' -o DIR   many files: one Parquet file in DIR for each
  alchemist apply RUN hub:NAME:SPLIT -o DIR       a dataset of the Hugging Face Hub, streamed

Of a run with dataset.multi_label=true, a label is a list of classes, in lines, CSV and Excel with | between their names
(| alone: no class); there is no confidence, since each class has its own probability.

A line is a text, a JSON object if the run has several columns, or the path of an image. A line ends at a newline
character only. A row without content has an empty class and probability.

--with model (default) uses the distilled model, the mean over its seeds. --with programs runs the programs of the run
in the sandbox and applies the label model that was fitted on their votes; a row without a vote has no label.

With several files, a quoted pattern, a dataset of the Hub or a directory as -o, large inputs are written in parts, and
the same command again skips what is finished. A file that cannot be labeled is listed and skipped. The exit code is 0
if every file is labeled, 1 if one is not or after an error, 130 after Ctrl-C and 143 after SIGTERM.

A run may be from another person: its files are data, its programs run in the sandbox, and no path in them is followed
without your consent by --weights, --allow-module or --config-dir.
"""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist apply`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist apply", description=DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="a CSV, TSV, JSONL, Excel or Parquet file, a quoted pattern, or hub:NAME",
    )
    parser.add_argument("--with", dest="using", choices=["model", "programs"], default="model", help="what labels rows")
    parser.add_argument(
        "-o", "--out", metavar="OUT", help=f"the table (default: FILE{SUFFIX} in this directory), or a directory"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT, or the files in it, if they exist")
    parser.add_argument(
        "--keep", metavar="COLUMN", action="append", help="write only this column of FILE beside the labels; repeatable"
    )
    parser.add_argument(
        "--part-rows",
        metavar="N",
        type=positive,
        help="rows of a part (default: 500000, in inputs over 64 MB only)",
    )
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
    parser.add_argument("--engine", choices=["local", "dask"], help="where many files are labeled (default: local)")
    parser.add_argument(
        "--cluster", metavar="WHERE", help="workers of Dask: local (default), slurm, or the HOST:PORT of a scheduler"
    )
    parser.add_argument("--workers", metavar="N", type=positive, help="workers of Dask to start (default: 1)")
    parser.add_argument("--walltime", metavar="TIME", help="time limit of a Slurm job (default: 01:00:00)")
    parser.add_argument("--memory", metavar="SIZE", help="memory of a Slurm job (default: 4GB)")
    return _apply(parser.parse_intermixed_args(arguments))


def _apply(chosen: argparse.Namespace) -> int:
    if not chosen.files and (chosen.out or chosen.text or chosen.encoding or chosen.overwrite or chosen.keep):
        raise ConfigError("-o, --overwrite, --text, --keep and --encoding are for a FILE; name one after RUN.")
    _check_engine(chosen)
    if _has_tasks(chosen):
        from alchemist_exp.cli.apply_files import label_files

        return label_files(chosen)
    file = Path(chosen.files[0]) if chosen.files else None
    if file is not None and not file.is_file():
        raise ConfigError(f"{str(file)!r} is not a file; name the table whose rows are to be labeled.")
    out = None if file is None else output_path(chosen, file)
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.labelers import make_labeler
    from alchemist_exp.labeling.run_files import open_run

    run = open_run(find_run(chosen.outputs, chosen.run).absolute())
    consent = Consent(config_dir=chosen.config_dir, weights=chosen.weights, modules=chosen.allow_module)
    labeler = make_labeler(run, chosen.using, consent, chosen.sandbox)
    for note in labeler.notes:
        print(f"note: {single_line(note)}", file=sys.stderr)
    if file is None or out is None:
        return label_lines(labeler)
    return label_table(run, labeler, chosen, file, out)


def _check_engine(chosen: argparse.Namespace) -> None:
    """Fill in the engine and the cluster.

    Raises:
        ConfigError: An option does not belong to the engine or the cluster.

    """
    for_slurm = next((name for name in ("walltime", "memory") if getattr(chosen, name)), None)
    if chosen.engine != "dask" and (chosen.cluster or chosen.workers or for_slurm):
        name = "cluster" if chosen.cluster else "workers" if chosen.workers else for_slurm
        raise ConfigError(f"--{name} is for --engine dask.")
    if (chosen.engine or chosen.part_rows) and not _has_tasks(chosen):
        name = "engine" if chosen.engine else "part-rows"
        raise ConfigError(f"--{name} is for labels in a directory; name files, and the directory by -o DIR/.")
    chosen.engine, chosen.cluster = chosen.engine or "local", chosen.cluster or "local"
    if chosen.cluster not in ("local", "slurm") and not re.fullmatch(r"(\w+://)?\S+:\d+", chosen.cluster):
        raise ConfigError(
            f"--cluster is {single_line(chosen.cluster)!r}; expected local, slurm, or the HOST:PORT of a scheduler."
        )
    if for_slurm and chosen.cluster != "slurm":
        raise ConfigError(f"--{for_slurm} is for --cluster slurm.")
    if chosen.workers and chosen.cluster not in ("local", "slurm"):
        raise ConfigError("--workers is for --cluster local or slurm; a running cluster has its own workers.")


def _has_tasks(chosen: argparse.Namespace) -> bool:
    """Return whether the output is a directory with a file for each input."""
    from alchemist_exp.labeling.plan import is_hub, is_pattern

    if not chosen.files:
        return False
    is_directory = chosen.out is not None and (chosen.out.endswith("/") or Path(chosen.out).is_dir())
    return len(chosen.files) > 1 or is_pattern(chosen.files[0]) or is_hub(chosen.files[0]) or is_directory
