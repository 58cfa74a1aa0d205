"""Records of what was given to sbatch: one small JSON file per array, in the directory `sweeps` of the outputs.

The file is written before sbatch is called and completed after it. The name of the jobs in Slurm is in the file from
the beginning, so that a submission whose process was killed in between is found by that name, and is not repeated.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import StoreError
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.slurm import QueuedJob

DIRECTORY = "sweeps"


@dataclass(frozen=True, kw_only=True)
class SubmittedJob:
    """One job of a submission.

    Attributes:
        run_key: The key of its run; "" where it could not be computed.
        overrides: Its overrides.

    """

    run_key: str
    overrides: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One call of sbatch: a job or an array of jobs.

    Attributes:
        sweep: The sweep that it belongs to; the same text for all arrays of a sweep.
        name: The name of its jobs in Slurm; no other submission has it.
        created_at: The time before sbatch was called, ISO 8601 in UTC.
        job_id: The number that sbatch has returned; "" where that is not known.
        ended: Whether all of its jobs are known to have ended.
        tasks: Its jobs, in the order of their indices.

    """

    sweep: str
    name: str
    created_at: str
    tasks: tuple[SubmittedJob, ...]
    job_id: str = ""
    ended: bool = False

    def write(self, outputs: Path) -> None:
        """Write the record.

        Args:
            outputs: The directory of outputs.

        """
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_bytes(outputs / DIRECTORY / f"{self.name}.json", f"{text}\n".encode())


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """What Slurm says of one task of a submission.

    Attributes:
        submission: The submission.
        index: The index of the task in it.
        job: The job in Slurm; None where Slurm knows none.

    """

    submission: Submission
    index: int
    job: QueuedJob | None

    @property
    def task(self) -> SubmittedJob:
        """The task of the array."""
        return self.submission.tasks[self.index]

    @property
    def active(self) -> bool:
        """Whether it is waiting or running."""
        return self.job is not None and self.job.active


def new_submission(sweep: str, tasks: Sequence[SubmittedJob], outputs: Path) -> Submission:
    """Record that tasks are about to be submitted.

    Args:
        sweep: The sweep that they belong to.
        tasks: The tasks.
        outputs: The directory of outputs.

    Returns:
        The submission, with a name in Slurm that begins with the run key of its first task.

    """
    name = f"alchemist-{tasks[0].run_key[:12] or 'job'}-{secrets.token_hex(4)}"
    submission = Submission(
        sweep=sweep, name=name, created_at=datetime.now(UTC).isoformat(timespec="seconds"), tasks=tuple(tasks)
    )
    submission.write(outputs)
    return submission


def read_submissions(outputs: Path) -> list[Submission]:
    """Read the records of an outputs directory.

    Args:
        outputs: The directory of outputs.

    Returns:
        The submissions, the oldest first.

    Raises:
        StoreError: A record cannot be read.

    """
    found = []
    for path in sorted((outputs / DIRECTORY).glob("*.json")):
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            tasks = [
                SubmittedJob(run_key=task["run_key"], overrides=tuple(task["overrides"]))
                for task in values.pop("tasks")
            ]
            found.append(Submission(tasks=tuple(tasks), **values))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is not the record of a submission ({type(error).__name__}).") from error
    return sorted(found, key=lambda submission: submission.created_at)


def states(submissions: Sequence[Submission]) -> list[TaskState]:
    """Ask Slurm for the state of every task.

    Args:
        submissions: The submissions.

    Returns:
        A state for each task. A task of a submission that never reached Slurm, or which Slurm has forgotten, has no
        job.

    Raises:
        SlurmError: Slurm gives no answer, so nothing is known.

    """
    if not submissions:
        return []
    first = datetime.fromisoformat(min(submission.created_at for submission in submissions))
    # The clock of Slurm's machine may differ.
    since = (first - timedelta(hours=1)).astimezone().replace(tzinfo=None).isoformat(timespec="seconds")
    jobs = slurm.find_jobs([submission.name for submission in submissions], since=since)
    found = []
    for submission in submissions:
        of_submission = jobs[submission.name]
        by_index: Mapping[int, QueuedJob] = {job.index: job for job in of_submission}
        complete = submission
        if of_submission and not submission.job_id:  # it was found by its name
            complete = replace(submission, job_id=of_submission[0].job_id.partition("_")[0])
        indices = range(len(submission.tasks))
        found += [TaskState(submission=complete, index=index, job=by_index.get(index)) for index in indices]
    return found


def active_states(outputs: Path) -> list[TaskState]:
    """Return the tasks that are waiting or running, and remember submissions that have ended.

    Args:
        outputs: The directory of outputs.

    Returns:
        The tasks.

    Raises:
        SlurmError: Slurm gives no answer, so nothing is known.
        StoreError: A record cannot be read.

    """
    found = states([submission for submission in read_submissions(outputs) if not submission.ended])
    active = [state for state in found if state.active]
    names = {state.submission.name for state in active}
    for submission in {state.submission.name: state.submission for state in found}.values():
        # Without a job number, sbatch may be at work on it in another process, so it does not count as ended.
        if submission.name not in names and submission.job_id:
            with suppress(StoreError):
                replace(submission, ended=True).write(outputs)
    return active
