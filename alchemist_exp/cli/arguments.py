"""How the commands read their arguments and end: one parser, one printer of errors, one set of exit codes."""

import argparse
import io
import re
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, Final, Never, ParamSpec

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.exit_codes import clean_exit
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.report import SHOWN_KEY_DIGITS

_Arguments = ParamSpec("_Arguments")

OUTPUTS = Path("outputs")
"""The value of paths.outputs in conf/config.yaml."""


RENAMED: Final = {"--force": "--overwrite", "--output": "--out"}
"""The present name of each option that had another one in a command."""


class Parser(argparse.ArgumentParser):
    """A parser that raises ConfigError for a wrong argument, where argparse prints its usage and exits.

    It prints a description with its lines as they are, and takes no part of an option's name for the option.
    """

    def __init__(self, *, prog: str, description: str | None = None, **options: Any) -> None:
        """Take the name and the description of a command.

        Args:
            prog: The words of the command.
            description: What the command does.
            options: As for argparse.

        """
        chosen: dict[str, Any] = {
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
        } | options
        super().__init__(prog=prog, description=description, **chosen)

    def error(self, message: str) -> Never:
        """Refuse the arguments.

        Args:
            message: What is wrong with them.

        Raises:
            ConfigError: Always; the message names the command that prints the help.

        """
        unknown = [word for word in message.removeprefix("unrecognized arguments: ").split() if word.startswith("-")]
        if message.startswith("unrecognized arguments: ") and unknown:
            name = unknown[0].partition("=")[0]
            # argparse finds an unknown option of a subcommand in the command, so the options of both count.
            subparsers = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
            parsers = [self, *(parser for action in subparsers for parser in action.choices.values())]
            options = {option for parser in parsers for option in parser._option_string_actions}
            if (new := RENAMED.get(name)) in options:
                raise ConfigError(f"the option {name!r} is now called {new!r}.")
            close = get_close_matches(name, self._option_string_actions, n=1)
            message = f"the option {name!r} is unknown" + (f"; did you mean {close[0]!r}?" if close else "")
            raise ConfigError(f"{message} See {self.prog} --help." if close else f"{message}; see {self.prog} --help.")
        raise ConfigError(f"{message}; see {self.prog} --help.")


def as_command(main: Callable[_Arguments, int]) -> Callable[_Arguments, int]:
    """Make a function a command: an error ends the process, after a message on standard error.

    Args:
        main: Parses the arguments with a Parser, does the work and returns the exit code.

    """

    @wraps(main)
    def _command(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> int:
        with clean_exit():
            if isinstance(sys.stdout, io.TextIOWrapper):
                # Texts of records and responses have characters that the terminal's encoding may not have.
                sys.stdout.reconfigure(errors="backslashreplace")
            return main(*arguments, **named)
        raise AssertionError("clean_exit ends the process after an error")

    return _command


def refuse_existing(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuse to replace a file without --overwrite.

    Args:
        path: The file or directory that a command is about to write.
        option: The option that names it, as in "-o FILE".
        overwrite: Whether the user has given --overwrite.

    Raises:
        ConfigError: It exists.

    """
    if path.exists() and not overwrite:
        raise ConfigError(
            f"{single_line(str(path))!r} exists; name another one by {option}, or replace it by --overwrite."
        )


def show_command(directory: Path) -> str:
    """Return the command that prints a run again.

    Args:
        directory: The run's directory.

    """
    return f"alchemist show {_run_arguments(directory)}"


def report_command(directory: Path) -> str:
    """Return the command that writes the report of a run.

    Args:
        directory: The run's directory.

    """
    return f"alchemist report {_run_arguments(directory)}"


def explain_command(directory: Path) -> str:
    """Return the command that explains a row of a run.

    Args:
        directory: The run's directory.

    """
    return f"alchemist explain {_run_arguments(directory)} --row N"


def edit_command(directory: Path) -> str:
    """Return the command that repeats a run with a changed program.

    Args:
        directory: The run's directory.

    """
    return f"alchemist programs edit {_run_arguments(directory)} --program NAME FILE"


def apply_command(directory: Path) -> str:
    """Return the command that labels new rows with a run.

    Args:
        directory: The run's directory.

    """
    return f"alchemist apply {_run_arguments(directory)} FILE"


def _run_arguments(directory: Path) -> str:
    """Return the arguments that name a run."""
    outputs = directory.parent.parent
    option = "" if outputs == OUTPUTS.resolve() else f" --outputs {shlex.quote(str(outputs))}"
    return f"{directory.name[:SHOWN_KEY_DIGITS]}{option}"


def positive(text: str) -> int:
    """Convert an argument to a number, for argparse.

    Args:
        text: The argument.

    Returns:
        A whole number, 1 or more.

    Raises:
        ArgumentTypeError: It is no such number.

    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"invalid number {text!r}; expected a whole number, 1 or more")
    return int(text)


def natural(text: str) -> int:
    """Convert an argument to a number that may be 0, for argparse.

    Args:
        text: The argument.

    Returns:
        A whole number, 0 or more.

    Raises:
        ArgumentTypeError: It is no such number.

    """
    if not text.isdecimal() or len(text) > 18:  # numbers of rows are int64
        raise argparse.ArgumentTypeError(f"invalid number {text!r}; expected a whole number, 0 or more")
    return int(text)


def date(text: str) -> datetime:
    """Convert an argument to a time, for argparse.

    Args:
        text: The argument: a date, which means its midnight, or a date and a time, in ISO 8601.

    Returns:
        The time in UTC.

    Raises:
        ArgumentTypeError: It is not a date.

    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"invalid date {text!r}; expected YYYY-MM-DD") from error


def age(text: str) -> datetime:
    """Convert an argument that is an age to a time, for argparse.

    Args:
        text: The argument: hours, days or weeks, as in 12h, 30d or 8w.

    Returns:
        The time in UTC that was so long ago.

    Raises:
        ArgumentTypeError: It is not an age.

    """
    match = re.fullmatch(r"(\d{1,5})([hdw])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid age {text!r}; expected hours, days or weeks as in 12h, 30d or 8w")
    hours = int(match[1]) * {"h": 1, "d": 24, "w": 24 * 7}[match[2]]
    return datetime.now(UTC) - timedelta(hours=hours)
