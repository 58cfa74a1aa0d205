"""Labels many tables, each of which is a shard: one task, one Parquet file in the output directory, finished or absent.

The metadata of an output say which input, run and options it was made of, so a later command makes it again only if one
of them changed. Several processes may label the same shards: the lock of a shard is held while it is made.
"""

import glob
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import islice
from os import stat_result
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.atomic_io import remove_partial_files
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.hashing import code_fingerprint, key_of
from alchemist_exp.core.locks import close_locked, open_locked, try_open_locked
from alchemist_exp.data.table_stream import open_table
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.labelers import RowLabeler, model_labeler, program_labeler
from alchemist_exp.labeling.run_files import StoredRun, check_run_files, stored_run
from alchemist_exp.labeling.tables import (
    LabelSummary,
    check_kept,
    explain_encoding_errors,
    find_row_columns,
    label_table,
    wanted_columns,
)
from alchemist_exp.results.record import RunRecord

METADATA: Final = "alchemist_apply"
"""The key of the metadata of an output."""

VERSION: Final = 1
"""The version of the metadata."""

MAX_REASONS: Final = 20
"""Reasons why rows have no content that an output stores."""

LOCKS: Final = ".locks"
"""The directory of the lock files, in the output directory."""

Advance = Callable[[int, int], None]
"""Is called with the rows that were labeled since its last call, and with the bytes of the input that they take."""


class ShardStatus(StrEnum):
    """What became of a shard."""

    WRITTEN = "written"
    FOUND = "found"  # it was finished before
    BAD = "bad"  # its input cannot be labeled
    BUSY = "busy"  # another process is making it


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One input and its output.

    Attributes:
        source: The table, as an absolute path.
        target: The Parquet file that is written, as an absolute path.
        n_bytes: The size of the table in bytes when it was listed, for the progress.

    """

    source: Path
    target: Path
    n_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What became of a shard.

    Attributes:
        shard: The shard.
        status: What became of it.
        reason: Why it is bad; empty otherwise.
        summary: What is in the output; None without one.
        seconds: Wall time in seconds; 0 for a shard that was finished before.
        notes: What the user should know of the run, one sentence each.

    """

    shard: Shard
    status: ShardStatus
    reason: str = ""
    summary: LabelSummary | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabelingJob:
    """What all shards have in common; any process makes a labeler of it, so no model is sent to another process.

    Attributes:
        run: The directory of the run, as an absolute path.
        out: The output directory, as an absolute path.
        run_key: The key of the run.
        started_at: When the run began: a run that was repeated with `force=true` has the same key.
        using: "model" or "programs".
        config_dir: See `Consent`.
        weights: See `Consent`.
        modules: See `Consent`.
        sandbox: The mode of the sandbox.
        sandbox_workers: Programs that run at once in each process; None for as many as there are CPU cores.
        text: The column that the user names; None for that of the run.
        encoding: The encoding of the inputs; None for UTF-8.
        keep: The columns of the inputs that are written; None for all.
        code: A key of this package's source code, which is the same in each process.

    """

    run: Path
    out: Path
    run_key: str
    started_at: str
    using: str = "model"
    config_dir: Path | None = None
    weights: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    sandbox: str = "auto"
    sandbox_workers: int | None = None
    text: str | None = None
    encoding: str | None = None
    keep: tuple[str, ...] | None = None
    code: str = ""

    def identity(self, source: Path, status: stat_result) -> dict[str, Any]:
        """Return what an output is made of, as JSON.

        Args:
            source: The input.
            status: Its status.

        """
        return {
            "version": VERSION,
            "source": {"name": source.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns},
            "run": self.run_key,
            "run_started_at": self.started_at,
            "with": self.using,
            "text": self.text,
            "encoding": self.encoding,
            "keep": None if self.keep is None else list(self.keep),
        }


def find_shards(files: Sequence[str], out: Path) -> list[Shard]:
    """Return the shards that arguments name.

    Args:
        files: Files, which are written under their name, and glob patterns, whose files are written under their path
            from the first directory of the pattern that has a wildcard. `**` stands for any number of directories.
        out: The output directory. Files in it that fit a pattern are left out: they are outputs.

    Returns:
        The shards, sorted by output.

    Raises:
        ConfigError: A file does not exist, a pattern fits no file, or two inputs have the same output.

    """
    out = out.absolute()
    found: dict[Path, Path] = {}
    for text in files:
        for source, name in _matches(text, out):
            target = out / name.with_name(f"{Path(name.name.removesuffix('.gz')).stem}.parquet")
            if found.setdefault(target, source) != source:
                raise ConfigError(
                    f"{str(found[target])!r} and {str(source)!r} would both be written to {str(target)!r}; rename one, "
                    "or name both by one quoted pattern such as 'DIR/**/*.parquet', which keeps directories."
                )
    sources = {source.resolve() for source in found.values()}
    if clash := next((target for target in found if target.resolve() in sources), None):
        raise ConfigError(f"{str(clash)!r} is a file that is read; name another directory by -o DIR.")
    return [
        Shard(source=found[target], target=target, n_bytes=found[target].stat().st_size) for target in sorted(found)
    ]


