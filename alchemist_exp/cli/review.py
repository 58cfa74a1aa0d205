"""`alchemist review RUN -o FILE`: writes the rows that a person should label first, for dataset.reviewed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import Split

_ROWS = 50


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist review`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(
        prog="alchemist review",
        description="Write the rows of a finished run that are most worth labeling by hand, with the votes of the\n"
        "programs. Fill in the column label and run again with dataset.reviewed=FILE.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run: its key, the first digits of it, or its directory; default: the last",
    )
    parser.add_argument("--rows", metavar="N", type=int, default=_ROWS, help=f"the rows to write ({_ROWS})")
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("review.csv"),
        help="CSV, TSV, JSONL, Parquet or Excel",
    )
    parser.add_argument("--split", choices=[*map(str, Split)], default=str(Split.TRAIN), help="their split (train)")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    return _review(parser.parse_args(arguments))


def _review(chosen: argparse.Namespace) -> int:
    from alchemist_exp.data.writers import check_output, write_table
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.model_labeler import model_labeler
    from alchemist_exp.labeling.review import review_table
    from alchemist_exp.labeling.run_files import open_run, refuse_multi_label

    if chosen.rows < 1:
        raise ConfigError(f"--rows is {chosen.rows}; expected 1 or more rows.")
    if chosen.out.exists() and not chosen.overwrite:
        raise ConfigError(
            f"{single_line(str(chosen.out))!r} exists and may have your labels; name another file by -o FILE, or "
            "replace it by --overwrite."
        )
    check_output(chosen.out, {})
    run = open_run(find_run(chosen.outputs, chosen.run))
    refuse_multi_label(run, "alchemist review")
    if run.record.data.get("kind") == "images":
        raise ConfigError("alchemist review writes texts, and the rows of this run are images; label images yourself.")
    table = review_table(run, model_labeler(run, Consent()), Split(chosen.split), chosen.rows)
    write_table(chosen.out, table)
    where = single_line(str(chosen.out))
    use = f"dataset.reviewed={where}" if chosen.split == Split.TRAIN else "your test; dataset.reviewed is for train"
    classes = single_line(", ".join(run.classes))
    print(f"{len(table['row'])} rows of {chosen.split} in {where}; fill in the column label ({classes}).")
    print(f"Then add to the command of the run: {use}" if chosen.split == Split.TRAIN else f"Use them for {use}.")
    return 0
