import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from alchemist_exp.llm.rate_limits import RateLimiter

REPOSITORY = Path(__file__).parents[2]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.while_asleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.while_asleep()
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def rates(tmp_path: Path, time: Time) -> Callable[..., RateLimiter]:
    """Each call makes the limiter of another run on the same machine."""

    def make(
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_in_flight: int = 3,
        sleep: Callable[[float], Awaitable[None]] = time.sleep,
    ) -> RateLimiter:
        return RateLimiter(
            tmp_path / "openai-gpt",
            max_in_flight=max_in_flight,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            clock=lambda: time.now,
            sleep=sleep,
        )

    return make


def starts(rates: RateLimiter, time: Time, tokens: list[int]) -> list[float]:
    """Seconds after which each of several requests, one after the other, may be sent."""

    async def wait_for_all() -> list[float]:
        went = []
        begin = time.now
        for each in tokens:
            await rates.wait(each)
            went.append(round(time.now - begin, 6))
        return went

    return asyncio.run(wait_for_all())


def test_without_limits_no_request_waits(rates: Callable[..., RateLimiter], time: Time, tmp_path: Path) -> None:
    assert starts(rates(), time, [10**9] * 100) == [0.0] * 100
    assert time.slept == []


def test_requests_are_sent_at_the_permitted_rate_after_a_burst(rates: Callable[..., RateLimiter], time: Time) -> None:
    assert starts(rates(60), time, [0] * 10) == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]


def test_a_limit_of_a_few_requests_sends_the_first_at_once(rates: Callable[..., RateLimiter], time: Time) -> None:
    assert starts(rates(2), time, [0] * 3) == [0, 30, 60]


def test_tokens_are_sent_at_the_permitted_rate_after_a_burst(rates: Callable[..., RateLimiter], time: Time) -> None:
    assert starts(rates(None, 6000), time, [300] * 5) == [0, 0, 3, 6, 9]


def test_the_stricter_limit_applies(rates: Callable[..., RateLimiter], time: Time) -> None:
    assert starts(rates(60, 600), time, [30] * 6) == [0, 0, 3, 6, 9, 12]
    time.now += 600
    assert starts(rates(60, 600), time, [1] * 8) == [0, 0, 0, 0, 0, 0, 1, 2]


def test_all_runs_share_the_limits(rates: Callable[..., RateLimiter], time: Time) -> None:
    assert starts(rates(60), time, [0] * 6) == [0] * 6
    assert starts(rates(60), time, [0] * 2) == [1, 2]


@pytest.mark.parametrize("tokens", [1000, 1001, 10**9])
def test_a_request_above_the_limit_waits_for_a_minute_at_most(
    rates: Callable[..., RateLimiter], time: Time, tokens: int
) -> None:
    assert starts(rates(None, 1000), time, [tokens, tokens]) == [54, 114]


def test_estimates_are_corrected(rates: Callable[..., RateLimiter], time: Time) -> None:
    one = rates(None, 6000)
    assert starts(one, time, [600]) == [0]
    one.correct(600, 100)
    assert starts(one, time, [500]) == [0]
    one.correct(500, 800)
    assert starts(one, time, [100]) == [4]


def test_a_wait_that_a_server_demands_applies_to_all_runs(rates: Callable[..., RateLimiter], time: Time) -> None:
    rates().hold(30)
    rates().hold(10)
    assert starts(rates(), time, [0, 0]) == [30, 30]
    assert starts(rates(60), time, [0]) == [0]


def test_a_wait_demanded_during_the_wait_moves_the_start(rates: Callable[..., RateLimiter], time: Time) -> None:
    one = rates(60)
    starts(one, time, [0] * 6)

    def hold_once() -> None:
        time.while_asleep = lambda: None
        rates().hold(20)

    time.while_asleep = hold_once
    assert starts(one, time, [0]) == [20]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"9" * 9999,
        b'{"more": 1}',
        b'{"requests": null}',
        b'{"requests": NaN}',
        b'{"requests": 1e999}',
        b'{"requests": ' + b"9" * 400 + b"}",
        b'{"written": 5000, "not_before": 5000}',
    ],
)
def test_a_broken_state_starts_from_zero(
    rates: Callable[..., RateLimiter], time: Time, tmp_path: Path, broken: bytes
) -> None:
    starts(rates(60), time, [0] * 6)
    (tmp_path / "openai-gpt" / "state.json").write_bytes(broken)
    assert starts(rates(60), time, [0] * 7) == [0] * 6 + [1]


def test_a_clock_set_back_starts_from_zero(rates: Callable[..., RateLimiter], time: Time) -> None:
    starts(rates(60), time, [0] * 6)
    rates().hold(3600)
    time.now -= 500
    assert starts(rates(60), time, [0] * 7) == [0] * 6 + [1]


def test_requests_behind_a_large_one_are_not_sent_at_once(rates: Callable[..., RateLimiter]) -> None:
    one = rates(60, 1000)
    assert [round(one._reserve_start(tokens)[0] - 1000, 6) for tokens in (1000, *[0] * 9)] == [54] * 6 + [
        55,
        56,
        57,
        58,
    ]