def is_pattern(text: str) -> bool:
    """Return whether an argument is a glob pattern: it has wildcards, and no file has this name."""
    return glob.has_magic(text) and not Path(text).exists()


def _matches(text: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that an argument names, with their path in the output directory."""
    if not is_pattern(text):
        path = Path(text).absolute()
        if not path.is_file():
            hint = f"; name its files by a quoted pattern, such as '{text}/*.parquet'" if path.is_dir() else ""
            raise ConfigError(f"{text!r} is not a file{hint}.")
        yield path, Path(path.name)
        return
    parts = Path(text).absolute().parts
    n_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:n_fixed])
    n_files = 0
    # Path.glob finds hidden files, among them the temporary files of writers.
    for name in sorted(glob.glob(str(Path(*parts[n_fixed:])), root_dir=base, recursive=True)):  # noqa: PTH207
        path = base / name
        if path.is_file() and not path.is_relative_to(out):
            n_files += 1
            yield path, Path(name)
    if not n_files:
        raise ConfigError(f"no file fits {text!r}.")


def label_shard(
    job: LabelingJob,
    shard: Shard,
    *,
    force: bool = False,
    wait: bool = False,
    advance: Advance = lambda _rows, _bytes: None,
) -> ShardResult:
    """Label one shard, in any process on any machine that sees the files.

    Args:
        job: What the shards have in common.
        shard: The shard.
        force: Whether to make the output again if it is finished.
        wait: Whether to wait for another process that is making the output.
        advance: See `Advance`.

    Returns:
        What became of the shard. An input that cannot be labeled is bad and raises no error.

    Raises:
        AlchemistError: The run cannot be used, its programs cannot be run, or the output cannot be written. This does
            not depend on the shard.

    """
    if not force and (finished := find_finished(job, shard)):
        return finished
    try:
        identity = job.identity(shard.source, shard.source.stat())
    except OSError as error:
        return ShardResult(shard=shard, status=ShardStatus.BAD, reason=f"it cannot be read: {error.strerror}")
    lock = job.out / LOCKS / f"{key_of('shard', str(shard.target.relative_to(job.out)))}.lock"
    descriptor = open_locked(lock) if wait else try_open_locked(lock)
    if descriptor is None:
        return ShardResult(shard=shard, status=ShardStatus.BUSY)
    try:
        if not force and (found := read_summary(shard.target, identity)):
            return ShardResult(shard=shard, status=ShardStatus.FOUND, summary=found)
        if not force and shard.target.exists() and not _is_ours(shard.target):
            reason = f"{shard.target} exists and is not an output of alchemist apply; --force replaces it"
            return ShardResult(shard=shard, status=ShardStatus.BAD, reason=reason)
        remove_partial_files(shard.target)
        return _make(job, shard, identity, advance)
    finally:
        close_locked(descriptor)


def find_finished(job: LabelingJob, shard: Shard) -> ShardResult | None:
    """Return the result of a shard that is finished.

    Args:
        job: What the shards have in common.
        shard: The shard.

    Returns:
        The result; None if the shard is to be labeled.

    """
    try:
        identity = job.identity(shard.source, shard.source.stat())
    except OSError:
        return None
    found = read_summary(shard.target, identity)
    return None if found is None else ShardResult(shard=shard, status=ShardStatus.FOUND, summary=found)


def _make(job: LabelingJob, shard: Shard, identity: dict[str, Any], advance: Advance) -> ShardResult:
    """Label a shard whose lock is held."""
    began = time.perf_counter()
    run, labeler = labeler_of(job)
    try:
        wanted = wanted_columns(run, labeler, job.text)
        with explain_encoding_errors():
            table = open_table(shard.source, wanted=wanted, encoding=job.encoding)
            columns = find_row_columns(table, labeler, wanted, job.text)
            check_kept(table, job.keep)
            bytes_per_row = shard.n_bytes / table.n_rows if table.n_rows else 0.0

            def metadata(summary: LabelSummary) -> dict[str, str]:
                if job.identity(shard.source, shard.source.stat()) != identity:
                    raise DataError(f"{shard.source} was changed while it was read.")
                # Each row may have its own reason, such as a missing image.
                shown = replace(summary, reasons=dict(islice(summary.reasons.items(), MAX_REASONS)))
                return {METADATA: json.dumps({**identity, "summary": asdict(shown)})}

            shard.target.parent.mkdir(parents=True, exist_ok=True)
            summary = label_table(
                table,
                columns,
                labeler,
                shard.target,
                lambda n_rows: advance(n_rows, int(n_rows * bytes_per_row)),
                keep=job.keep,
                metadata=metadata,
            )
    except (DataError, ConfigError) as error:
        return ShardResult(shard=shard, status=ShardStatus.BAD, reason=str(error))
    seconds = time.perf_counter() - began
    return ShardResult(shard=shard, status=ShardStatus.WRITTEN, summary=summary, seconds=seconds, notes=labeler.notes)


def read_summary(target: Path, identity: dict[str, Any]) -> LabelSummary | None:
    """Return what is in a finished output.

    Args:
        target: The output.
        identity: What it must be made of, see `LabelingJob.identity`.

    Returns:
        The summary; None if there is no output, or if it was made of something else.

    """
    stored = _stored(target)
    summary = stored.pop("summary", None)
    if stored != identity or not isinstance(summary, dict):
        return None
    try:
        failures = {name: (int(count), str(reason)) for name, (count, reason) in summary.pop("failures").items()}
        return LabelSummary(**summary, failures=failures)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _is_ours(target: Path) -> bool:
    return bool(_stored(target))


def _stored(target: Path) -> dict[str, Any]:
    """Return the metadata of an output; empty if it is not one."""
    import pyarrow
    from pyarrow import parquet

    if not target.is_file():
        return {}
    try:
        with parquet.ParquetFile(target) as file:
            found = json.loads((file.metadata.metadata or {}).get(METADATA.encode(), b"{}"))
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_LABELERS: dict[LabelingJob, tuple[StoredRun, RowLabeler]] = {}
"""The labeler of the last job of this process."""

_MAKING = threading.Lock()
"""A worker of Dask may have several threads."""


def labeler_of(job: LabelingJob) -> tuple[StoredRun, RowLabeler]:
    """Return the run and the labeler of a job; a process makes them once.

    Args:
        job: The job.

    Returns:
        The run, after a check of its files, and the labeler.

    Raises:
        AlchemistError: The run cannot be used, or this process has other source code than the one that made the job.

    """
    with _MAKING:
        if job in _LABELERS:
            return _LABELERS[job]
        if job.code != code_fingerprint():
            raise ConfigError("a worker has another version of this package; install the same version on each node.")
        check_run_files(job.run)
        record = RunRecord.read(job.run)
        if record is None or (record.run_key, record.started_at) != (job.run_key, job.started_at):
            raise ConfigError(f"{job.run} is another run than at the start; start the command again.")
        run = stored_run(job.run, record)
        consent = Consent(config_dir=job.config_dir, weights=job.weights, modules=job.modules)
        if job.using == "model":
            labeler: RowLabeler = model_labeler(run, consent)
        else:
            labeler = program_labeler(run, consent, job.sandbox, job.sandbox_workers)
        _LABELERS.clear()
        _LABELERS[job] = (run, labeler)
        return run, labeler


def label_locally(job: LabelingJob, shards: Sequence[Shard], *, force: bool, advance: Advance) -> Iterator[ShardResult]:
    """Label shards one after another in this process.

    Args:
        job: What the shards have in common.
        shards: The shards.
        force: Whether to make outputs again that are finished.
        advance: See `Advance`.

    Yields:
        What became of each shard. Shards that another process is making come last.

    Raises:
        AlchemistError: See `label_shard`.

    """
    busy = []
    for shard in shards:
        result = label_shard(job, shard, force=force, advance=advance)
        if result.status is ShardStatus.BUSY:
            busy.append(shard)
        else:
            yield result
    for shard in busy:
        yield label_shard(job, shard, wait=True, advance=advance)


def add_up(results: Sequence[LabelSummary]) -> LabelSummary:
    """Return one summary of several tables.

    Args:
        results: The summaries.

    Returns:
        The sums; of each program's failures the first reason.

    """
    labels: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    failures: dict[str, tuple[int, str]] = {}
    for one in results:
        labels.update(one.labels)
        reasons.update(one.reasons)
        outcomes.update(one.outcomes)
        for name, (count, reason) in one.failures.items():
            before, first = failures.get(name, (0, reason))
            failures[name] = (before + count, first)
    return LabelSummary(
        n_rows=sum(one.n_rows for one in results),
        labels=dict(labels.most_common()),
        reasons=dict(reasons.most_common()),
        failures=failures,
        outcomes=dict(outcomes.most_common()),
    )
