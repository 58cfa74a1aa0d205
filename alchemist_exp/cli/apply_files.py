"""`alchemist apply RUN FILE ... -o DIR`: labels many or large tables, with a progress line and a summary."""

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final

from rich.console import Console

from alchemist_exp.cli.apply_warnings import warn_of
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.labeling.job import LabelingJob
from alchemist_exp.labeling.local_engine import TaskResult, TaskStatus, label_locally
from alchemist_exp.labeling.plan import LabelingTask, find_tasks, remove_outdated
from alchemist_exp.labeling.run_files import open_run
from alchemist_exp.labeling.tables import LabelSummary

_LINE_EVERY_S: Final = 30.0
"""Seconds between progress lines where standard error is not a terminal."""

_SHOWN_BAD: Final = 100
"""Inputs that cannot be labeled that are printed."""


def label_files(chosen: argparse.Namespace) -> int:
    """Label the files that a command line names.

    Args:
        chosen: The arguments of `alchemist apply`.

    Returns:
        The exit code: 0 if every file is labeled, 1 if one is not.

    Raises:
        AlchemistError: The arguments are invalid, or the run cannot be used.

    """
    if chosen.out is None:
        raise ConfigError("several files, and a dataset of the Hub, need a directory; name it by -o DIR.")
    out = Path(chosen.out).absolute()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{chosen.out!r} is not a directory; name one for the labels of several files by -o DIR.")
    job = _job(chosen, out)
    tasks = find_tasks(chosen.files, out, chosen.part_rows)
    remove_outdated(tasks)
    began = time.perf_counter()
    results: list[TaskResult] = []
    notes: dict[str, None] = {}
    with _ProgressLine(tasks) as progress, closing(_results(job, tasks, chosen, progress)) as found:
        for result in found:
            progress.finish(result)
            results.append(result)
            notes |= dict.fromkeys(result.notes)
    for note in notes:
        print(f"note: {single_line(note)}", file=sys.stderr)
    _print_summary(chosen.out, results, time.perf_counter() - began)
    return 1 if any(result.status is TaskStatus.BAD for result in results) else 0


def _job(chosen: argparse.Namespace, out: Path) -> LabelingJob:
    directory = find_run(chosen.outputs, chosen.run).absolute()
    record = open_run(directory).record
    return LabelingJob(
        run=directory,
        out=out,
        run_key=record.run_key,
        started_at=record.started_at,
        using=chosen.using,
        config_dir=None if chosen.config_dir is None else chosen.config_dir.expanduser().absolute(),
        weights=tuple(path.expanduser().absolute() for path in chosen.weights),
        modules=tuple(chosen.allow_module),
        sandbox=chosen.sandbox,
        # Each worker of Dask has one CPU core.
        sandbox_workers=None if chosen.engine == "local" else 1,
        text=chosen.text,
        encoding=chosen.encoding,
        keep=None if chosen.keep is None else tuple(dict.fromkeys(chosen.keep)),
        code=code_fingerprint(),
    )


def _results(
    job: LabelingJob, tasks: Sequence[LabelingTask], chosen: argparse.Namespace, progress: "_ProgressLine"
) -> Generator[TaskResult]:
    """Yield what became of each task."""
    if chosen.engine == "local":
        yield from label_locally(job, tasks, force=chosen.overwrite, advance=progress.advance)
        return
    from alchemist_exp.labeling.dask_engine import ClusterOptions, label_with_dask

    given = {"n_workers": chosen.workers, "walltime": chosen.walltime, "memory": chosen.memory}
    options = ClusterOptions(cluster=chosen.cluster, **{key: value for key, value in given.items() if value})
    yield from label_with_dask(job, tasks, options, force=chosen.overwrite)


