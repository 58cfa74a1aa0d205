"""Asks many requests through a vendor's batch API: cheaper, and up to a day late.

Every batch has a book on disk before it is handed in. A job that is killed at any moment, run again, collects what it
had handed in, and hands in only what no batch holds. Where the vendor cannot tell whether it accepted a batch whose id
never reached us, that batch may be paid and not used; a notice says so. Batches are never cancelled here.
"""

import asyncio
import itertools
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from alchemist_exp.core.errors import LLMError
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.llm.batch_jobs import BatchJob, BatchJobState, BatchJobStore
from alchemist_exp.llm.providers.base import BatchAPI, BatchResults, ProviderLLM
from alchemist_exp.llm.types import Request, Response, TransientError

MOST_REQUESTS = 10_000
MOST_BYTES = 90_000_000
"""Of one batch; the vendors allow 50,000 and 200 MB or more."""

FIRST_PAUSE_S = 1.0
"""Before a batch that could not be handed in is tried again; doubled each time."""

POLL_S = 30.0
LONGEST_POLL_S = 300.0
POLL_GROWTH = 1.5

PATIENCE_S = 86_400.0
"""How long a batch is asked after in vain before the job ends; its book stays."""

_GO_ON = "Batches that were handed in go on, and the same run, started again, collects them."

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


