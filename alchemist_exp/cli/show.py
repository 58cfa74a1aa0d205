"""`alchemist show [KEY]`: prints the screen of a finished run again, from its record alone."""

from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.console import show
from alchemist_exp.results.edits import edit_notes
from alchemist_exp.results.record import read_finished


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist show`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(
        prog="alchemist show",
        description="Print scores, programs and cost of a finished run again.",
    )
    parser.add_argument(
        "run",
        metavar="KEY",
        nargs="?",
        help="a run: its key, the first digits of it, or its directory; default: the last",
    )
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="all programs, and the scores of each class")
    chosen = parser.parse_args(arguments)
    directory = find_run(chosen.outputs, chosen.run).resolve()
    record = read_finished(directory, "alchemist status lists the runs")
    try:
        show(record, str(directory), reused=False, verbose=chosen.verbose)
        for note in edit_notes(directory, record):
            print(f"! {single_line(note)}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StoreError(
            f"the record in {directory} is broken ({type(error).__name__}: {single_line(str(error))}); "
            "run the experiment again with force=true."
        ) from error
    return 0
