"""File locks: exclusive, released when their holder dies or is cancelled, and not inherited by a forked child."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alchemist_exp.core import locks
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.locks import close_locked, locked, locked_async, open_locked, try_open_locked
from alchemist_exp.core.processes import ProcessIdentity
from tests.support.paths import REPOSITORY


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_long_wait_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "_LOG_AFTER_S", 0.05)
    entered = threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock"):
            entered.set()

    with locked(tmp_path / "lock"):
        other = threading.Thread(target=second)
        other.start()
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "waiting for another job" in caplog.messages[0]
        assert not entered.is_set()
    other.join()
    assert entered.is_set()


def test_the_three_kinds_of_locks_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"

    async def hold() -> None:
        async with locked_async(path):
            assert try_open_locked(path) is None

    asyncio.run(hold())
    with locked(path):
        assert try_open_locked(path) is None
    file = open_locked(path)
    assert try_open_locked(path) is None
    close_locked(file)
    free = try_open_locked(path)
    assert free is not None
    close_locked(free)


def test_many_tasks_wait_without_threads_and_descriptors(tmp_path: Path) -> None:
    holders = most = 0

    async def hold() -> None:
        nonlocal holders, most
        async with locked_async(tmp_path / "lock"):
            holders += 1
            most = max(most, holders)
            await asyncio.sleep(0)
            holders -= 1

    async def hold_often() -> None:
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        tasks = [asyncio.create_task(hold()) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert threading.active_count() == threads
        for task in tasks[::5]:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208

    threads = threading.active_count()
    asyncio.run(hold_often())
    assert most == 1


@contextmanager
def held_async(path: Path) -> Iterator[None]:
    """`locked_async` as a context without a coroutine."""
    with asyncio.Runner() as runner:
        lock = locked_async(path)
        runner.run(lock.__aenter__())
        yield
        runner.run(lock.__aexit__(None, None, None))


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    file = open_locked(path)
    yield
    close_locked(file)


@pytest.mark.parametrize("hold", [locked, held_async, held_open])
def test_a_child_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path, hold: Callable[[Path], object]) -> None:
    path = tmp_path / "lock"
    with hold(path):
        child = os.fork()
        if child == 0:  # pragma: no cover - it does nothing
            signal.pause()
        assert try_open_locked(path) is None
    try:
        file = try_open_locked(path)
        assert file is not None
        close_locked(file)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_another_user_may_lock_the_same_file(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        with locked(tmp_path / "lock"):
            pass
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o666


def test_a_lock_file_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "lock"

    async def hold() -> None:
        async with locked_async(path):
            pass

    for attempt in (lambda: locked(path).__enter__(), lambda: asyncio.run(hold()), lambda: open_locked(path)):
        with pytest.raises(StoreError, match="lock could not be written"):
            attempt()


def test_a_process_is_alive_until_it_ends(tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from dataclasses import asdict\n"
        "from alchemist_exp.core.processes import ProcessIdentity\n"
        "print(json.dumps(asdict(ProcessIdentity.current())), flush=True)\n"
        "input()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        identity = ProcessIdentity(**json.loads(process.stdout.readline()))
        assert identity.is_alive()
        assert not ProcessIdentity(host=identity.host, pid=identity.pid, start=1).is_alive()
        assert ProcessIdentity(host="elsewhere", pid=identity.pid, start=identity.start).is_alive() is None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie is dead
        assert identity.is_alive() is False
