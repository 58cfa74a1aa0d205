"""Caps that all jobs on one machine share: calls under way, requests and tokens a minute, and a wait a server asks for.

Tokens are estimated before a call and put right after it. The state is worth nothing: where it is broken, or the clock
was set back, it begins anew. Nobody is served in order, and a caller that is cancelled while it waits loses its place.
"""

import asyncio
import fcntl
import json
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from alchemist_exp.core.atomic_io import explain_write_errors

_MINUTE_S = 60.0

_BURST_S = 6.0
"""After a pause, this many seconds' worth may go out at once: a tenth of a minute's."""

_POLL_S = (0.005, 0.020)

_SET_BACK_S = 1.0
"""A state from further ahead than this shows that the clock was set back."""


@dataclass(kw_only=True)
class _State:
    """Times in seconds since 1970. written: of the last change. not_before: the end of a wait a server asked for.

    requests, tokens: when what was let through so far would be through at exactly the cap (GCRA's theoretical
    arrival time).
    """

    written: float = 0.0
    not_before: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0


class RateLimiter:
    """The caps for one provider and model, kept in `folder`. Used by one event loop; other processes have their own.

    requests_per_minute, tokens_per_minute: None for no cap. In any minute no more goes out than the cap and the tenth
    of it that a burst may have (or one request, where that is more).
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_in_flight: int,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.folder = folder
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        # The generator that all share is seeded, alike in all jobs, and belongs to the experiment.
        self._jitter = random.Random()
        self._here = asyncio.Semaphore(max_in_flight)
        self._polling = asyncio.Lock()
        # The highest first, so that a job with a lower cap, which knows the low ones alone, finds one.
        self._not_ours = list(range(max_in_flight))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds one of max_in_flight slots. The kernel frees it when the process dies."""
        async with self._here:
            async with self._polling:
                number, file = await self._free_slot()
            try:
                yield
            finally:
                os.close(file)
                self._not_ours.append(number)

    async def wait(self, tokens: int) -> None:
        """Returns when a request of about `tokens` may be sent, as all caps have it.

        One with more tokens than a minute allows counts as a minute's.
        """
        while True:
            start, held_until = self._place(tokens)
            if (rest := start - self._clock()) <= 0:
                return
            await self._sleep(rest)
            # Whoever wakes into a new wait takes a new place: the old one is void.
            if self._read().not_before <= max(held_until, self._clock()):
                return

    def correct(self, tokens_estimated: int, tokens_used: int) -> None:
        """Puts right what `wait` took for a request, now that its tokens are known."""
        if self._tokens_per_minute is not None:
            with self._state() as state:
                state.tokens += self._token_seconds(tokens_used) - self._token_seconds(tokens_estimated)

    def hold(self, seconds: float) -> None:
        """Lets all jobs wait, since the server asked for it. Calls under way go on."""
        with self._state() as state:
            state.not_before = max(state.not_before, self._clock() + seconds)

    async def _free_slot(self) -> tuple[int, int]:
        """The number of a slot and its locked file."""
        while True:
            # This process's own last one comes first, and is as good as always free.
            for number in reversed(self._not_ours):
                if (file := self._lock(number)) is not None:
                    self._not_ours.remove(number)
                    return number, file
            await self._sleep(self._jitter.uniform(*_POLL_S))

    def _lock(self, number: int) -> int | None:
        file = self._open(f"slot-{number}.lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        return file

    def _open(self, name: str) -> int:
        path = self.folder / name
        with explain_write_errors(path):
            try:
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _place(self, tokens: int) -> tuple[float, float]:
        """Takes the next place in the line: when it comes, and the end of the wait it keeps to."""
        caps = []
        if self._requests_per_minute is not None:
            each = _MINUTE_S / self._requests_per_minute
            caps.append(("requests", each, max(_BURST_S, each)))
        if self._tokens_per_minute is not None:
            caps.append(("tokens", self._token_seconds(tokens), _BURST_S))
        with self._state() as state:
            now = max(self._clock(), state.not_before)
            through = {name: max(getattr(state, name), now) + cost for name, cost, _ in caps}
            start = max([now, *(through[name] - burst for name, _, burst in caps)])
            for name, cost, burst in caps:
                # Those that one cap lets wait until `start` must not find a burst saved up there under the other.
                setattr(state, name, max(through[name], start + min(cost, burst)))
            return start, state.not_before

    def _token_seconds(self, tokens: int) -> float:
        """How long `tokens` take at the cap, a minute at most."""
        return min(tokens / self._tokens_per_minute, 1.0) * _MINUTE_S if self._tokens_per_minute else 0.0

    def _read(self) -> _State:
        with self._state() as state:
            return state

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """The state under its lock, which lasts microseconds; what is altered inside the context is written."""
        file = self._open("state.json")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            now = self._clock()
            state = _parsed(os.pread(file, 4096, 0), now)
            before = asdict(state)
            yield state
            if asdict(state) != before:
                state.written = now
                line = json.dumps(asdict(state)).encode() + b"\n"
                with explain_write_errors(self.folder / "state.json"):
                    os.pwrite(file, line, 0)
                    os.ftruncate(file, len(line))
        finally:
            os.close(file)


def _parsed(raw: bytes, now: float) -> _State:
    """The state in `raw`; a new one where that is empty, broken or from the future."""
    try:
        state = _State(**{name: float(value) for name, value in json.loads(raw).items()})
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return _State()
    sound = all(math.isfinite(value) for value in asdict(state).values()) and state.written <= now + _SET_BACK_S
    return state if sound else _State()
