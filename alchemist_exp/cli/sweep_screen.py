"""The screen of a sweep: two lines for each job, then a table over the jobs and the command that compares them.

Hydra calls `SweepScreen` (conf/config.yaml, hydra.callbacks), and so does `sweeps.sweep`. With a launcher that runs
jobs in other processes, each process prints the lines of its jobs.
"""

import logging
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.conf import HydraConf
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.text import Text

from alchemist_exp import plugins
from alchemist_exp.cli.sweep_report import FinishedJob, compare_command, duration, job_name, job_notes, job_table
from alchemist_exp.config_errors import sentence
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.console import headline
from alchemist_exp.results.layout import heading, new_console
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.sweeps.fail_fast import NotStartedError, stopped
from alchemist_exp.sweeps.outcome import JobOutcome, SearchResult
from alchemist_exp.sweeps.overrides import SECTION
from alchemist_exp.tracking.wandb_run import OFFLINE_RUNS, offline_files

SHOWN_JOBS = 40
"""Rows of the table; `alchemist compare` has the others."""


_LAUNCHER_LOG = logging.getLogger("hydra._internal.core_plugins.basic_launcher")
"""Names each job too; quiet while the screen does."""


class SweepScreen(Callback):
    """Prints the jobs of a sweep while they run, and what came of them at the end; of a single run nothing.

    It is a `sweeps.outcome.SweepListener`.

    Attributes:
        current: The sweep that this process runs, or has run; None where there is none.

    """

    current: ClassVar["SweepScreen | None"] = None

    def __init__(self) -> None:
        """Begin without any job; Hydra makes one screen in each process."""
        self._finished: dict[int, FinishedJob] = {}
        self._jobs: list[dict[str, str]] = []
        self._outputs = ""
        self._experiment = ""
        self._began = 0.0
        self._searched: tuple[str, ...] = ()
        self._n_trials = 0
        self._search: SearchResult | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a process of a launcher needs: the jobs, and not the records."""
        return {**vars(self), "_finished": {}}

    @property
    def finished(self) -> list[FinishedJob]:
        """The jobs of which something is known, in their order."""
        return [self._finished[number] for number in sorted(self._finished)]

    @property
    def incomplete(self) -> bool:
        """Whether a job has failed or was not started."""
        return any(job.result is None for job in self._finished.values())

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the sweep.

        Args:
            config: The composed configuration of the sweep.
            **kwargs: Not used.

        """
        self._outputs = str(config.paths.outputs)
        self._experiment = str(config.hydra.runtime.choices.get("experiment", ""))
        _LAUNCHER_LOG.setLevel(logging.WARNING)
        SweepScreen.current = self

    def on_jobs_listed(self, jobs: Sequence[Mapping[str, str]], notes: Sequence[str]) -> None:
        """Remember the jobs.

        Args:
            jobs: The overrides of each job by their keys.
            notes: What the user should know of the list; printed.

        """
        self._jobs = [_without_sweep_keys(job) for job in jobs]
        for note in notes:
            _print(Text(f"! {single_line(note)}", style="yellow"))

    def on_search_start(self, keys: Sequence[str], n_trials: int) -> None:
        """Remember that the jobs are the trials of a search: they show scores on valid only.

        Args:
            keys: The keys whose values are searched.
            n_trials: The number of trials.

        """
        self._searched, self._n_trials = tuple(keys), n_trials

    def on_search_end(self, result: SearchResult) -> None:
        """Remember what a search has found.

        Args:
            result: The scores of the trials.

        """
        self._search = result

    def on_job_found(self, outcome: JobOutcome) -> None:
        """Print the line of a job that has a finished run.

        Args:
            outcome: The job and its run.

        """
        self._began = self._began or time.monotonic()
        job = self._add(outcome)
        if job.result:
            key = job.result.record.run_key[:SHOWN_KEY_DIGITS]
            _print(Text.assemble(*self._title(job.number, job.values), f"  finished before; run {key}"))

    def on_sweep_end(self, outcomes: Sequence[JobOutcome]) -> None:
        """Remember the jobs that ended in other processes, or were not started.

        Args:
            outcomes: What came of every job.

        """
        if any(outcome.started for outcome in outcomes):
            self._began = self._began or time.monotonic()  # the jobs began in other processes
        for outcome in outcomes:
            known = self._finished.get(outcome.number)
            if known is None or (known.result is None and outcome.result):
                self._add(outcome)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the first line of a job.

        Args:
            config: The job's configuration.
            **kwargs: Not used.

        """
        self._began = time.monotonic()
        if config.hydra.mode is not RunMode.MULTIRUN:
            return
        # A job after another one's failure is not started.
        if config.sweep.fail_fast and stopped(Path(config.hydra.sweep.dir)):
            return
        # The jobs that have not begun and the one that begins; nothing is known before the first has run.
        made = [job.seconds for job in self._finished.values() if job.result and not job.result.reused]
        left = sum(made) / len(made) * (self._n_jobs - len(self._finished)) if made and self._jobs else 0.0
        title = self._title(self._number(config), self._values(config))
        _print(Text.assemble(*title, (f"  about {duration(left)} left" if left else "", "dim")))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Print the second line of a job: its scores, or why it failed.

        Args:
            config: The job's configuration.
            job_return: Its result or its error.
            **kwargs: Not used.

        """
        returned, done = job_return._return_value, job_return.status is JobStatus.COMPLETED
        if config.hydra.mode is not RunMode.MULTIRUN or isinstance(returned, NotStartedError):
            return
        job = FinishedJob(
            number=self._number(config),
            values=self._values(config),
            result=returned if done else None,
            error="" if done else single_line(sentence(returned)),
            started=True,
            logger=str(config.logger.name),
            seconds=time.monotonic() - self._began,
        )
        self._finished[job.number] = job
        # Lines of several processes alternate, so each one names its job.
        before = "" if SweepScreen.current is self else f"{self._position(job.number)}  {job_name(job.values)}: "
        if job.result is None:
            # On a terminal, the error is already there: it goes to standard error.
            if not sys.stdout.isatty():
                _print(Text(f"   {before}failed: {job.error}"))
            return
        score, *others = headline(job.result.record, self._splits).items()
        scores = f"{score[1]}: " + ", ".join(f"{name} {value}" for name, value in others)
        how = "loaded from the existing record" if job.result.reused else f"{job.seconds:.1f} s"
        _print(Text(f"   {before}{scores}; {how}; run {job.result.record.run_key[:SHOWN_KEY_DIGITS]}"))

    def close(self) -> None:
        """Print the table over the jobs, why jobs failed, and what to do next; nothing before the first job has begun.

        Also for a sweep that was interrupted.
        """
        _LAUNCHER_LOG.setLevel(logging.NOTSET)
        if not self._began:
            return
        finished = self.finished
        done, failed = [job for job in finished if job.result], [job for job in finished if job.failed]
        n_not_started = sum(not job.started and job.result is None for job in finished)
        counts = [f"{len(failed)} failed"] * bool(failed) + [f"{n_not_started} not started"] * bool(n_not_started)
        _print(heading(f"{len(done)} of {self._n_jobs} jobs are done", ", ".join(counts)))
        if scores := self._search.scores if self._search else {}:
            done = sorted(done, key=lambda job: scores.get(job.number, -1.0), reverse=True)
        if done:
            _print(job_table(done[:SHOWN_JOBS], self._splits))
        if len(done) > SHOWN_JOBS:
            _print(Text(f"and {len(done) - SHOWN_JOBS} more", style="dim"))
        for text, count in job_notes(done):
            _print(Text(f"! {text}" + (f" ({count} jobs)" if count > 1 else ""), style="yellow"))
        for error in dict.fromkeys(job.error for job in failed):
            names = "; ".join(job_name(job.values) for job in failed if job.error == error)
            _print(Text(f"failed    {names}: {error}", style="red"))
        for line in self._search_lines():
            _print(Text(line))
        if (left := self._n_jobs - len(done)) > 0:
            what = f"{left} jobs are" if left > 1 else "one job is"
            _print(Text(f"continue  the same command again; {what} left, finished runs are loaded"))
        if done and not self._n_trials:  # a comparison would show scores on test
            _print(Text(f"compare   {compare_command(self._jobs, self._outputs, self._experiment)}"))
        made = [job.result for job in done if job.result and not job.result.reused]
        if any(offline_files(result.directory) for result in made):
            _print(Text(f"upload    wandb sync {shlex.quote(self._outputs)}/runs/*/{OFFLINE_RUNS}"))

    def _add(self, outcome: JobOutcome) -> FinishedJob:
        """Remember what came of a job that this process has not run."""
        seconds = outcome.result.record.seconds.get("total", 0.0) if outcome.result else 0.0
        values = self._jobs[outcome.number - 1]
        job = FinishedJob(
            number=outcome.number,
            values=self._differing(values),
            result=outcome.result,
            error=outcome.error,
            started=outcome.started,
            logger=outcome.logger,
            seconds=float(seconds),
        )
        self._finished[job.number] = job
        return job

    @property
    def _n_jobs(self) -> int:
        """The number of jobs; in a search, those that are not listed yet are included."""
        return max(len(self._jobs), self._n_trials)

    @property
    def _splits(self) -> tuple[str, ...]:
        """The splits whose scores are shown; a search shows none of test, which must not choose values."""
        return ("valid",) if self._n_trials else ("test", "valid")

    def _search_lines(self) -> list[str]:
        """Return what a search has found, and the command of the best run."""
        if self._search is None or self._search.best is None:
            return []
        best = self._finished[self._search.best]
        assert best.result is not None
        own = plugins.directory()
        options = [] if own is None else ["--config-dir", str(own)]
        how = headline(best.result.record, self._splits)["score"]
        return [
            f"best      {job_name(best.values)}: {how} {self._search.scores[best.number]:.3f}, the highest of "
            f"{len(self._search.scores)}; gold labels of valid were used for this choice",
            f"repeat    {shlex.join(['alchemist', 'run', *options, *self._search.overrides])}",
        ]

    def _number(self, config: DictConfig) -> int:
        """Return the number of a job in the sweep; Hydra counts only the jobs that the launcher got."""
        values = _without_sweep_keys(dict(map(_split, config.hydra.overrides.task)))
        return self._jobs.index(values) + 1 if values in self._jobs else int(config.hydra.job.num) + 1

    def _position(self, number: int) -> str:
        return f"{number} of {self._n_jobs}" if self._jobs else f"job {number}"

    def _title(self, number: int, values: Mapping[str, str]) -> list[Any]:
        """Return the parts of the first line of a job."""
        return [(self._position(number), "bold cyan"), "  ", (job_name(values), "bold")]

    def _values(self, config: DictConfig) -> dict[str, str]:
        """Return the overrides of a job that differ between jobs, all of them where none does."""
        return self._differing(_without_sweep_keys(dict(map(_split, config.hydra.overrides.task))))

    def _differing(self, values: dict[str, str]) -> dict[str, str]:
        if self._searched:
            return {key: values[key] for key in self._searched if key in values}
        differ = {key: value for key, value in values.items() if len({job.get(key) for job in self._jobs}) > 1}
        return differ or values


def sweep_name(hydra: HydraConf) -> str:
    """Return the name of the sweep that the current job belongs to.

    Args:
        hydra: Hydra's own configuration of the job.

    Returns:
        The experiment, if there is one, and the name of the sweep's directory, which is a time; "" for a single run.

    """
    if hydra.mode is not RunMode.MULTIRUN:
        return ""
    return f"{hydra.runtime.choices.get('experiment', 'sweep')} {Path(hydra.sweep.dir).name}"


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _without_sweep_keys(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if not key.startswith(SECTION)}


def _print(shown: Any) -> None:
    # A terminal that wraps a command itself lets it be copied as one line.
    new_console().print(shown, soft_wrap=isinstance(shown, Text))
