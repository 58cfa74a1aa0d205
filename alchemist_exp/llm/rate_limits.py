"""Rate limits that all runs under one outputs directory share: calls in flight, requests and tokens per minute.

Also a wait that a server demands (`Retry-After`) applies to all of them.

A slot for a call in flight is a lock file, which the kernel releases when the process dies. The requests and tokens per
minute are a small JSON file. Its content is only worth a minute: if it is broken, or the clock was set back, it starts
from zero. Requests are not served in order. A request that is cancelled while it waits loses its place.
"""

import asyncio
import json
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from alchemist_exp.core.atomic_io import explain_write_errors
from alchemist_exp.core.locks import close_locked, open_locked, try_open_locked

_MINUTE_S = 60.0

_BURST_S = 6.0
"""After a pause, the requests or tokens of this many seconds may be sent at once: a tenth of a minute's."""

_POLL_S = (0.005, 0.020)
"""The range of the random wait before the slots are tried again."""

_CLOCK_TOLERANCE_S = 1.0
"""A state that was written further in the future than this shows that the clock was set back."""


@dataclass(kw_only=True)
class _State:
    """The state that all runs share. All times are in seconds since 1970.

    requests and tokens are theoretical arrival times of the generic cell rate algorithm (GCRA, ITU-T I.371): when
    everything that was admitted so far would be finished at exactly the permitted rate. A time that is ahead of the
    clock by more than a burst means that the next request has to wait for the difference.

    Attributes:
        written: When the state was last changed.
        not_before: The end of a wait that a server has demanded.
        requests: The theoretical arrival time of requests.
        tokens: The theoretical arrival time of tokens.

    """

    written: float = 0.0
    not_before: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0


class RateLimiter:
    """The rate limits of one provider and model. Use it in one event loop; each process has its own object.

    In any minute, at most the permitted number and a burst of a tenth of it (or one request, if that is more) is sent.

    Attributes:
        directory: Where the slots and the state of this provider and model are.

    """

    def __init__(
        self,
        directory: Path,
        *,
        max_in_flight: int,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Create the limiter without creating its files.

        Args:
            directory: Where the shared files are. It is created if it is missing.
            max_in_flight: The number of calls that all processes together may have in flight.
            requests_per_minute: The permitted requests per minute; None for no limit.
            tokens_per_minute: The permitted input and output tokens per minute; None for no limit.
            clock: Returns the seconds since 1970.
            sleep: Waits for a number of seconds.

        """
        self.directory = directory
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        # Its own generator: the global one is seeded by the experiment, so all runs would wait equally long.
        self._jitter = random.Random()
        self._own_slots = asyncio.Semaphore(max_in_flight)
        self._polling = asyncio.Lock()
        # Tried from the end, so a process with a lower max_in_flight, which only knows the low numbers, finds these
        # free more often.
        self._slots_not_held = list(range(max_in_flight))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of `max_in_flight` slots, and wait until one is free.

        Raises:
            StoreError: The lock file of the slot cannot be created.

        """
        # Tasks of this process wait for each other at the semaphore, without polling. Only one of them at a time polls
        # for the slots of other processes.
        async with self._own_slots:
            async with self._polling:
                number, file = await self._free_slot()
            try:
                yield
            finally:
                close_locked(file)
                self._slots_not_held.append(number)

    async def wait(self, tokens: int) -> None:
        """Wait until a request may be sent.

        Args:
            tokens: The estimated number of its input and output tokens. More tokens than a minute permits count as a
                minute's.

        Raises:
            StoreError: The state cannot be read or written.

        """
        while True:
            start, known_not_before = self._reserve_start(tokens)
            if (remaining := start - self._clock()) <= 0:
                return
            await self._sleep(remaining)
            with self._state() as state:
                not_before = state.not_before
            # If a server demanded a wait in the meantime, the start is no longer valid, so get a new one.
            if not_before <= max(known_not_before, self._clock()):
                return

    def correct(self, tokens_estimated: int, tokens_used: int) -> None:
        """Replace the estimate that `wait` has used for a request by the number of tokens it did use.

        Args:
            tokens_estimated: The number that was passed to `wait`.
            tokens_used: The number that the provider has metered.

        """
        if self._tokens_per_minute is not None:
            with self._state() as state:
                state.tokens += self._seconds_of(tokens_used) - self._seconds_of(tokens_estimated)

    def hold(self, seconds: float) -> None:
        """Make all runs wait before they send more requests. Calls in flight continue.

        Args:
            seconds: The wait that a server has demanded. A longer wait that is already active stays.

        """
        with self._state() as state:
            state.not_before = max(state.not_before, self._clock() + seconds)

    async def _free_slot(self) -> tuple[int, int]:
        """Return the number of a free slot and the descriptor of its locked file."""
        while True:
            # The slot that this process has released last comes first: most probably, it is still free.
            for number in reversed(self._slots_not_held):
                if (file := try_open_locked(self.directory / f"slot-{number}.lock")) is not None:
                    self._slots_not_held.remove(number)
                    return number, file
            await self._sleep(self._jitter.uniform(*_POLL_S))

    def _reserve_start(self, tokens: int) -> tuple[float, float]:
        """Reserve the next start time under all limits; return it, and the end of the demanded wait it respects."""
        limits = []  # name, seconds that this request takes at the permitted rate, seconds of a burst
        if self._requests_per_minute is not None:
            seconds = _MINUTE_S / self._requests_per_minute
            limits.append(("requests", seconds, max(_BURST_S, seconds)))
        if self._tokens_per_minute is not None:
            limits.append(("tokens", self._seconds_of(tokens), _BURST_S))
        with self._state() as state:
            now = max(self._clock(), state.not_before)
            finished = {name: max(getattr(state, name), now) + seconds for name, seconds, _ in limits}
            start = max([now, *(finished[name] - burst for name, _, burst in limits)])
            for name, seconds, burst in limits:
                # Requests that one limit delays until `start` must not save up a burst under the other limit meanwhile.
                setattr(state, name, max(finished[name], start + min(seconds, burst)))
            return start, state.not_before

    def _seconds_of(self, tokens: int) -> float:
        """Return how many seconds `tokens` take at the permitted rate, a minute at most."""
        return min(tokens / self._tokens_per_minute, 1.0) * _MINUTE_S if self._tokens_per_minute else 0.0

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """Lock and yield the state for some microseconds; changes are written at the end of the context."""
        path = self.directory / "state.json"
        file = open_locked(path)
        try:
            now, state = self._clock(), _State()
            # A file that is empty, broken or from the future counts as a new state.
            with suppress(ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                stored = json.loads(os.pread(file, 4096, 0))
                read = _State(**{name: float(value) for name, value in stored.items()})
                finite = all(math.isfinite(value) for value in asdict(read).values())
                state = read if finite and read.written <= now + _CLOCK_TOLERANCE_S else state
            before = asdict(state)
            yield state
            if asdict(state) != before:
                state.written = now
                raw = json.dumps(asdict(state)).encode() + b"\n"
                with explain_write_errors(path):
                    os.pwrite(file, raw, 0)
                    os.ftruncate(file, len(raw))
        finally:
            close_locked(file)
