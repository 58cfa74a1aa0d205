"""Labels tasks in this process. Several processes may label the same tasks: the lock of a task is held meanwhile."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any, Final

from alchemist_exp.core.atomic_io import explain_write_errors, remove_partial_files
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.locks import close_locked, open_locked, try_open_locked
from alchemist_exp.data.table import Columns
from alchemist_exp.data.table_base import RowTable
from alchemist_exp.labeling.job import LabelingJob, labeler_of
from alchemist_exp.labeling.outputs import output_metadata, read_summary, source_of
from alchemist_exp.labeling.plan import LabelingTask
from alchemist_exp.labeling.sources import HubSource
from alchemist_exp.labeling.tables import (
    LabelSummary,
    TableLabeler,
    explain_encoding_errors,
    open_labeler,
    wanted_columns,
)

LOCKS: Final = ".locks"
"""The directory of the lock files, in the output directory."""

Advance = Callable[[int, int], None]
"""Is called with the rows that were labeled since its last call, and with the bytes of the input that they take."""


class TaskStatus(StrEnum):
    """What became of a task."""

    WRITTEN = "written"
    FOUND = "found"  # it was finished before
    BAD = "bad"  # its input cannot be labeled
    BUSY = "busy"  # another process is working on it


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What became of a task.

    Attributes:
        task: The task.
        status: What became of it.
        reason: Why it is bad; empty otherwise.
        summary: What is in its outputs; empty if it is bad or busy.
        n_found: The outputs that were finished before.
        n_written: The outputs that were written, also those of a task that is bad.
        n_labeled: The rows in the outputs that were written.
        notes: What the user should know of the run, one sentence each.

    """

    task: LabelingTask
    status: TaskStatus
    reason: str = ""
    summary: LabelSummary = field(default_factory=LabelSummary)
    n_found: int = 0
    n_written: int = 0
    n_labeled: int = 0
    notes: tuple[str, ...] = ()


def label_task(
    job: LabelingJob,
    task: LabelingTask,
    *,
    force: bool = False,
    wait: bool = False,
    advance: Advance = lambda _rows, _bytes: None,
) -> TaskResult:
    """Label one task, in any process on any machine that sees the files.

    Args:
        job: What the tasks have in common.
        task: The task.
        force: Whether to make outputs again that are finished.
        wait: Whether to wait for another process that is working on the task.
        advance: See `Advance`.

    Returns:
        What became of the task. An input that cannot be labeled is bad and raises no error.

    Raises:
        AlchemistError: The run cannot be used, its programs cannot be run, or an output cannot be written. This does
            not depend on the task.

    """
    if not force and (finished := find_finished(job, task)):
        return finished
    lock = job.out / LOCKS / f"{key_of('shard', str(task.output().relative_to(job.out)))}.lock"
    descriptor = open_locked(lock) if wait else try_open_locked(lock)
    if descriptor is None:
        return TaskResult(task=task, status=TaskStatus.BUSY)
    try:
        # Another process may have finished it while this one waited for the lock.
        if not force and (finished := find_finished(job, task)):
            return finished
        return _label(job, task, force, advance)
    finally:
        close_locked(descriptor)


def find_finished(job: LabelingJob, task: LabelingTask) -> TaskResult | None:
    """Return the result of a task whose outputs are all finished.

    Args:
        job: What the tasks have in common.
        task: The task.

    Returns:
        The result; None if something is left to label.

    """
    try:
        identity = job.identity(task.source)
    except OSError:
        return None
    total = LabelSummary()
    for number in count():
        found = read_summary(task.output(number), _part_identity(identity, task, number))
        if found is None:
            return None
        total += found
        if _is_last(task, found):
            return TaskResult(task=task, status=TaskStatus.FOUND, summary=total, n_found=number + 1)
    return None


def _part_identity(identity: dict[str, Any], task: LabelingTask, number: int) -> dict[str, Any]:
    """Return what an output of a task is made of."""
    if task.part_rows is None:
        return identity
    return identity | {"rows": [number * task.part_rows, (number + 1) * task.part_rows]}


def _is_last(task: LabelingTask, summary: LabelSummary) -> bool:
    """Return whether no other output of a task follows: the last part has fewer rows than the others, perhaps none."""
    return task.part_rows is None or summary.n_rows < task.part_rows


def _label(job: LabelingJob, task: LabelingTask, force: bool, advance: Advance) -> TaskResult:
    """Label a task whose lock is held."""
    run, labeler = labeler_of(job)
    writing = None
    try:
        writing = _Writing(job=job, task=task, identity=job.identity(task.source), force=force)
        if isinstance(task.source, HubSource) and labeler.kind.name == "images":
            raise ConfigError(
                f"{task.source} cannot be labeled by a run on images; name files with the paths of images."
            )
        with explain_encoding_errors():
            table = task.source.open(wanted_columns(run, labeler, job.text), job.encoding)
            writing.write(open_labeler(table, run, labeler, job.text, job.keep), advance)
    except (DataError, ConfigError, FileNotFoundError, PermissionError) as error:
        reason = f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        status = TaskStatus.BAD
    else:
        reason, status = "", TaskStatus.WRITTEN
    return TaskResult(
        task=task,
        status=status,
        reason=reason,
        summary=LabelSummary() if reason or writing is None else writing.total,
        n_found=writing.n_found if writing else 0,
        n_written=writing.n_written if writing else 0,
        n_labeled=writing.n_labeled if writing else 0,
        notes=labeler.notes,
    )