async def ask_in_batches(
    requests: Sequence[Request],
    llm: ProviderLLM,
    batches: BatchAPI,
    books: Path,
    *,
    known: Callable[[Request], Response | None],
    on_reply: Callable[[Request, Response], None],
    notice: Callable[[str], None] = _log.info,
    poll_s: float = POLL_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Mapping[str, Response | str]:
    """For each request's key its reply, or why there is none.

    books: the folder of the batches' books. known: a reply that is at hand, None where there is none. on_reply: called
    with each reply of a batch, before the batch counts as collected. Each request is handed in at most llm.max_attempts
    times. LLMError when going on is useless, and when the server stays silent; what was handed in stays in the books.
    At most one call at a time in an event loop.
    """
    wanted = {request.key: request for request in requests}
    asking = _Asking(wanted, llm, batches, BatchJobStore(books), known, on_reply, notice, poll_s, sleep)
    while asking.wanted:
        await asking.collect(await asking.plan())
        asking.give_up()
    return {key: asking.outcomes[key] for key in wanted}


@dataclass
class _Asking:
    """One call. wanted: what has no outcome yet. attempts, reasons: of each key that a batch did not answer."""

    wanted: dict[str, Request]
    llm: ProviderLLM
    batches: BatchAPI
    books: BatchJobStore
    known: Callable[[Request], Response | None]
    on_reply: Callable[[Request, Response], None]
    notice: Callable[[str], None]
    poll_s: float
    sleep: Callable[[float], Awaitable[None]]
    outcomes: dict[str, Response | str] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = dict(self.wanted)

    async def plan(self) -> list[BatchJob]:
        """The batches that hold what is wanted: those of the books, and new ones for what none of them holds."""
        with self.books.locked():
            # A batch counts as collected only after its replies were kept, so none is missed between here and there.
            for key, request in list(self.wanted.items()):
                if (reply := self.known(request)) is not None:
                    self._settle(key, reply)
            held = await self._picked_up()
            holding = {key for book in held for key in book.to_collect}
            new: list[BatchJob] = []
            for part in _parts([r for key, r in self.wanted.items() if key not in holding]):
                try:
                    new.append(await self._hand_in(part))
                except LLMError as error:
                    if held or new:
                        raise LLMError(f"{error} {_GO_ON}") from error
                    raise
        if new:
            self.notice(f"{_count(new)} handed in; a job that ends earlier collects them when it is run again.")
        return held + new

    async def _picked_up(self) -> list[BatchJob]:
        """The open batches that hold what is wanted. Intents were left by killed jobs: we hold the lock."""
        held = []
        for book in self.books.open_books():
            if self.wanted.keys().isdisjoint(book.to_collect):
                continue
            if book.state is BatchJobState.INTENT:
                batch = await self._persistently(partial(self.batches.find, book.mark))
                if batch is None:
                    self.books.write(replace(book, state=BatchJobState.LOST))
                    self._tell_of_loss(book)
                    continue
                book = self.books.write(replace(book, state=BatchJobState.SUBMITTED, batch=batch))
            held.append(book)
        if held:
            self.notice(f"{_count(held)} handed in before, picked up.")
        return held

    async def _hand_in(self, requests: list[Request]) -> BatchJob:
        """Hands one batch in, its book first. After a fault it is looked for before it is handed in again."""
        keys = tuple(request.key for request in requests)
        book = self.books.begin(keys, provider=self.llm.name, model=self.llm.model)
        tries = 0

        async def attempt() -> str:
            nonlocal tries
            tries += 1
            if tries > 1:
                if (found := await self.batches.find(book.mark)) is not None:
                    return found
                self._tell_of_loss(book)
            try:
                return await self.batches.submit(requests, book.mark)
            except LLMError:
                if tries == 1:
                    self.books.remove(book)
                raise

        batch = await self._persistently(attempt)
        return self.books.write(replace(book, state=BatchJobState.SUBMITTED, batch=batch))

    async def _persistently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What `ask` brings, after faults again. LLMError after llm.max_attempts."""
        pause = min(FIRST_PAUSE_S, self.poll_s)
        for attempt in itertools.count(1):
            try:
                return await ask()
            except TransientError as fault:
                if attempt >= self.llm.max_attempts:
                    raise LLMError(
                        f"the batch API of {self.llm.name} failed {attempt} times ({fault}); run again later."
                    ) from fault
                wait = max(pause, fault.retry_after_s or 0.0)
                self.notice(f"the batch API of {self.llm.name} failed ({fault}); again in {wait:.0f} s.")
                await self.sleep(wait)
                pause *= 2
        raise AssertionError

    def _pauses(self) -> Iterator[float]:
        """Seconds to wait, longer and longer."""
        pause = self.poll_s
        while True:
            yield pause
            pause = max(self.poll_s, min(pause * POLL_GROWTH, LONGEST_POLL_S))

    async def collect(self, books: list[BatchJob]) -> None:
        """Waits for `books` to end and takes their results. One the server is silent about is asked after again."""
        waiting = {book.mark: book for book in books}
        done = dict.fromkeys(waiting, 0)
        silent_s = 0.0
        for pause in self._pauses():
            before, faults = dict(done), []
            for book in list(waiting.values()):
                try:
                    ended, done[book.mark] = await self.batches.finished(_id(book))
                    if ended:
                        results = await self.batches.results(_id(book))
                        self._take(book, results)
                        done[book.mark] = len(book.keys)
                        del waiting[book.mark]
                except TransientError as fault:
                    faults.append(fault)
                except LLMError as error:
                    raise LLMError(self._ended_early(book, error)) from error
            if done != before:
                of = sum(len(book.keys) for book in books)
                self.notice(f"{sum(done.values()):,} of {of:,} requests in {_count(books)} are done.")
            if not waiting:
                return
            if faults and not silent_s:
                self.notice(f"a batch could not be asked after ({faults[0]}); it goes on, and so do we.")
            wait = max([pause, *(fault.retry_after_s or 0.0 for fault in faults)])
            silent_s = silent_s + wait if len(faults) == len(waiting) else 0.0
            if silent_s > PATIENCE_S:
                raise LLMError(self._ended_early(next(iter(waiting.values())), faults[0]))
            await self.sleep(wait)

    def _take(self, book: BatchJob, results: BatchResults) -> None:
        """Settles what `results` answer, then notes in the book that they were taken."""
        mine = [key for key in book.to_collect if key in self.wanted]
        for key in mine:
            match results.answers.get(key):
                case Response() as reply:
                    self.on_reply(self.wanted[key], reply)
                    self._settle(key, reply)
                case LLMError() as error:
                    self._settle(key, str(error))
                case answer:
                    self.attempts[key] += 1
                    self.reasons[key] = str(answer or results.shortfall)
        with self.books.locked():
            self.books.collected(book, frozenset(mine))
        left = sum(key in self.wanted for key in mine)
        strange = len(results.answers.keys() - set(book.keys))
        for count, what in (
            (left, "requests without a reply"),
            (strange, "replies to requests that are not in it, ignored"),
            (results.unreadable, "unreadable lines, ignored"),
        ):
            if count:
                self.notice(f"batch {book.batch}: {count:,} {what}.")

    def give_up(self) -> None:
        """Settles what was handed in too often."""
        for key in list(self.wanted):
            if self.attempts[key] >= self.llm.max_attempts:
                self._settle(key, f"no reply in {self.attempts[key]} batches ({self.reasons[key]})")

    def _settle(self, key: str, outcome: Response | str) -> None:
        self.outcomes[key] = outcome
        del self.wanted[key]

    def _ended_early(self, book: BatchJob, error: Exception) -> str:
        reason = str(error).rstrip(".")
        return (
            f"batch {book.batch} could not be asked after ({reason}). {_GO_ON} "
            f"If the batch is gone, delete {self.books.path(book)}."
        )

    def _tell_of_loss(self, book: BatchJob) -> None:
        doubt = "" if self.batches.can_find else "; if it was accepted, which cannot be found out, it is paid as well"
        self.notice(f"a batch of {len(book.keys):,} requests got no id and is handed in anew{doubt}.")


def _id(book: BatchJob) -> str:
    """The vendor's id of a batch that was handed in."""
    if book.batch is None:
        raise AssertionError(f"the batch {book.mark} was never handed in")
    return book.batch


def _parts(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """`requests` in batches within `MOST_REQUESTS` and `MOST_BYTES`; a larger request is a batch of its own."""
    part: list[Request] = []
    size = 0
    for request in requests:
        # Escaped as it is here a request is longer than on the wire, whatever the vendor calls its fields.
        own = len(json.dumps(to_jsonable(request)))
        if part and (len(part) == MOST_REQUESTS or size + own > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(request)
        size += own
    if part:
        yield part


def _count(books: Sequence[BatchJob]) -> str:
    return f"{len(books)} batch{'' if len(books) == 1 else 'es'} of {sum(len(b.keys) for b in books):,} requests"
