"""Waits for jobs in Slurm, and finds out what came of them.

submitit would ask Slurm at intervals of up to ten minutes, and stop at the first job that has ended without a result.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hydra.core.utils import JobReturn, JobStatus

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import RunRecord, RunStatus
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.outcome import TIME_LIMIT, JobEndedError
from alchemist_exp.sweeps.slurm import QueuedJob, SlurmError

_GRACE_S: Final = 10.0
"""Seconds after the end of a job in which its result may still appear in a network file system."""

_UNKNOWN_S: Final = 60.0
"""Seconds after which a job that Slurm does not know has ended."""

_FIRST_POLL_S, _LAST_POLL_S = 2.0, 15.0
"""Seconds between two questions to Slurm: they become longer with the time that has passed."""


@dataclass(kw_only=True, eq=False)
class WaitingJob:
    """A job that is waited for.

    Attributes:
        overrides: Its overrides.
        name: The name of its array in Slurm.
        index: Its index in the array.
        run_directory: The directory of its run.
        submitted: The job of submitit; None for one that another process has submitted.
        queued: What Slurm has said of it last.
        gone_at: When it was first seen to have ended without a result; 0 before.

    """

    overrides: Sequence[str]
    name: str
    index: int
    run_directory: Path
    submitted: Any = None
    queued: QueuedJob | None = None
    gone_at: float = 0.0


def wait_for(jobs: Sequence[WaitingJob], time_min: int) -> list[JobReturn]:
    """Wait until every job has a result, or has ended without one.

    Args:
        jobs: The jobs.
        time_min: Their time limit in minutes, for messages.

    Returns:
        What each job has returned. A job without a result has a `JobEndedError`.

    """
    returned: dict[int, JobReturn] = {}
    began, asked_at, shown, failure = time.monotonic(), 0.0, "", ""
    while True:
        left = {position: job for position, job in enumerate(jobs) if position not in returned}
        now = time.monotonic()
        for position, job in left.items():
            # How long a result is waited for after the end of a job; one that Slurm has ended has none.
            has_ended = job.queued is not None and job.queued.state in ("COMPLETED", "FAILED")
            grace_s = _UNKNOWN_S if job.queued is None else _GRACE_S if has_ended else 0.0
            # The file of the result counts, whatever Slurm says of the job; to look for it needs no call of Slurm.
            if job.submitted is not None and job.submitted.paths.result_pickle.exists():
                returned[position] = result_of(job.submitted, job.overrides)
            elif job.gone_at and (now - job.gone_at >= grace_s or (job.submitted is None and _finished(job))):
                returned[position] = lost(job.overrides, _why(job, time_min))
        if len(returned) == len(jobs):
            return [returned[position] for position in range(len(jobs))]
        # All users share the controller of Slurm, so a long wait asks it less often.
        if now - asked_at > min(_LAST_POLL_S, _FIRST_POLL_S + (now - began) / 20):
            try:
                _ask([job for position, job in enumerate(jobs) if position not in returned])
                failure = ""
            except SlurmError as error:
                if str(error) != failure:
                    failure = str(error)
                    say(f"{failure} Waiting goes on.")
            asked_at = time.monotonic()
            shown = _say_counts(jobs, returned, shown)
        time.sleep(0.5)


def _finished(job: WaitingJob) -> bool:
    """Return whether the run of a job that another process has submitted has finished."""
    try:
        record = RunRecord.read_current(job.run_directory)
    except StoreError:
        return False
    return record is not None and record.status is RunStatus.FINISHED


def _ask(jobs: Sequence[WaitingJob]) -> None:
    """Ask Slurm for the state of jobs; sacct only where squeue shows that one of them has ended."""
    names = {job.name: None for job in jobs}
    # squeue forgets a job soon after its end; only sacct, which asks the database of Slurm, knows how it ended.
    for ended in (False, True):
        found = slurm.find_jobs(names, since="now-7days", ended=ended)
        for job in jobs:
            job.queued = next((one for one in found[job.name] if one.index == job.index), job.queued if ended else None)
        if all(job.queued and job.queued.active for job in jobs):
            break
    for job in jobs:
        active = job.queued is not None and job.queued.active
        # The first time counts for the grace period; a job that is in the queue again has not ended.
        job.gone_at = 0.0 if active else job.gone_at or time.monotonic()


def _say_counts(jobs: Sequence[WaitingJob], returned: Mapping[int, JobReturn], shown: str) -> str:
    """Print how many jobs have ended, run and wait, if that has changed."""
    counts: Counter[str] = Counter()
    for position, job in enumerate(jobs):
        if position in returned or job.queued is None or not job.queued.active:
            continue
        reason = f" ({job.queued.reason})" if job.queued.state == "PENDING" and job.queued.reason else ""
        counts[job.queued.state.lower() + reason] += 1
    ended = len(jobs) - counts.total()
    text = ", ".join([f"{ended} of {n_jobs(len(jobs))} ended", *(f"{n} {word}" for word, n in counts.items())])
    if text != shown:
        say(text)
    return text


def result_of(job: Any, overrides: Sequence[str]) -> JobReturn:
    """Return what a job of submitit has returned.

    Args:
        job: The job of submitit; its result exists.
        overrides: Its overrides.

    Returns:
        Its result; a `JobEndedError` if it has raised an error instead of returning it.

    """
    try:
        result = job.results()[0]
    except Exception as error:  # noqa: BLE001 - the job has raised it, in another process
        reason = next((line for line in reversed(str(error).splitlines()) if ": " in line and "  - " not in line), "")
        return lost(overrides, f"the job has failed ({single_line(reason)}); see {job.paths.stderr}")
    assert isinstance(result, JobReturn)
    return result


def lost(overrides: Sequence[str], reason: str) -> JobReturn:
    """Return the failure of a job that has no result.

    Args:
        overrides: Its overrides.
        reason: Why it has none, one sentence.

    """
    return JobReturn(overrides=[*overrides], status=JobStatus.FAILED, _return_value=JobEndedError(reason))


def _why(job: WaitingJob, time_min: int) -> str:
    """Return why a job has ended, by its state in Slurm."""
    if job.queued is None:
        return "Slurm does not know the job; its controller may have lost it"
    state = job.queued.state
    texts = {
        "CANCELLED": "it was cancelled",
        "TIMEOUT": TIME_LIMIT.format(time_min),
        "DEADLINE": "it reached its deadline",
        "OUT_OF_MEMORY": "it used more memory than it may (hydra.launcher.memory_gb)",
        "NODE_FAIL": "its node has failed",
        "PREEMPTED": "it was preempted",
        "COMPLETED": "it has ended without a result",
    }
    log = f"; see {job.submitted.paths.stderr}" if job.submitted is not None else ""
    return f"{texts.get(state, 'it has ended with an error')} (Slurm job {job.queued.job_id}: {state}){log}"


def n_jobs(number: int) -> str:
    """Return a number of jobs as text, such as "1 job" or "1,000 jobs"."""
    return f"{number:,} job{'s' * (number != 1)}"


def say(text: str) -> None:
    """Print one line to standard error."""
    print(single_line(text), file=sys.stderr, flush=True)
