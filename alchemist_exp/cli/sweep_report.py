"""What is shown of the jobs of a sweep: names, a table, the notes of the runs, and the command that compares them."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.console import headline, not_logged
from alchemist_exp.results.layout import new_table
from alchemist_exp.results.paper_tables import TABLES
from alchemist_exp.results.record import INTERRUPTIONS
from alchemist_exp.results.report import SHOWN_KEY_DIGITS

if TYPE_CHECKING:
    from alchemist_exp.pipeline.run import RunResult

SHOWN_NOTES: Final = 10

_NO_FILTERS = ("hydra", "paths", "logger", "force", "report", "budget", "debug", "experiment")
"""Overrides that no result depends on, or that `alchemist compare` does not know."""


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """What is shown of a job.

    Attributes:
        number: Its number in the sweep, from 1.
        values: Its overrides by key, those that differ between the jobs.
        result: Its run; None for a job without a finished one.
        error: Why there is none, one sentence; "" for a finished one.
        started: Whether this sweep has started it.
        logger: The configured logger.
        seconds: How long it took.

    """

    number: int
    values: Mapping[str, str]
    result: "RunResult | None"
    error: str
    started: bool
    logger: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether it ended with an error, not by an interruption."""
        return self.result is None and self.started and self.error not in INTERRUPTIONS


def job_table(jobs: Sequence[FinishedJob], splits: Sequence[str]) -> Any:
    """Return a table with a row for each finished job: the values that differ, its scores, its run.

    Args:
        jobs: Jobs with a finished run.
        splits: The first of these that has labels is the one whose scores are shown.

    """
    keys = [*dict.fromkeys(key for job in jobs for key in job.values)]
    rows = [(job, headline(job.result.record, splits)) for job in jobs if job.result]
    table = new_table(*keys, *rows[0][1], "seconds", "run")
    for column in table.columns[: len(keys) + 1]:
        column.justify = "left"
    for job, scores in rows:
        values = [single_line(job.values.get(key, "")) for key in keys]
        run_key = job.result.record.run_key[:SHOWN_KEY_DIGITS] if job.result else ""
        took = f"{job.seconds:.1f}" if job.started else "finished before"
        table.add_row(*values, *scores.values(), took, run_key)
    return table


def job_notes(jobs: Sequence[FinishedJob]) -> list[tuple[str, int]]:
    """Return the notes and warnings of the runs, by dataset if there are several, and how many jobs have each.

    Args:
        jobs: Jobs with a finished run.

    """
    from alchemist_exp.results.run_names import dataset_name

    counts: Counter[tuple[str, str]] = Counter()
    datasets = set()
    for job in jobs:
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


def job_name(values: Mapping[str, str]) -> str:
    """Return the name of a job on the screen.

    Args:
        values: Its overrides by key, those that differ between the jobs.

    """
    return single_line(" ".join(f"{key}={value}" for key, value in values.items()))


def compare_command(jobs: Sequence[Mapping[str, str]], outputs: str, experiment: str) -> str:
    """Return the command that compares the runs of a sweep.

    Args:
        jobs: The overrides of each job by their keys.
        outputs: The directory of outputs.
        experiment: The member of the group `experiment`; "" without one.

    """
    values: dict[str, dict[str, None]] = {}
    for job in jobs:
        for key, value in job.items():
            values.setdefault(key, {})[value] = None
    filters = [
        f"{key}={','.join(of_key)}"
        for key, of_key in values.items()
        # A key that only some jobs set would leave out the others.
        if all(key in job for job in jobs)
        and key.partition(".")[0] not in _NO_FILTERS
        and not any(set(value) & set("[]{}'\" ,") for value in of_key)
    ]
    table = [f"--table={experiment}"] if experiment in TABLES else []
    return shlex.join(["alchemist", "compare", outputs, *table, *filters])