ARRIVALS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 2500)), min_size=1, max_size=80)


@hypothesis.given(ARRIVALS, st.integers(1, 100), st.integers(100, 5000))
@hypothesis.settings(max_examples=60)
def test_no_minute_has_more_than_the_limits_and_a_tenth(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[float, int]], requests: int, tokens: int
) -> None:
    clock = Time()
    rates = RateLimiter(
        tmp_path_factory.mktemp("rates"),
        max_in_flight=1,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        clock=lambda: clock.now,
    )
    # All requests reserve their start at once, as concurrent tasks do; the clock moves only between arrivals.
    went = []
    for pause, size in arrivals:
        clock.now += pause
        went.append((rates._reserve_start(size)[0], min(size, tokens)))
    for first, (begin, size) in enumerate(went):
        minute = [each for start, each in went[first:] if start < begin + 60 - 1e-6]
        assert len(minute) <= max(requests * 1.1, requests + 1) + 1e-6
        assert sum(minute) <= tokens + max(tokens * 0.1, size) + 1e-6


def test_tasks_of_one_process_share_the_slots_and_do_not_poll(rates: Callable[..., RateLimiter], time: Time) -> None:
    one, in_flight, most, done = rates(), 0, 0, 0

    async def call() -> None:
        nonlocal in_flight, most, done
        async with one.slot():
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0)
            in_flight -= 1
            done += 1

    async def call_often() -> None:
        await asyncio.gather(*(call() for _ in range(500)))

    asyncio.run(call_often())
    assert (most, done) == (3, 500)
    assert time.slept == []


def test_a_run_waits_for_the_slots_of_another(rates: Callable[..., RateLimiter], time: Time) -> None:
    async def both() -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(rates(max_in_flight=2).slot())
            end = held.pop_all()

        async def sleep(seconds: float) -> None:
            assert 0.005 <= seconds <= 0.020
            time.slept.append(seconds)
            if len(time.slept) == 3:
                await end.aclose()

        async with rates(max_in_flight=2, sleep=sleep).slot():
            assert len(time.slept) == 3

    asyncio.run(both())


def test_a_slot_is_released_after_an_error(rates: Callable[..., RateLimiter], time: Time) -> None:
    one = rates(max_in_flight=1)

    async def fail_and_try_again() -> None:
        with pytest.raises(RuntimeError):
            async with one.slot():
                raise RuntimeError
        for job in (one, rates(max_in_flight=1)):
            async with job.slot():
                pass

    asyncio.run(fail_and_try_again())
    assert time.slept == []


def test_a_cancelled_caller_releases_its_slot(rates: Callable[..., RateLimiter], time: Time) -> None:
    async def cancel() -> None:
        holder, waiter = rates(max_in_flight=1), rates(max_in_flight=1, sleep=asyncio.sleep)
        async with holder.slot():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0), waiter.slot():
                    pass
        async with waiter.slot():
            pass

    asyncio.run(cancel())


def python(script: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HAMMER = """
import asyncio, os, sys
from pathlib import Path
from alchemist_exp.llm.rate_limits import RateLimiter
folder = Path(sys.argv[1])
rates = RateLimiter(folder, max_in_flight=2, requests_per_minute=None, tokens_per_minute=None)
marks = os.open(folder / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def call():
    async with rates.slot():
        os.write(marks, b"+")
        await asyncio.sleep(0)
        os.write(marks, b"-")

async def call_often():
    await asyncio.gather(*(call() for _ in range(40)))

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(call_often())
"""


def test_concurrent_processes_never_hold_more_than_the_slots(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(HAMMER, tmp_path)) for _ in range(3)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait() for process in processes] == [0, 0, 0]
    in_flight = most = 0
    marks = (tmp_path / "marks").read_text()
    for mark in marks:
        in_flight += 1 if mark == "+" else -1
        most = max(most, in_flight)
    assert len(marks) == 240
    assert most <= 2


HOLD = """
import asyncio, sys
from pathlib import Path
from alchemist_exp.llm.rate_limits import RateLimiter

async def hold():
    async with RateLimiter(Path(sys.argv[1]), max_in_flight=1, requests_per_minute=None, tokens_per_minute=None).slot():
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(hold())
"""


def test_the_slot_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as holder:
        assert holder.stdout.readline() == "held\n"
        polls = []

        async def sleep(seconds: float) -> None:
            polls.append(seconds)
            assert len(polls) == 1, "the slot of a dead process was not released"
            holder.kill()
            holder.wait()

        async def take() -> None:
            options: dict[str, Any] = {"requests_per_minute": None, "tokens_per_minute": None}
            async with RateLimiter(tmp_path, max_in_flight=1, sleep=sleep, **options).slot():
                pass

        asyncio.run(take())
        assert len(polls) == 1


def test_the_state_is_readable(rates: Callable[..., RateLimiter], time: Time, tmp_path: Path) -> None:
    starts(rates(60, 6000), time, [600])
    assert json.loads((tmp_path / "openai-gpt" / "state.json").read_text()) == {
        "written": 1000.0,
        "not_before": 0.0,
        "requests": 1001.0,
        "tokens": 1006.0,
    }
