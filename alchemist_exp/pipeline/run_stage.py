"""The stage in which a run is, in a file next to its record while it runs."""

from pathlib import Path
from typing import Final

FILE: Final = ".stage"

_MAX_CHARS: Final = 200


def write_stage(directory: Path, what: str) -> None:
    """Replace the stage of a run. An error is ignored, because no result depends on it.

    Args:
        directory: The directory of the run.
        what: What the stage does.

    """
    try:
        (directory / FILE).write_text(what[:_MAX_CHARS], encoding="utf-8", errors="replace")
    except OSError:
        return


def read_stage(directory: Path) -> str:
    """Return what a run does now; "" where it is not known.

    Args:
        directory: The directory of the run.

    """
    try:
        with (directory / FILE).open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_CHARS)
    except OSError:
        return ""


def remove_stage(directory: Path) -> None:
    """Remove the file of a run that has ended.

    Args:
        directory: The directory of the run.

    """
    (directory / FILE).unlink(missing_ok=True)
