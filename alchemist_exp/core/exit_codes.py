"""The exit code of every command: 0, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.terminal import single_line

INTERRUPTED, TERMINATED = 130, 143  # 128 + the signal's number, as shells report it


@contextmanager
def clean_exit(show: Callable[[Exception], None] | None = None) -> Iterator[None]:
    """End the process with the right exit code when the `with` block is stopped.

    SIGTERM raises `Terminated` from here on, so that `finally` clauses run. The arguments of a KeyboardInterrupt are
    advice, which is printed after the word.

    Args:
        show: Prints an exception that leaves the block; called before the process ends with 1. By default
            `show_error`.

    Raises:
        SystemExit: The block was left by an exception.

    """

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        """Raise in the main thread, wherever it is."""
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
        # A closed pipe (`alchemist ... | head`) raises here, where it is still caught, instead of at shutdown.
        sys.stdout.flush()
    except Terminated as stop:
        print_error("; ".join(["terminated", *map(str, stop.args)]))
        sys.exit(TERMINATED)
    except KeyboardInterrupt as stop:
        print_error("; ".join(["interrupted", *map(str, stop.args)]))
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        exit_without_reader()
    except Exception as error:  # noqa: BLE001 - the last handler before the user
        (show or show_error)(error)
        sys.exit(1)


def exit_without_reader() -> Never:
    """End the process in silence after the reader of stdout has closed the pipe, as `head` does."""
    # Python flushes stdout once more at shutdown, which must not raise again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def print_error(text: str) -> None:
    """Print an error message on one line of stderr.

    Args:
        text: The message. Control characters in text that a server or a file supplied are escaped.

    """
    print(f"error: {single_line(text)}", file=sys.stderr, flush=True)


def show_error(error: Exception) -> None:
    """Print an error that the user can fix as one sentence, and any other, a bug, with its traceback.

    Args:
        error: Any exception.

    """
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


def user_error_text(error: Exception) -> str | None:
    """Return the message of an error that the user can fix.

    Args:
        error: Any exception.

    Returns:
        One sentence for an `AlchemistError` or an error of the operating system; None for any other, which is a bug
        and should be shown with its traceback.

    """
    if isinstance(error, AlchemistError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}."
    return None
