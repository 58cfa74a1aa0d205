"""Books of batches: one readable JSON file each, so that a job that is killed does not lose what it handed in.

A book is written before its batch is handed in. Nothing here asks a server.
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
    """Where a batch stands.

    intent: about to be handed in, or handed in by a job that was killed before it learned the id. submitted: handed in.
    collected: every result was taken. lost: an intent that could not be found again; its requests were handed in anew.
    """

    INTENT = "intent"
    SUBMITTED = "submitted"
    COLLECTED = "collected"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What is known of one batch.

    mark: its name here and, where the vendor keeps one, there. batch: the vendor's id, None before it is known. keys:
    of all its requests; to_collect: of those whose results nobody has taken yet.
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
    """The books under `root`. Whoever plans or writes holds the lock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the books: other jobs that want them wait."""
        with locked(self.root / ".lock"):
            yield

    def path(self, book: BatchJob) -> Path:
        """Where `book` lies or will lie."""
        return self.root / f"{book.mark}.json"

    def open_books(self) -> list[BatchJob]:
        """All that are open, oldest first. StoreError, naming the file, when one is broken."""
        books = [_read(path) for path in self.root.glob("*.json")]
        return sorted((book for book in books if book.is_open), key=lambda book: (book.time, book.mark))

    def begin(self, keys: tuple[str, ...], *, provider: str, model: str) -> BatchJob:
        """A new book, an intent, on disk."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        mark = key_of("batch", {"keys": keys, "time": time})
        book = BatchJob(
            mark=mark,
            state=BatchJobState.INTENT,
            batch=None,
            provider=provider,
            model=model,
            time=time,
            keys=keys,
            to_collect=keys,
        )
        return self.write(book)

    def write(self, book: BatchJob) -> BatchJob:
        """Puts `book` on disk."""
        write_json(self.path(book), to_jsonable(book))
        return book

    def remove(self, book: BatchJob) -> None:
        """Forgets a batch that was never accepted."""
        self.path(book).unlink(missing_ok=True)
        remove_partial_files(self.path(book))

    def collected(self, book: BatchJob, keys: frozenset[str]) -> None:
        """Notes that the results of `keys` were taken; others may have taken theirs meanwhile."""
        if not self.path(book).exists():
            return
        now = _read(self.path(book))
        left = tuple(key for key in now.to_collect if key not in keys)
        self.write(replace(now, to_collect=left, state=now.state if left else BatchJobState.COLLECTED))


def _read(path: Path) -> BatchJob:
    entry = read_json(path, what="the book of a batch")
    try:
        book = BatchJob(
            **{
                **entry,
                "state": BatchJobState(entry["state"]),
                "keys": tuple(entry["keys"]),
                "to_collect": tuple(entry["to_collect"]),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the book of a batch {path} is broken ({error!r}); delete it and run again.") from error
    if book.mark != path.stem or (book.state is BatchJobState.SUBMITTED and not isinstance(book.batch, str)):
        raise StoreError(f"the book of a batch {path} contradicts itself; delete it and run again.")
    return book
