"""The screen of a sweep: two lines for each job, then a table over the jobs and the command that compares them.

Hydra calls `SweepScreen` (conf/config.yaml, hydra.callbacks). With a launcher that runs jobs in other processes, each
process prints the lines of its jobs, and the table has the jobs of this process only.
"""

import logging
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.text import Text

from alchemist_exp.config_errors import sentence
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.console import headline, not_logged
from alchemist_exp.results.layout import heading, new_console, new_table
from alchemist_exp.results.paper_tables import TABLES
from alchemist_exp.results.report import SHOWN_KEY_DIGITS

if TYPE_CHECKING:
    from alchemist_exp.pipeline.run import RunResult

SHOWN_JOBS = 40
"""Rows of the table; `alchemist compare` has the others."""

SHOWN_NOTES = 10

_NO_FILTERS = ("hydra", "paths", "logger", "force", "budget", "debug", "experiment")
"""Overrides that no result depends on, or that `alchemist compare` does not know."""

_LAUNCHER_LOG = logging.getLogger("hydra._internal.core_plugins.basic_launcher")
"""Names each job too; quiet while the screen does."""


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """What is shown of a job.

    Attributes:
        values: Its overrides by key, those that differ between the jobs.
        result: Its run; None for a job that failed.
        error: Why it failed, one sentence; "" for a finished one.
        logger: The configured logger.
        seconds: How long it took.

    """

    values: Mapping[str, str]
    result: "RunResult | None"
    error: str
    logger: str
    seconds: float


