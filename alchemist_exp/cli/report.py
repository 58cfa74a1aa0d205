"""`alchemist report`: writes the report of a run, or of all runs of an outputs directory, as one HTML file."""

import re
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.atomic_io import read_prefix, write_bytes
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.results.record import RECORD, REPORT

DESCRIPTION = """\
Write the report of a run, or of all runs of an outputs directory, as one HTML file that needs no network.

  alchemist report                    the last run; the file is report.html in its directory
  alchemist report 1a2b3c             a run: its key, the first digits of it, or its directory
  alchemist report 1a2b3c -o my.html  into another file
  alchemist report outputs            all runs of a directory of outputs: settings, seeds, cost

Makes no LLM call. The programs run again on the sampled rows, in the sandbox, to find the lines that returned their
votes. The file contains rows of the dataset and the sources of the programs.
"""

HEAD = re.compile(
    rb"\n*<!doctype html>\n<html[^<>]*>\n<head>\n(?:<meta (?!name=\"generator\")[^<>]*>\n){1,8}"
    rb'<meta name="generator" content="alchemist [^<>]*>\n'
)
"""The beginning of each report; see templates/page.html."""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist report`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist report", description=DESCRIPTION)
    parser.add_argument("what", metavar="RUN|OUTPUTS", nargs="?", help="a run, or a directory of outputs")
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, help="the file; its name ends in .html")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE, also if it is not a report")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    chosen = parser.parse_args(arguments)
    if chosen.out is not None and chosen.out.suffix not in (".html", ".htm"):
        raise ConfigError(f"-o {chosen.out} has to end in .html; a report is an HTML file.")
    if chosen.out is not None and not chosen.overwrite and chosen.out.exists() and not is_report(chosen.out):
        raise ConfigError(
            f"{str(chosen.out)!r} exists and is not a report; name another file by -o FILE, or replace it by "
            "--overwrite."
        )
    given = None if chosen.what is None else Path(chosen.what)
    if given is not None and (given / "runs").is_dir() and not (given / RECORD).exists():
        path = write_sweep_report(given, chosen.out)
    else:
        path = write_run_report(find_run(chosen.outputs, chosen.what).resolve(), chosen.out)
    size = path.stat().st_size
    print(f"wrote {path} ({f'{size / 1e6:.1f} MB' if size >= 1e6 else f'{size / 1e3:.0f} KB'})")
    return 0


def is_report(path: Path) -> bool:
    """Return whether a file that exists is a report, by its first bytes.

    Args:
        path: The file.

    """
    return path.is_file() and HEAD.match(read_prefix(path, 4_096)) is not None


def write_run_report(directory: Path, path: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        directory: The run's directory.
        path: The file; None for `REPORT` in the run's directory.

    Returns:
        The file.

    Raises:
        StoreError: The run has not finished, a file of it is broken, or the report cannot be written.

    """
    # Imported here: --help needs neither numpy nor pandas.
    from alchemist_exp.labeling.run_files import check_run_files, stored_run
    from alchemist_exp.report.run_page import run_report
    from alchemist_exp.results.record import read_finished

    check_run_files(directory)
    run = stored_run(directory, read_finished(directory, "a report is made of a finished run"))
    return _write(run_report(run), path, directory / REPORT)


def try_run_report(directory: Path) -> bool:
    """Write the report of a run that has just finished; a failure is printed and does not fail the command.

    Args:
        directory: The run's directory.

    Returns:
        Whether it was written.

    """
    try:
        write_run_report(directory)
    except AlchemistError as error:
        print_error(f"the run has finished, but its report could not be written: {error}")
        return False
    return True


def write_sweep_report(outputs: Path, path: Path | None = None) -> Path:
    """Write the report of all runs of an outputs directory.

    Args:
        outputs: The directory.
        path: The file; None for `REPORT` in the directory.

    Returns:
        The file.

    Raises:
        StoreError: No run has finished, or the report cannot be written.

    """
    from alchemist_exp.report.sweep_page import sweep_report
    from alchemist_exp.results.runs import index_runs

    index = index_runs(outputs)
    for sentence in index.errors:
        print_error(sentence)
    return _write(sweep_report(index, outputs), path, outputs / REPORT)


def _write(html: str, chosen: Path | None, default: Path) -> Path:
    """Write a report to the file that -o names, or else to the default one, and return the file."""
    path = chosen or default
    try:
        write_bytes(path, html.encode())
    except StoreError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        advice = "correct this" if chosen is None else "choose another -o FILE"
        raise StoreError(f"{path} could not be written ({reason}); {advice}.") from error
    return path
