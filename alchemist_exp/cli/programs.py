"""`alchemist programs diff A B` compares two runs by their records and files; `programs edit` changes a program."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command, explain_command
from alchemist_exp.cli.program_diff import DiffedRun, read_run, show_diff
from alchemist_exp.results.record import REPORT


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist programs`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist programs", description="Compare the programs of runs, or change a program.")
    commands = parser.add_subparsers(required=True, metavar="diff A B | edit RUN")
    diff = commands.add_parser(
        "diff",
        help="which programs changed, which rows have another label, scores before and after",
        prog="alchemist programs diff",
    )
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a run: its key, the first digits of it, or its directory")
    diff.add_argument("--outputs", type=Path, default=OUTPUTS, help="the outputs directory (outputs)")
    diff.add_argument("--source", action="store_true", help="also show the lines that changed")
    diff.set_defaults(do=_diff)
    edit = commands.add_parser(
        "edit",
        help="run again with changed programs, and show which rows and scores change",
        prog="alchemist programs edit",
    )
    edit.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    edit.add_argument("file", metavar="FILE|DIR", type=Path, help="the changed program, or a directory of such files")
    edit.add_argument("--program", metavar="NAME", help="with FILE: the program's file in RUN, or a part of its name")
    edit.add_argument("--outputs", type=Path, default=OUTPUTS, help="the outputs directory (outputs)")
    edit.add_argument("--config-dir", metavar="DIR", type=Path, help="your own members, as in the command of RUN")
    edit.set_defaults(do=_edit)

    chosen = parser.parse_args(arguments)
    return int(chosen.do(chosen))


def _edit(chosen: argparse.Namespace) -> int:
    from alchemist_exp.cli.program_edit import run_edited
    from alchemist_exp.cli.report import try_run_report

    before = read_run(chosen.outputs, chosen.run)
    made = run_edited(before.directory, before.record, chosen.outputs, chosen.program, chosen.file, chosen.config_dir)
    after = DiffedRun(directory=made.directory, record=made.record, programs=made.record.programs["list"])
    try:
        changed = show_diff(before, after, source=True)
    finally:  # also if the other run has labels that cannot be read
        print(f"the new run        {after.directory}")
    if made.record.config["report"] and try_run_report(after.directory):
        print(f"its report         {after.directory / REPORT}")
    # Made again, because it now says which run outdates it.
    if (before.directory / REPORT).exists() and try_run_report(before.directory):
        print(f"report made again  {before.directory / REPORT}")
    if not made.record.multi_label and changed:
        print(f"why a row changed  {explain_command(after.directory)}")
    return 0


def _diff(chosen: argparse.Namespace) -> int:
    before, after = (read_run(chosen.outputs, name) for name in (chosen.a, chosen.b))
    show_diff(before, after, source=chosen.source)
    return 0