@dataclass(kw_only=True)
class _Writing:
    """Writes the outputs of a task and counts.

    Attributes:
        job: What the tasks have in common.
        task: The task.
        identity: See `LabelingJob.identity`.
        force: Whether to make outputs again that are finished.
        total: What is in the outputs.
        n_found: See `TaskResult`.
        n_written: See `TaskResult`.
        n_labeled: See `TaskResult`.

    """

    job: LabelingJob
    task: LabelingTask
    identity: dict[str, Any]
    force: bool
    total: LabelSummary = field(default_factory=LabelSummary)
    n_found: int = 0
    n_written: int = 0
    n_labeled: int = 0

    def write(self, table: TableLabeler, advance: Advance) -> None:
        """Write the outputs that are not finished.

        Args:
            table: Labels the table of the task.
            advance: See `Advance`.

        Raises:
            AlchemistError: See `label_task`.

        """
        rows: Iterator[Columns] | None = None
        for number in count():
            identity = _part_identity(self.identity, self.task, number)
            summary = None if self.force else read_summary(self.task.output(number), identity)
            if summary is not None:
                self.n_found += 1
                rows = None  # the next part that is missing is read from its own first row
            else:
                rows = self._rows_from(table, number) if rows is None else rows
                summary = self._write_one(table, rows, number, identity, advance)
                self.n_written += 1
                self.n_labeled += summary.n_rows
            self.total += summary
            if _is_last(self.task, summary):
                break
        if self.task.part_rows is None:
            return
        # Parts of an earlier state of the source, which had more rows.
        for path in self.task.base.glob(f"{self.task.prefix}*.parquet"):
            found = re.fullmatch(r"(\d{5,})\.parquet", path.name.removeprefix(self.task.prefix))
            if found and int(found[1]) > number and source_of(path) == self.task.source.name:
                path.unlink(missing_ok=True)

    def _rows_from(self, table: TableLabeler, number: int) -> Iterator[Columns]:
        chunk_rows = table.labeler.chunk_rows
        if self.task.part_rows is None:
            return table.table.parts(chunk_rows)
        if not isinstance(table.table, RowTable):
            raise TypeError(f"{self.task.source} is not read row by row")
        return table.table.parts_from(number * self.task.part_rows, chunk_rows, self.task.part_rows)

    def _write_one(
        self, table: TableLabeler, rows: Iterator[Columns], number: int, identity: dict[str, Any], advance: Advance
    ) -> LabelSummary:
        """Write an output of the next rows."""
        task = self.task
        output = task.output(number)
        if not self.force and output.exists() and source_of(output) is None:
            raise ConfigError(f"{output} exists and is not an output of alchemist apply; --overwrite replaces it.")
        with explain_write_errors(output.parent):
            output.parent.mkdir(parents=True, exist_ok=True)
        remove_partial_files(output)
        bytes_per_row = task.n_bytes / table.table.n_rows if table.table.n_rows else 0.0

        def metadata(summary: LabelSummary) -> dict[str, str]:
            """Return what is stored with the output, after a check that the source is still what was read."""
            if self.job.identity(task.source) != self.identity:
                raise DataError(f"{task.source} was changed while it was read.")
            return output_metadata(identity, summary)

        return table.write(
            output,
            rows if task.part_rows is None else _take(rows, task.part_rows),
            lambda n_rows: advance(n_rows, int(n_rows * bytes_per_row)),
            number=(task.part or 0) + number,
            skipped_rows=number * (task.part_rows or 0),
            metadata=metadata,
        )


def _take(parts: Iterator[Columns], n_rows: int) -> Iterator[Columns]:
    """Yield parts until they have a number of rows."""
    taken = 0
    while taken < n_rows and (part := next(parts, None)) is not None:
        taken += len(next(iter(part.values())))
        yield part


def label_locally(
    job: LabelingJob, tasks: Sequence[LabelingTask], *, force: bool, advance: Advance
) -> Iterator[TaskResult]:
    """Label tasks one after another in this process.

    Args:
        job: What the tasks have in common.
        tasks: The tasks.
        force: Whether to make outputs again that are finished.
        advance: See `Advance`.

    Yields:
        What became of each task. Tasks that another process is working on come last.

    Raises:
        AlchemistError: See `label_task`.

    """
    busy = []
    for task in tasks:
        result = label_task(job, task, force=force, advance=advance)
        if result.status is TaskStatus.BUSY:
            busy.append(task)
        else:
            yield result
    for task in busy:
        yield label_task(job, task, wait=True, advance=advance)