class _ProgressLine:
    """Shows tasks, rows, rows per second and the time left on standard error.

    A terminal has one line that is replaced; otherwise a line is printed every 30 seconds. The time left is estimated
    from the bytes of the inputs, because the rows of a CSV file are not counted before.

    Args:
        tasks: The tasks.

    """

    def __init__(self, tasks: Sequence[LabelingTask]) -> None:
        """Sum up the bytes of the inputs, and choose the terminal's line or printed lines."""
        self._n_tasks = len(tasks)
        self._bytes_left = sum(task.n_bytes for task in tasks)
        self._n_finished = 0
        self._n_rows = 0
        self._bytes = 0
        self._task_rows, self._task_bytes = 0, 0
        self._began = self._printed_at = time.monotonic()
        console = Console(stderr=True)
        self._status = console.status("labeling") if console.is_terminal else None

    def __enter__(self) -> "_ProgressLine":
        """Show the line, if standard error is a terminal."""
        if self._status:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the line; an error goes on."""
        if self._status:
            self._status.stop()

    def advance(self, n_rows: int, n_bytes: int) -> None:
        """Count rows of the task that is being labeled.

        Args:
            n_rows: The number of rows.
            n_bytes: The bytes of the input that they take, as an estimate.

        """
        self._task_rows += n_rows
        self._task_bytes += n_bytes
        self._show()

    def finish(self, result: TaskResult) -> None:
        """Count a task.

        Args:
            result: What became of it.

        """
        self._n_finished += 1
        self._bytes_left -= result.task.n_bytes
        self._task_rows, self._task_bytes = 0, 0
        self._n_rows += result.n_labeled
        if result.status is TaskStatus.WRITTEN:
            self._bytes += result.task.n_bytes
        self._show()

    def text(self) -> str:
        """Return the line that shows the progress."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        n_rows, n_bytes = self._n_rows + self._task_rows, self._bytes + self._task_bytes
        line = f"{self._n_finished:,} of {self._n_tasks:,} tasks; {n_rows:,} rows, {n_rows / seconds:,.0f} rows/s"
        if n_bytes:
            left = max(self._bytes_left - self._task_bytes, 0) * seconds / n_bytes
            minutes, rest = divmod(int(left), 60)
            line += f"; {minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"; {minutes} min {rest} s"
            line += " left"
        return line

    def _show(self) -> None:
        if self._status:
            self._status.update(self.text())
        elif time.monotonic() - self._printed_at >= _LINE_EVERY_S:
            self._printed_at = time.monotonic()
            print(f"labeling: {self.text()}", file=sys.stderr, flush=True)


def _print_summary(out: str, results: Sequence[TaskResult], seconds: float) -> None:
    total = sum((result.summary for result in results), LabelSummary())
    # All parts of a file may have the same error.
    bad = list(dict.fromkeys((str(r.task.source), r.reason) for r in results if r.status is TaskStatus.BAD))
    for source, reason in bad[:_SHOWN_BAD]:
        named = reason if reason.startswith(source) else f"{source}: {reason}"
        print(f"error: {single_line(named)}", file=sys.stderr)
    if len(bad) > _SHOWN_BAD:
        print(f"error: {len(bad) - _SHOWN_BAD:,} further files cannot be labeled", file=sys.stderr)
    warn_of(total)
    n_labeled = sum(total.labels.values())
    n_written = sum(result.n_written for result in results)
    n_made = sum(result.n_labeled for result in results)
    print(
        f"wrote {n_written:,} file{'s' * (n_written != 1)} in {single_line(out)}; "
        f"{sum(result.n_found for result in results):,} finished before, {len(bad):,} skipped with an error"
    )
    print(f"rows: {total.n_rows:,}; coverage {_share(n_labeled, total.n_rows)}")
    if n_labeled:
        shares = ", ".join(f"{sanitize(name)} {_share(n, n_labeled)}" for name, n in total.labels.items())
        print(f"classes of the labeled rows: {shares}")
    if total.outcomes:
        n_calls = sum(total.outcomes.values())
        counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in total.outcomes.items())
        print(f"outcomes of {n_calls:,} program calls: {counts}")
    print(f"time: {seconds:,.1f} s; {n_made / max(seconds, 1e-3):,.0f} rows/s in this command")


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "0%"
