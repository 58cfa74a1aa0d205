"""The function that a job of submitit calls: it composes the job, runs it, and handles the signals of Slurm."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

from alchemist_exp.core.errors import Terminated, TimeLimitReached
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.fail_fast import stop_jobs
from alchemist_exp.sweeps.outcome import TIME_LIMIT, JobEndedError
from alchemist_exp.sweeps.slurm import SlurmError


class JobFunction(BaseSubmititLauncher):  # type: ignore[misc]  # it has no types
    """Compose and run one job.

    Args:
        time_min: The time limit in minutes.
        requeues: How many times a job that reached its time limit goes back into the queue.

    """

    def __init__(self, *, time_min: int, requeues: int = 0) -> None:
        """Remember the time limit, which decides when the job goes back into the queue."""
        super().__init__()
        self._time_min = time_min
        self._requeues = requeues

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run the job.

        Args:
            *arguments: Those of `BaseSubmititLauncher`: the overrides, then what Hydra needs.

        Returns:
            What the job has returned; a `JobEndedError` after its time limit.

        """
        # submitit ignores SIGTERM, so that Slurm would kill a cancelled job before its record says why. At SIGUSR2 it
        # raises an Exception, which the code of a stage may catch.
        signal.signal(signal.SIGTERM, _raise_terminated)
        signal.signal(signal.SIGUSR2, _raise_time_limit)
        try:
            returned: JobReturn = super().__call__(*arguments)
            return returned
        except TimeLimitReached:
            reason = TIME_LIMIT.format(self._time_min) + self._requeue()
            if self.config.sweep.fail_fast:
                stop_jobs(Path(str(self.config.hydra.sweep.dir)))
            return JobReturn(overrides=arguments[0], status=JobStatus.FAILED, _return_value=JobEndedError(reason))
        finally:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the result is written now

    def _requeue(self) -> str:
        """Put the job back into the queue and end this process; return "" or why not, as a part of a sentence."""
        # Slurm sets the variable to the number of earlier requeues, and only in jobs that have been in the queue again.
        if int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= self._requeues:
            return ""
        try:
            slurm.run(["scontrol", "requeue", submitit.JobEnvironment().job_id])
        except SlurmError as error:
            return f", and it could not go back into the queue ({error})"
        sys.exit("the job goes back into the queue after its time limit")


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    """Raise in the main thread, so that the record says that the run was terminated."""
    raise Terminated


def _raise_time_limit(_signal: int, _frame: FrameType | None) -> None:
    """Raise in the main thread, so that the record says that the time limit was reached."""
    raise TimeLimitReached
