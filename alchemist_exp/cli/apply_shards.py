"""`alchemist apply RUN FILE ... -o DIR`: labels many tables, with a progress line and a summary."""

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
from alchemist_exp.cli.run_directory import find_run, read_finished
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.labeling.run_files import check_run_files
from alchemist_exp.labeling.shards import (
    LabelingJob,
    Shard,
    ShardResult,
    ShardStatus,
    add_up,
    find_shards,
    label_locally,
)

_LINE_EVERY_S: Final = 30.0
"""Seconds between progress lines where standard error is not a terminal."""

_SHOWN_BAD: Final = 100
"""Inputs that cannot be labeled that are printed."""


def label_shards(chosen: argparse.Namespace) -> int:
    """Label the files that a command line names.

    Args:
        chosen: The arguments of `alchemist apply`.

    Returns:
        The exit code: 0 if every file is labeled, 1 if one is not.

    Raises:
        AlchemistError: The arguments are invalid, or the run cannot be used.

    """
    if chosen.out is None:
        raise ConfigError("several files need a directory; name it by -o DIR.")
    out = Path(chosen.out).absolute()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{chosen.out!r} is not a directory; name one for the labels of several files by -o DIR.")
    shards = find_shards(chosen.files, out)
    job = _job(chosen, out)
    began = time.perf_counter()
    results: list[ShardResult] = []
    notes: dict[str, None] = {}
    with _ProgressLine(shards) as progress, closing(_results(job, shards, chosen, progress)) as found:
        for result in found:
            progress.finish(result)
            results.append(result)
            notes |= dict.fromkeys(result.notes)
    for note in notes:
        print(f"note: {single_line(note)}", file=sys.stderr)
    _print_summary(chosen.out, results, time.perf_counter() - began)
    return 1 if any(result.status is ShardStatus.BAD for result in results) else 0


def _job(chosen: argparse.Namespace, out: Path) -> LabelingJob:
    directory = find_run(chosen.outputs, chosen.run).absolute()
    check_run_files(directory)
    record = read_finished(directory, "only a finished run can label rows")
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
    job: LabelingJob, shards: Sequence[Shard], chosen: argparse.Namespace, progress: "_ProgressLine"
) -> Generator[ShardResult]:
    """Yield what became of each shard."""
    if chosen.engine == "local":
        yield from label_locally(job, shards, force=chosen.force, advance=progress.advance)
        return
    from alchemist_exp.labeling.dask_engine import ClusterOptions, label_with_dask

    given = {"n_workers": chosen.workers, "walltime": chosen.walltime, "memory": chosen.memory}
    options = ClusterOptions(cluster=chosen.cluster, **{key: value for key, value in given.items() if value})
    yield from label_with_dask(job, shards, options, force=chosen.force)


class _ProgressLine:
    """Shows shards, rows, rows per second and the time left on standard error.

    A terminal has one line that is replaced; otherwise a line is printed every 30 seconds. The time left is estimated
    from the bytes of the inputs, because the rows of a CSV file are not counted before.

    Args:
        shards: The shards.

    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._n_shards = len(shards)
        self._bytes_left = sum(shard.n_bytes for shard in shards)
        self._n_finished = 0
        self._n_rows = 0
        self._bytes = 0
        self._shard_rows, self._shard_bytes = 0, 0
        self._began = self._printed_at = time.monotonic()
        console = Console(stderr=True)
        self._status = console.status("labeling") if console.is_terminal else None

    def __enter__(self) -> "_ProgressLine":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status:
            self._status.stop()

    def advance(self, n_rows: int, n_bytes: int) -> None:
        """Count rows of the shard that is being labeled.

        Args:
            n_rows: The number of rows.
            n_bytes: The bytes of the input that they take, as an estimate.

        """
        self._shard_rows += n_rows
        self._shard_bytes += n_bytes
        self._show()

    def finish(self, result: ShardResult) -> None:
        """Count a shard.

        Args:
            result: What became of it.

        """
        self._n_finished += 1
        self._bytes_left -= result.shard.n_bytes
        self._shard_rows, self._shard_bytes = 0, 0
        if result.status is ShardStatus.WRITTEN and result.summary is not None:
            self._n_rows += result.summary.n_rows
            self._bytes += result.shard.n_bytes
        self._show()

    def text(self) -> str:
        """Return the line."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        n_rows, n_bytes = self._n_rows + self._shard_rows, self._bytes + self._shard_bytes
        line = f"{self._n_finished:,} of {self._n_shards:,} files; {n_rows:,} rows, {n_rows / seconds:,.0f} rows/s"
        if n_bytes:
            left = max(self._bytes_left - self._shard_bytes, 0) * seconds / n_bytes
            line += f"; {_duration(left)} left"
        return line

    def _show(self) -> None:
        if self._status:
            self._status.update(self.text())
        elif time.monotonic() - self._printed_at >= _LINE_EVERY_S:
            self._printed_at = time.monotonic()
            print(f"labeling: {self.text()}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Return seconds as hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _print_summary(out: str, results: Sequence[ShardResult], seconds: float) -> None:
    by_status = {status: [r for r in results if r.status is status] for status in ShardStatus}
    total = add_up([r.summary for r in results if r.summary is not None])
    bad, written = by_status[ShardStatus.BAD], by_status[ShardStatus.WRITTEN]
    for result in bad[:_SHOWN_BAD]:
        print(f"error: {single_line(str(result.shard.source))}: {single_line(result.reason)}", file=sys.stderr)
    if len(bad) > _SHOWN_BAD:
        print(f"error: {len(bad) - _SHOWN_BAD:,} further files cannot be labeled", file=sys.stderr)
    warn_of(total)
    n_labeled = sum(total.labels.values())
    made = sum(r.summary.n_rows for r in written if r.summary is not None)
    print(
        f"wrote {len(written):,} file{'s' * (len(written) != 1)} in {single_line(out)}; "
        f"{len(by_status[ShardStatus.FOUND]):,} finished before, {len(bad):,} skipped with an error"
    )
    print(f"rows: {total.n_rows:,}; coverage {_share(n_labeled, total.n_rows)}")
    if n_labeled:
        shares = ", ".join(f"{sanitize(name)} {_share(n, n_labeled)}" for name, n in total.labels.items())
        print(f"classes of the labeled rows: {shares}")
    if total.outcomes:
        n_calls = sum(total.outcomes.values())
        counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in total.outcomes.items())
        print(f"outcomes of {n_calls:,} program calls: {counts}")
    print(f"time: {seconds:,.1f} s; {made / max(seconds, 1e-3):,.0f} rows/s in this command")


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "0%"
