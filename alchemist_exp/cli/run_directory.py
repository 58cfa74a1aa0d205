"""Finds the runs that a command line names, in an outputs directory."""

from pathlib import Path

from alchemist_exp.core.errors import StoreError
from alchemist_exp.results.record import RECORD, RunRecord, RunStatus, run_in


def find_run(outputs: Path, name: str | None = None) -> Path:
    """Return the directory of a run.

    Args:
        outputs: The directory that the run had as `paths.outputs`.
        name: The run's key, the first digits of it, or the directory of a run or an export; None for the finished run
            that began last, or, if none has finished, the run that began last.

    Returns:
        A directory with a record.

    Raises:
        StoreError: There is no such run, or the digits fit several.

    """
    if name is not None and (directory := run_in(Path(name))) is not None:
        return directory
    runs = outputs / "runs"
    directories = [path.parent for path in runs.glob(f"*/{RECORD}") if not path.parent.name.startswith(".")]
    if not directories:
        raise StoreError(f"there is no run under {runs}; name the outputs directory with --outputs DIR.")
    if name is None:
        return max(directories, key=_began)
    fitting = sorted(path for path in directories if path.name.startswith(name))
    if len(fitting) != 1:
        found = f"{len(fitting)} runs begin with" if fitting else "there is no run"
        raise StoreError(
            f"{found} {name!r} under {runs}; give a run's directory or enough digits of its key, and the outputs "
            "directory with --outputs DIR."
        )
    return fitting[0]


def _began(directory: Path) -> tuple[bool, str, int]:
    """Return whether a run has finished, when it began, to the second, then when its record was written."""
    written = (directory / RECORD).stat().st_mtime_ns
    try:
        record = RunRecord.read(directory)
    except StoreError:  # of another version, or broken; the command that shows it says so
        record = None
    if record is None:
        return False, "", written
    return record.status is RunStatus.FINISHED, record.started_at, written
