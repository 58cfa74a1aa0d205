"""How every command ends: 0, 1 after an error told in one sentence, 130 for Ctrl-C, 143 for SIGTERM."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.terminal import single_line

INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def clean_exit(show: Callable[[Exception], None]) -> Iterator[None]:
    """Ends the process with the right exit code when what is inside is stopped; `show` tells of an error."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
        # Here a reader of our output that has left is still noticed below.
        sys.stdout.flush()
    except Terminated:
        print_error("terminated")
        sys.exit(TERMINATED)
    except KeyboardInterrupt:
        print_error("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        show(error)
        sys.exit(1)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def print_error(text: str) -> None:
    """Tells the user of an error; what a server or a file put into the text cannot act on the terminal."""
    print(f"error: {single_line(text)}", file=sys.stderr, flush=True)


def user_error_text(error: Exception) -> str | None:
    """The sentence about an error that the user can mend; None for any other."""
    if isinstance(error, AlchemistError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}."
    return None
