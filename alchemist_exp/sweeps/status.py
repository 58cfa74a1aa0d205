"""The state of runs and of the jobs of a sweep, as lines to print: reads records and tests locks, and runs nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import utc_now
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.sweeps import slurm, submissions
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.submissions import TaskState

MISSING = "missing"
PENDING = "pending"

_TO_RETRY = ("failed", "interrupted", "killed")
"""The states of runs that `alchemist retry` runs again."""


@dataclass(frozen=True, kw_only=True)
class StatusLine:
    """What is shown of one run or job.

    Attributes:
        state: A RunState, MISSING, or PENDING for a run whose job is in the queue of Slurm.
        key: The run's key; "" where it cannot be computed.
        name: Its members, or a job's overrides.
        overrides: The overrides of the run or job.
        started_at: When it began; "" for a job without a run.
        finished_at: When it ended; "" before.
        submitted_at: When its job was last submitted to Slurm; "" for a run that was started otherwise.
        detail: Why it failed or cannot run, or the stage of a running one.

    """

    state: str
    key: str
    name: str
    overrides: tuple[str, ...] = ()
    started_at: str = ""
    finished_at: str = ""
    submitted_at: str = ""
    detail: str = ""

    @property
    def to_retry(self) -> bool:
        """Whether the run has begun and ended without a result."""
        return self.state in _TO_RETRY


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of the runs of an outputs directory, or of the jobs of a sweep.

    Attributes:
        lines: A line for each run or job.
        n_others: How many runs of the directory are none of them.
        errors: A sentence about each record that cannot be read, and about Slurm if it gives no answer.

    """

    lines: tuple[StatusLine, ...]
    n_others: int
    errors: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """The number of lines by state."""
        return Counter(line.state for line in self.lines)

    @property
    def complete(self) -> bool:
        """Whether every run and job is done and every record can be read."""
        return not self.errors and not self.counts.keys() - {"done"}


def status(directory: Path, jobs: Sequence[StatusLine] | None = None) -> Status:
    """Return the state of runs.

    Args:
        directory: The directory of outputs.
        jobs: The jobs of a sweep, each as if it had no run; None for all runs of the directory.

    Returns:
        The state of each run, or of each job.

    Raises:
        StoreError: There is no such directory of outputs.

    """
    from alchemist_exp.pipeline.run_stage import read_stage
    from alchemist_exp.results.run_names import run_name
    from alchemist_exp.results.runs import RunState, index_runs

    index = index_runs(directory)
    submitted, errors = _submission_times(directory)
    runs: dict[str, StatusLine] = {}
    for key, run in index.runs.iterrows():
        detail = "" if run["error"] in (None, run["state"]) else str(run["error"])
        if run["state"] == RunState.RUNNING:
            detail = read_stage(directory / "runs" / str(key))
        runs[str(key)] = StatusLine(
            state=run["state"],
            key=str(key),
            name=run_name(run),
            overrides=tuple(map(str, run["overrides"])),
            started_at=run["started_at"],
            finished_at=run["finished_at"] or "",
            submitted_at=submitted.get(str(key), ""),
            detail=detail,
        )
    lines = [*runs.values()]
    if jobs is not None:
        # The run of a job with the overrides of the job; the job itself where it has no run.
        lines = [replace(runs[job.key], overrides=job.overrides) if job.key in runs else job for job in jobs]
    n_others = len(runs.keys() - {line.key for line in lines})
    errors = [*index.errors, *errors]
    if slurm.is_available() and (directory / submissions.DIRECTORY).is_dir():
        try:
            lines = _with_queue(lines, submissions.active_states(directory), add=jobs is None)
        except AlchemistError as error:
            errors.append(str(error))
    return Status(lines=tuple(lines), n_others=n_others, errors=tuple(dict.fromkeys(errors)))


def _submission_times(directory: Path) -> tuple[dict[str, str], list[str]]:
    """Return when the job of each run was last submitted to Slurm, by run key, and what prevents it."""
    try:
        found = submissions.read_submissions(directory)
    except AlchemistError as error:
        return {}, [str(error)]
    return {task.run_key: submission.created_at for submission in found for task in submission.tasks}, []


def _with_queue(lines: Sequence[StatusLine], queued: Sequence[TaskState], *, add: bool) -> list[StatusLine]:
    """Return the lines with the state of jobs in the queue that have not begun their runs.

    Args:
        lines: The lines of runs or jobs.
        queued: The jobs in the queue.
        add: Whether jobs without a line get one.

    """
    waiting = {state.task.run_key: state for state in queued if state.job and state.task.run_key}
    found = []
    for line in lines:
        state = waiting.pop(line.key, None)
        begun = line.state in ("done", "running") or state is None
        found.append(line if begun or state is None else replace(line, state=PENDING, detail=_queue_detail(state)))
    for key, state in waiting.items() if add else ():
        task = without_sweep_keys(state.task.overrides)
        line = StatusLine(state=PENDING, key=key, name=" ".join(task), overrides=tuple(task))
        found.append(replace(line, detail=_queue_detail(state)))
    return found


def _queue_detail(state: TaskState) -> str:
    """Return the number of a job in Slurm and why it does not run."""
    assert state.job is not None
    reason = state.job.reason if state.job.state == "PENDING" else f"{state.job.state.lower()}, the run begins"
    return f"Slurm job {state.job.job_id}" + (f": {reason}" if reason else "")


def status_rows(found: Status, directory: Path, *, times: bool = True) -> list[str]:
    """Return the lines to print.

    Args:
        found: The state of runs or jobs.
        directory: The directory of outputs.
        times: Whether the elapsed time of running ones is shown.

    Returns:
        A line for each run or job, their number by state, and the number of other runs.

    """
    from alchemist_exp.results.runs import RunState

    state_width = max((len(line.state) for line in found.lines), default=0) + 2
    width = max((len(line.name) for line in found.lines), default=0)
    rows = []
    for line in found.lines:
        elapsed = f"for {_duration(line.started_at, utc_now())}" if line.state == RunState.RUNNING and times else ""
        waited, ran = "", ""  # of a job of Slurm
        if line.submitted_at and line.started_at >= line.submitted_at:
            waited = f"queued {_duration(line.submitted_at, line.started_at)}"
            ran = f"ran {_duration(line.started_at, line.finished_at)}" if line.finished_at else ""
        cells = (
            f"{line.state:<{max(9, state_width)}}{line.key[:SHOWN_KEY_DIGITS]:<14}",
            f"{line.name:<{width}}",
            f"{line.started_at[:19].replace('T', ' '):<19}",
            ", ".join(filter(None, [elapsed, waited, ran, line.detail])),
        )
        rows.append("  ".join(map(single_line, cells)).rstrip())
    states = (*RunState, PENDING, MISSING)
    rows.append(", ".join(f"{found.counts[state]:,} {state}" for state in states if found.counts[state]) or "no runs")
    if found.n_others:
        number = "1 other run is" if found.n_others == 1 else f"{found.n_others:,} other runs are"
        where = single_line(str(directory))
        rows.append(f"{number} in {where}, with other settings, data or another version of the program")
    return rows


def _duration(start: str, end: str) -> str:
    """Return the time between two times of records, as minutes:seconds or hours:minutes:seconds."""
    try:
        seconds = max(0, round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()))
    except (TypeError, ValueError):
        return "?"
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
