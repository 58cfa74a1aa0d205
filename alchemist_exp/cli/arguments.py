"""How the commands read their arguments and end: one parser, one printer of errors, one set of exit codes."""

import argparse
import io
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Never

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.exit_codes import clean_exit


class Parser(argparse.ArgumentParser):
    """A parser that raises ConfigError for a wrong argument; argparse prints its usage and exits."""

    def error(self, message: str) -> Never:
        """Raise ConfigError with the message and the command that prints the help."""
        raise ConfigError(f"{message}; see {self.prog} --help.")


def run_command(command: Callable[[], int]) -> int:
    """Run a command that parses its arguments with a Parser.

    Args:
        command: Parses the arguments, runs the command and returns its exit code.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    with clean_exit():
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Texts of records and responses have characters that the terminal's encoding may not have.
            sys.stdout.reconfigure(errors="backslashreplace")
        return command()
    raise AssertionError("clean_exit ends the process after an error")


def positive(text: str) -> int:
    """Convert an argument to a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"invalid number {text!r}; expected a whole number, 1 or more")
    return int(text)


def date(text: str) -> datetime:
    """Convert an argument to a time in UTC; a date alone means its midnight."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"invalid date {text!r}; expected YYYY-MM-DD") from error


def age(text: str) -> datetime:
    """Convert an age, as 30d, to the time that is so long ago."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid age {text!r}; expected hours, days or weeks as in 12h, 30d or 8w")
    hours = int(match[1]) * {"h": 1, "d": 24, "w": 24 * 7}[match[2]]
    return datetime.now(UTC) - timedelta(hours=hours)
