"""What comes of the jobs of a sweep: finished runs found before, results of a launcher, and records.

The record of a run says what came of a job, also where a launcher runs jobs in other processes and fails itself.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext

from alchemist_exp.config_errors import sentence
from alchemist_exp.core.errors import AlchemistError, StoreError
from alchemist_exp.core.locks import close_locked, try_open_locked
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import RunRecord, RunResult, RunStatus, utc_now
from alchemist_exp.sweeps.fail_fast import NOT_STARTED, NotStartedError
from alchemist_exp.sweeps.job_list import SweepJob
from alchemist_exp.sweeps.outcome import JobEndedError, JobOutcome, SweepListener
from alchemist_exp.sweeps.overrides import key_of_override
from alchemist_exp.sweeps.run_keys import RunKeys, refuse_missing_packages

_ENDING_S: Final = 3.0
"""Seconds in which the processes of a launcher end after an interruption."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Where the run of a job is, and its lock."""

    directory: Path
    runs_again: bool

    @property
    def lock(self) -> Path:
        """The lock that a process holds while it makes the run."""
        return self.directory.parent / ".locks" / f"{self.directory.name}.lock"


class SweepOutcomes:
    """The outcomes of the jobs of a sweep, and the listeners that are notified of them.

    Attributes:
        listeners: The callbacks of Hydra that are a `SweepListener`.

    """

    def __init__(self, context: HydraContext) -> None:
        """Find the listeners among the callbacks of Hydra."""
        self._jobs: list[SweepJob] = []
        self._keys = RunKeys()
        self._began = utc_now()
        self._outcomes: dict[int, JobOutcome] = {}
        self.listeners: list[SweepListener] = [
            callback for callback in context.callbacks.callbacks if hasattr(callback, "on_jobs_listed")
        ]

    def add_jobs(self, jobs: Sequence[SweepJob], notes: Sequence[str] = ()) -> None:
        """Add jobs, and notify the listeners of all jobs.

        Args:
            jobs: Jobs whose numbers follow those that were added before.
            notes: What the user should know of the list.

        """
        self._jobs += jobs
        values = [{key_of_override(text): text.partition("=")[2] for text in job.overrides} for job in self._jobs]
        for listener in self.listeners:
            listener.on_jobs_listed(values, notes)
        if not self.listeners:
            for note in notes:
                print(f"note: {single_line(note)}", file=sys.stderr)

    def find_finished(self) -> None:
        """Look for the finished run of each job of which nothing is known yet."""
        for job in self.without_outcome():
            # The job itself fails with the same error, and shows it.
            run = self._run_of(job)
            if run is None or run.runs_again or (record := _read(run.directory)) is None:
                continue
            if record.status is RunStatus.FINISHED:
                found = RunResult(record=record, directory=run.directory, reused=True)
                outcome = self._add(job, result=found, started=False)
                for listener in self.listeners:
                    listener.on_job_found(outcome)

    def outcome_of(self, job: SweepJob) -> JobOutcome | None:
        """Return what came of a job; None where nothing is known yet.

        Args:
            job: A job that was added.

        """
        return self._outcomes.get(job.number)

    def without_outcome(self) -> list[SweepJob]:
        """Return the jobs of which nothing is known yet."""
        return [job for job in self._jobs if job.number not in self._outcomes]

    def refuse_missing_packages(self) -> None:
        """Refuse the sweep, for any launcher, if the package of an extra is missing that one of the jobs needs."""
        jobs = self.without_outcome()
        refuse_missing_packages(text for job in jobs for text in self._keys.missing_packages(job.config, job.overrides))

    def run_keys(self, jobs: Sequence[SweepJob]) -> dict[tuple[str, ...], str]:
        """Return the run key of each job by its overrides, where it can be computed."""
        runs = {job.overrides: self._run_of(job) for job in jobs}
        return {overrides: run.directory.name for overrides, run in runs.items() if run is not None}

    def add_returned(self, job: SweepJob, returned: JobReturn) -> None:
        """Remember what a launcher returned for a job."""
        value = returned._return_value
        if returned.status is JobStatus.COMPLETED and isinstance(value, RunResult):
            self._add(job, result=value)
        elif isinstance(value, NotStartedError):
            self._add(job, error=NOT_STARTED, started=False)
        elif isinstance(value, JobEndedError) and self._add_finished(job):
            pass  # another process has made the run
        elif isinstance(value, Exception):
            self._add(job, error=single_line(sentence(value)))
        elif returned.status is JobStatus.COMPLETED:
            self._add(job)  # a task that makes no run
        else:
            self._add_recorded(job)

    def mark_interrupted(self, word: str) -> None:
        """Complete the records of runs whose processes the launcher has ended before they could write them.

        Args:
            word: The error of an interrupted run.

        """
        deadline = time.monotonic() + _ENDING_S
        for job in self.without_outcome():
            run = self._run_of(job)
            if run is None or not self._has_begun(_read(run.directory)):
                continue
            # A process holds the lock of its run until it has written the record; after that it is ours to complete.
            while (lock := try_open_locked(run.lock)) is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if lock is None:
                continue  # its process goes on, as those of a cluster do
            try:
                record = _read(run.directory)
                if record is not None and record.status is RunStatus.STARTED:
                    record.end(RunStatus.FAILED, word)
                    record.write(run.directory)
            finally:
                close_locked(lock)

    def _has_begun(self, record: RunRecord | None) -> bool:
        """Return whether a run was started since this sweep began."""
        return record is not None and record.started_at >= self._began

    def tell_end(self) -> None:
        """Notify the listeners of all outcomes; where a launcher returned nothing, the records have them."""
        for job in self.without_outcome():
            self._add_recorded(job)
        outcomes = [self._outcomes[job.number] for job in self._jobs]
        for listener in self.listeners:
            listener.on_sweep_end(outcomes)

    def _add_finished(self, job: SweepJob) -> bool:
        """Add the finished run of a job; return whether there is one."""
        run = self._run_of(job)
        record = None if run is None or run.runs_again else _read(run.directory)
        if run is None or record is None or record.status is not RunStatus.FINISHED:
            return False
        begun = self._has_begun(record)
        self._add(job, result=RunResult(record=record, directory=run.directory, reused=not begun), started=begun)
        return True

    def _add_recorded(self, job: SweepJob) -> None:
        """Add the outcome that the record of a job's run has."""
        run = self._run_of(job)
        record = None if run is None else _read(run.directory)
        begun = self._has_begun(record)
        if run is None or record is None:
            self._add(job, error=NOT_STARTED, started=False)
        elif record.status is RunStatus.FINISHED and (begun or not run.runs_again):
            result = RunResult(record=record, directory=run.directory, reused=not begun)
            self._add(job, result=result, started=begun)
        elif begun:
            self._add(job, error=record.error or "its process has ended, or goes on, without a result")
        else:
            self._add(job, error=NOT_STARTED, started=False)

    def _add(
        self, job: SweepJob, *, result: RunResult | None = None, error: str = "", started: bool = True
    ) -> JobOutcome:
        outcome = JobOutcome(
            number=job.number, result=result, error=error, started=started, logger=str(job.config.logger.name)
        )
        self._outcomes[job.number] = outcome
        return outcome

    def _run_of(self, job: SweepJob) -> _Run | None:
        """Return the run of a job; None where its key cannot be computed."""
        try:
            experiment, key = self._keys.build(job.config, job.overrides)
        except AlchemistError:
            return None
        directory = experiment.paths.runs / key
        return _Run(directory=directory, runs_again=experiment.runs_again_after(_read(directory)))


def _read(directory: Path) -> RunRecord | None:
    """Return the record of a run; None where there is none that can be read."""
    try:
        return RunRecord.read_current(directory)
    except StoreError:
        return None  # the job fails with this error
