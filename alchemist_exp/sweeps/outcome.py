"""What came of the jobs of a sweep, and where a screen is notified of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.results.record import RunResult

TIME_LIMIT: Final = "it reached the time limit of {} min (hydra.launcher.time_min)"
"""The reason of a `JobEndedError`."""


class JobEndedError(AlchemistError):
    """A job has ended without a result: it was cancelled, or its process was killed."""


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What came of one job.

    Attributes:
        number: The number of the job in the sweep, from 1.
        result: Its finished run; None for a job without one.
        error: Why there is no finished run, one sentence; "" for a finished one.
        started: Whether the job was started in this sweep.
        logger: The configured logger.

    """

    number: int
    result: RunResult | None
    error: str
    started: bool
    logger: str


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search has found.

    Attributes:
        n_trials: How many trials have ended; equal values are one job.
        scores: The score on valid of each job that has one, by its number.
        best: The number of the job with the highest score; None without scores.
        overrides: The overrides of that job.

    """

    n_trials: int
    scores: Mapping[int, float]
    best: int | None
    overrides: tuple[str, ...]


class SweepListener(Protocol):
    """A Hydra callback that is notified of a sweep by `run_sweep`; the methods of Hydra's callbacks are called too."""

    def on_jobs_listed(self, jobs: Sequence[Mapping[str, str]], notes: Sequence[str]) -> None:
        """Receive the overrides of each job by their keys, and notes on the list."""

    def on_search_start(self, keys: Sequence[str], n_trials: int) -> None:
        """Receive the keys whose values a search chooses, and the number of its trials; its jobs are listed later."""

    def on_job_found(self, outcome: JobOutcome) -> None:
        """Receive a job that has a finished run, and which the launcher does not get."""

    def on_sweep_end(self, outcomes: Sequence[JobOutcome]) -> None:
        """Receive what came of every job, in their order, also after an interruption."""

    def on_search_end(self, result: SearchResult) -> None:
        """Receive what a search has found, also after an interruption; `on_sweep_end` follows."""