class SweepScreen(Callback):
    """Prints the jobs of a sweep while they run, and what came of them at the end; of a single run nothing.

    Attributes:
        current: The sweep that this process runs, or has run; None where there is none.

    """

    current: ClassVar["SweepScreen | None"] = None

    def __init__(self) -> None:
        self.finished: list[FinishedJob] = []
        self._jobs: list[dict[str, str]] = []
        self._outputs = ""
        self._experiment = ""
        self._began = 0.0

    @property
    def failed(self) -> list[FinishedJob]:
        """The jobs that ended with an error."""
        return [job for job in self.finished if not job.result]

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the jobs of the sweep.

        Args:
            config: The composed configuration of the sweep.
            **kwargs: Not used.

        """
        self._jobs = jobs_of(config)
        self._outputs = str(config.paths.outputs)
        self._experiment = str(config.hydra.runtime.choices.get("experiment", ""))
        _LAUNCHER_LOG.setLevel(logging.WARNING)
        SweepScreen.current = self

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the first line of a job.

        Args:
            config: The job's configuration.
            **kwargs: Not used.

        """
        self._began = time.monotonic()
        if config.hydra.mode is RunMode.MULTIRUN:
            number = config.hydra.job.num + 1
            position = f"{number} of {len(self._jobs)}" if self._jobs else f"job {number}"
            left = self._seconds_left()
            _print(
                Text.assemble(
                    (position, "bold cyan"),
                    "  ",
                    (_name(self._values(config)), "bold"),
                    (f"  about {duration(left)} left" if left else "", "dim"),
                )
            )

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Print the second line of a job: its scores, or why it failed.

        Args:
            config: The job's configuration.
            job_return: Its result or its error.
            **kwargs: Not used.

        """
        if config.hydra.mode is not RunMode.MULTIRUN:
            return
        returned, done = job_return._return_value, job_return.status is JobStatus.COMPLETED
        job = FinishedJob(
            values=self._values(config),
            result=returned if done else None,
            error="" if done else single_line(sentence(returned)),
            logger=str(config.logger.name),
            seconds=time.monotonic() - self._began,
        )
        self.finished.append(job)
        if SweepScreen.current is self:
            # Hydra would raise the first error again, after the last job; `main` ends with 1 when a job has failed.
            job_return.status = JobStatus.COMPLETED
        if job.result is None:
            # On a terminal, the error is already there: it goes to standard error.
            if not sys.stdout.isatty():
                _print(Text(f"   failed: {job.error}"))
            return
        score, *others = headline(job.result.record).items()
        scores = f"{score[1]}: " + ", ".join(f"{name} {value}" for name, value in others)
        how = "loaded from the existing record" if job.result.reused else f"{job.seconds:.1f} s"
        _print(Text(f"   {scores}; {how}; run {job.result.record.run_key[:SHOWN_KEY_DIGITS]}"))

    def close(self) -> None:
        """Print the table over the jobs, why jobs failed, and what to do next; nothing before the first job has begun.

        Also for a sweep that was interrupted.
        """
        _LAUNCHER_LOG.setLevel(logging.NOTSET)
        if not self._began:
            return
        done, failed = [job for job in self.finished if job.result], self.failed
        _print(heading(f"{len(done)} of {len(self._jobs)} jobs are done", f"{len(failed)} failed" if failed else ""))
        if done:
            _print(_table(done[:SHOWN_JOBS]))
        if len(done) > SHOWN_JOBS:
            _print(Text(f"and {len(done) - SHOWN_JOBS} more", style="dim"))
        for text, count in self._notes(done):
            _print(Text(f"! {text}" + (f" ({count} jobs)" if count > 1 else ""), style="yellow"))
        for error in dict.fromkeys(job.error for job in failed):
            names = "; ".join(_name(job.values) for job in failed if job.error == error)
            _print(Text(f"failed    {names}: {error}", style="red"))
        if (left := len(self._jobs) - len(done)) > 0:
            what = f"{left} jobs are" if left > 1 else "one job is"
            _print(Text(f"continue  the same command again; {what} left, finished runs are loaded"))
        if done:
            _print(Text(f"compare   {self._compare_command()}"))

    def _seconds_left(self) -> float:
        """Estimate the time of the jobs that have not begun and the one that begins; 0 where nothing is known."""
        made = [job.seconds for job in self.finished if job.result and not job.result.reused]
        return sum(made) / len(made) * (len(self._jobs) - len(self.finished)) if made and self._jobs else 0.0

    def _values(self, config: DictConfig) -> dict[str, str]:
        """Return the overrides of a job that differ between jobs, all of them where none does."""
        values = dict(_split(override) for override in config.hydra.overrides.task)
        differ = {key: value for key, value in values.items() if len({job.get(key) for job in self._jobs}) > 1}
        return differ or values

    def _notes(self, done: Sequence[FinishedJob]) -> list[tuple[str, int]]:
        """Return the notes and warnings of the runs, by dataset if there are several, and how many jobs have each."""
        from alchemist_exp.results.runs import dataset_name

        counts: Counter[tuple[str, str]] = Counter()
        datasets = set()
        for job in done:
            if job.result:
                record = job.result.record
                values = record.config["dataset"]
                dataset = dataset_name({"dataset": values["name"], "config.dataset.path": values.get("path")})
                datasets.add(dataset)
                texts = dict.fromkeys([*record.notes, *record.label_model["warnings"]])
                counts.update((dataset, text) for text in texts)
                counts.update([("", text)] if job.result.reused and (text := not_logged(job.logger)) else [])
        order = [*dict.fromkeys(dataset for dataset, _ in counts)]
        shown = sorted(counts.most_common(SHOWN_NOTES), key=lambda note: order.index(note[0][0]))
        notes = [(f"{dataset}: {text}" if len(datasets) > 1 and dataset else text, n) for (dataset, text), n in shown]
        more = len(counts) - SHOWN_NOTES
        return notes + ([(f"and {more} other notes, see the records", 1)] if more > 0 else [])

    def _compare_command(self) -> str:
        """Return the command that compares the runs of this sweep."""
        values: dict[str, dict[str, None]] = {}
        for job in self._jobs:
            for key, value in job.items():
                values.setdefault(key, {})[value] = None
        filters = [
            f"{key}={','.join(of_key)}"
            for key, of_key in values.items()
            if key.partition(".")[0] not in _NO_FILTERS and not any(set(value) & set("[]{}'\" ,") for value in of_key)
        ]
        table = [f"--table={self._experiment}"] if self._experiment in TABLES else []
        return shlex.join(["alchemist", "compare", self._outputs, *table, *filters])


def jobs_of(config: DictConfig) -> list[dict[str, str]]:
    """Return the jobs of a sweep as Hydra's own sweeper makes them.

    Args:
        config: The composed configuration of the sweep.

    Returns:
        The overrides of each job by their keys; empty for another sweeper, which may choose its jobs as it goes.

    """
    if not str(config.hydra.sweeper._target_).endswith("basic_sweeper.BasicSweeper"):
        return []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    # The loader has the names that glob(*) is over.
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        (jobs,) = BasicSweeper.split_arguments(
            parser.parse_overrides([*params, *config.hydra.overrides.task]), max_batch_size=None
        )
    except HydraException:
        return []  # the sweeper refuses them too, and says why
    return [dict(map(_split, job)) for job in jobs]


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


def duration(seconds: float) -> str:
    """Return a time for people.

    Args:
        seconds: Seconds, more than 0.

    Returns:
        A text such as "40 s", "3 min" or "2.5 h".

    """
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _name(values: Mapping[str, str]) -> str:
    return single_line(" ".join(f"{key}={value}" for key, value in values.items()))


def _table(jobs: Sequence[FinishedJob]) -> Any:
    """Return a row for each finished job: the values that differ, its scores, its run."""
    keys = [*dict.fromkeys(key for job in jobs for key in job.values)]
    rows = [(job, headline(job.result.record)) for job in jobs if job.result]
    table = new_table(*keys, *rows[0][1], "seconds", "run")
    for column in table.columns[: len(keys) + 1]:
        column.justify = "left"
    for job, scores in rows:
        values = [single_line(job.values.get(key, "")) for key in keys]
        run_key = job.result.record.run_key[:SHOWN_KEY_DIGITS] if job.result else ""
        table.add_row(*values, *scores.values(), f"{job.seconds:.1f}", run_key)
    return table


def _print(shown: Any) -> None:
    # A terminal that wraps a command itself lets it be copied as one line.
    new_console().print(shown, soft_wrap=isinstance(shown, Text))
