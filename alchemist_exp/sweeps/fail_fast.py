"""Stops a sweep at its first failed job (sweep.fail_fast).

A failed job makes a file in the directory of the sweep, which every other job looks for when it begins. So it works
with every launcher whose processes share that directory; jobs that have begun run to their end.
"""

from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import AlchemistError

NOT_STARTED: Final = "not started"

_FILE = "stopped"


class NotStartedError(AlchemistError):
    """A job was not started, because another one has failed and sweep.fail_fast is true."""


def allow_jobs(sweep_directory: Path) -> None:
    """Remove what an earlier sweep with the same directory may have left.

    Args:
        sweep_directory: The directory of the sweep.

    """
    (sweep_directory / _FILE).unlink(missing_ok=True)


def stop_jobs(sweep_directory: Path) -> None:
    """Keep the jobs that have not begun from starting.

    Args:
        sweep_directory: The directory of the sweep.

    """
    write_bytes(sweep_directory / _FILE, b"A job has failed, and sweep.fail_fast is true.\n")


def stopped(sweep_directory: Path) -> bool:
    """Return whether no further job may start.

    Args:
        sweep_directory: The directory of the sweep.

    """
    return (sweep_directory / _FILE).exists()
