"""Batch jobs on disk: one readable JSON file per batch, so that a killed run does not lose what it submitted.

A batch job is written before its batch is submitted. Nothing here contacts a provider.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from alchemist_exp.core.atomic_io import read_json, remove_partial_files, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import key_of, to_jsonable
from alchemist_exp.core.locks import locked


class BatchJobState(StrEnum):
    """The state of a batch, stored in its file."""

    INTENT = "intent"  # about to be submitted, or submitted by a run that was killed before the id arrived
    SUBMITTED = "submitted"  # the provider's id is known
    COLLECTED = "collected"  # every result was taken
    LOST = "lost"  # an intent without a batch at the provider; its requests were submitted again


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What is known about one batch. The names of the fields are the keys of its file.

    Attributes:
        mark: The name of the file. A provider that can store it finds the batch by it.
        state: The state of the batch.
        batch: The provider's id of the batch, or None before it is known.
        provider: The name of the llm member.
        model: The model's name.
        time: When the job was created, in ISO format, UTC.
        keys: The keys of all requests.
        to_collect: The keys of those whose results have not been taken.

    """

    mark: str
    state: BatchJobState
    batch: str | None
    provider: str
    model: str
    time: str
    keys: tuple[str, ...]
    to_collect: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether it has, or may have, results to collect."""
        return self.state in (BatchJobState.INTENT, BatchJobState.SUBMITTED)


class BatchJobStore:
    """The batch jobs in one directory, shared by all runs. A caller that plans or writes must hold the lock."""

    def __init__(self, root: Path) -> None:
        """Use the directory `root`, which need not exist yet."""
        self.root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock on all batch jobs; other runs wait."""
        with locked(self.root / ".lock"):
            yield

    def path(self, job: BatchJob) -> Path:
        """Return the path of a job's file.

        Args:
            job: Any job.

        Returns:
            The path; the file may not exist.

        """
        return self.root / f"{job.mark}.json"

    def open_jobs(self) -> list[BatchJob]:
        """Return the jobs that may have results to collect.

        Returns:
            The open jobs, oldest first.

        Raises:
            StoreError: A file is broken; the message names it.

        """
        jobs = [_read(path) for path in self.root.glob("*.json")]
        return sorted((job for job in jobs if job.is_open), key=lambda job: (job.time, job.mark))

    def create(self, keys: tuple[str, ...], *, provider: str, model: str) -> BatchJob:
        """Write a new job, an intent.

        Args:
            keys: The keys of its requests.
            provider: The name of the llm member.
            model: The model's name.

        Returns:
            The job.

        """
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        mark = key_of("batch", {"keys": keys, "time": time})
        state = BatchJobState.INTENT
        return self.write(
            BatchJob(
                mark=mark,
                state=state,
                batch=None,
                provider=provider,
                model=model,
                time=time,
                keys=keys,
                to_collect=keys,
            )
        )

    def write(self, job: BatchJob) -> BatchJob:
        """Write a job's file atomically.

        Args:
            job: The job.

        Returns:
            The same job.

        """
        write_json(self.path(job), to_jsonable(job))
        return job

    def remove(self, job: BatchJob) -> None:
        """Delete the file of a batch that the provider did not accept.

        Args:
            job: The job; its file may not exist.

        """
        self.path(job).unlink(missing_ok=True)
        remove_partial_files(self.path(job))

    def mark_collected(self, job: BatchJob, keys: frozenset[str]) -> None:
        """Note on disk that the results of some requests were taken.

        Args:
            job: The job. Its file is read again, since other runs may have taken results meanwhile.
            keys: The keys of the requests.

        """
        if not self.path(job).exists():
            return
        now = _read(self.path(job))
        left = tuple(key for key in now.to_collect if key not in keys)
        self.write(replace(now, to_collect=left, state=now.state if left else BatchJobState.COLLECTED))


def _read(path: Path) -> BatchJob:
    entry = read_json(path, what="the batch job")
    try:
        lists = {name: tuple(entry[name]) for name in ("keys", "to_collect")}
        job = BatchJob(**{**entry, **lists, "state": BatchJobState(entry["state"])})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the batch job {path} is broken ({error!r}); delete it and run again.") from error
    if job.mark != path.stem or (job.state is BatchJobState.SUBMITTED and not isinstance(job.batch, str)):
        raise StoreError(f"the batch job {path} contradicts itself; delete it and run again.")
    return job
