import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alchemist_exp.core import atomic_io
from alchemist_exp.core.errors import StoreError
from alchemist_exp.llm.response_cache import DRAFT_S, CacheDefect, Entry, ResponseCache
from alchemist_exp.llm.types import FinishReason, Message, Request, Response, Role, Usage
from tests.support.paths import REPOSITORY

REQUEST = Request(
    provider="p",
    model="m",
    messages=(Message(role=Role.SYSTEM, text="s"), Message(role=Role.USER, text="\n ü\ud800\nmore")),
    parameters={"temperature": 0.7},
)
USAGE = Usage(input_tokens=30, output_tokens=20, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=1)
REPLY = Response(text="antwört\x00\u2028\udfff", model="m-1", finish_reason=FinishReason.COMPLETE, usage=USAGE)


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "replies")


def alter(cache: ResponseCache, change: Callable[[dict], object], request: Request = REQUEST) -> Path:
    path = cache.path(request)
    entry = json.loads(path.read_text(encoding="utf-8"))
    change(entry)
    path.write_text(json.dumps(entry), encoding="utf-8")
    return path


def test_what_was_written_is_read_and_readable(cache: ResponseCache) -> None:
    assert cache.read(REQUEST) is None
    cache.write(REQUEST, REPLY)
    assert cache.read(REQUEST) == replace(REPLY, from_cache=True)
    entry = json.loads(cache.path(REQUEST).read_text(encoding="utf-8"))
    assert set(entry) == {"request", "reply", "sha256", "model", "usage", "time", "batch"}
    assert entry["reply"] == REPLY.text
    assert entry["usage"]["reasoning_tokens"] == 1


@pytest.mark.parametrize("reply", [replace(REPLY, usage=None), replace(REPLY, batch=True), replace(REPLY, text=" ")])
def test_every_complete_reply_comes_back(cache: ResponseCache, reply: Response) -> None:
    cache.write(REQUEST, REPLY)
    cache.write(REQUEST, reply)
    assert cache.read(REQUEST) == replace(reply, from_cache=True)


def test_surrogates_that_make_a_pair_are_the_character_they_mean(cache: ResponseCache) -> None:
    halves, whole = "\ud83d\ude00", "\U0001f600"
    asked = replace(REQUEST, messages=(Message(role=Role.USER, text=halves),))
    cache.write(asked, replace(REPLY, text=halves))
    for text in (halves, whole):
        found = cache.read(replace(asked, messages=(Message(role=Role.USER, text=text),)))
        assert found is not None
        assert found.text == whole
    assert cache.verify() == []


def test_entries_older_than_batches_and_details_of_usage_still_read(cache: ResponseCache) -> None:
    cache.write(REQUEST, REPLY)

    def older(entry: dict) -> None:
        entry["usage"] = {"input_tokens": 30, "output_tokens": 20}
        del entry["batch"]

    alter(cache, older)
    usage = Usage(input_tokens=30, output_tokens=20)
    assert cache.read(REQUEST) == replace(REPLY, usage=usage, from_cache=True)
    assert cache.verify() == []


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, provider="q"),
        replace(REQUEST, model="n"),
        replace(REQUEST, messages=REQUEST.messages[:1]),
        replace(REQUEST, messages=REQUEST.messages[::-1]),
        replace(REQUEST, parameters={"temperature": 0.8}),
        replace(REQUEST, parameters={}),
        replace(REQUEST, sample=1),
    ],
)
def test_whatever_alters_the_reply_alters_the_key(other: Request) -> None:
    assert other.key != REQUEST.key


@pytest.mark.parametrize(
    "finish_reason", [finish_reason for finish_reason in FinishReason if finish_reason is not FinishReason.COMPLETE]
)
def test_incomplete_replies_are_never_kept(cache: ResponseCache, finish_reason: FinishReason) -> None:
    with pytest.raises(ValueError, match="never kept"):
        cache.write(REQUEST, replace(REPLY, finish_reason=finish_reason))
    assert not cache.path(REQUEST).exists()


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '"x"', '{"request": 1}', '{"reply": 5}', "null", "\ud800", "[" * 100_000],
    ids=lambda text: ascii(text[:20]) or "empty",
)
def test_a_broken_file_is_an_error_naming_it(cache: ResponseCache, broken: str) -> None:
    cache.write(REQUEST, REPLY)
    cache.path(REQUEST).write_bytes(broken.encode("utf-8", "surrogatepass"))
    with pytest.raises(StoreError, match=rf"{REQUEST.key}\.json .*delete it"):
        cache.read(REQUEST)
    assert [problem.fault for problem in cache.verify()] == [CacheDefect.BROKEN]


def changed(**values: object) -> Callable[[dict], object]:
    return lambda entry: entry.update(values)


@pytest.mark.parametrize(
    "change",
    [
        changed(reply="other"),
        changed(sha256=5),
        changed(model=None),
        changed(usage=[1]),
        changed(usage={"input_tokens": "1", "output_tokens": 2}),
        changed(usage={"input_tokens": 1, "output_tokens": 2, "more": 3}),
        changed(usage={}),
        changed(batch="yes"),
        changed(time="yesterday"),
        changed(time=5),
        changed(request=None),
        lambda entry: entry["request"].update(sample=7),
        lambda entry: entry["request"]["parameters"].update(x=float("inf")),
        lambda entry: entry.pop("time"),
    ],
)
def test_an_altered_entry_is_an_error_and_a_problem(cache: ResponseCache, change: Callable[[dict], object]) -> None:
    cache.write(REQUEST, REPLY)
    path = alter(cache, change)
    with pytest.raises(StoreError, match="delete it and run again"):
        cache.read(REQUEST)
    (problem,) = cache.verify()
    assert (problem.path, problem.fault) == (path, CacheDefect.BROKEN)
    assert str(path) in problem.sentence
    assert list(cache.entries()) == []


def test_an_entry_for_another_request_is_an_error(cache: ResponseCache) -> None:
    other = replace(REQUEST, sample=5)
    cache.write(REQUEST, REPLY)
    cache.path(other).parent.mkdir(parents=True, exist_ok=True)
    cache.path(REQUEST).rename(cache.path(other))
    with pytest.raises(StoreError, match="answers another request"):
        cache.read(other)


def fill(cache: ResponseCache, samples: int) -> list[Request]:
    requests = [replace(REQUEST, sample=i) for i in range(samples)]
    for request in requests:
        cache.write(request, REPLY)
    return requests


def test_entries_say_everything_in_the_order_of_keys(cache: ResponseCache) -> None:
    assert list(cache.entries()) == cache.verify() == []
    requests = {request.key: request for request in fill(cache, 5)}
    entries = list(cache.entries())
    assert [entry.key for entry in entries] == sorted(requests)
    for entry in entries:
        request = requests[entry.key]
        assert entry.path == cache.path(request)
        assert entry.size == entry.path.stat().st_size
        assert (entry.request, entry.response) == (request, replace(REPLY, from_cache=True))
        assert (entry.provider, entry.model, entry.sample) == ("p", "m-1", request.sample)
        assert (entry.usage, entry.reply, entry.first_line) == (USAGE, REPLY.text, "ü\ud800")
        assert abs(datetime.now(UTC) - entry.time) < timedelta(minutes=1)
        assert entry.is_by("m")
        assert entry.is_by("m-1")
        assert not entry.is_by("p")


def test_replies_are_found_by_the_beginning_of_their_key(cache: ResponseCache) -> None:
    keys = sorted(request.key for request in fill(cache, 20))
    for digits in (1, 2, 3, 24):
        prefix = keys[7][:digits]
        assert [path.stem for path in cache.find(prefix)] == [key for key in keys if key.startswith(prefix)]
    assert cache.find("*") == cache.find("") == cache.find("../") == cache.find(keys[0] + "0") == []


def test_strangers_and_old_drafts_are_problems_and_new_drafts_are_not(cache: ResponseCache) -> None:
    cache.write(REQUEST, REPLY)
    path = cache.path(REQUEST)
    draft = path.with_name(f".{path.name}.123-0a1b2c3d")
    draft.write_text("half")
    assert cache.verify() == []
    os.utime(draft, (time.time() - 2 * DRAFT_S,) * 2)
    strangers = [path.with_name("notes.txt"), cache.root / "README", cache.root / "zz" / "x.json"]
    strangers += [path.with_name("sub"), cache.root / ("00" if path.parent.name != "00" else "01") / path.name]
    for stranger in strangers[:2]:
        stranger.write_text("x")
    strangers[2].parent.mkdir()
    strangers[3].mkdir()
    strangers[4].parent.mkdir()
    strangers[4].write_bytes(path.read_bytes())
    os.mkfifo(path.with_name("0" * 24 + ".json"))
    faults = {problem.path: problem.fault for problem in cache.verify()}
    assert faults.pop(draft) is CacheDefect.DRAFT
    expected = {*strangers, cache.root / "zz", path.with_name("0" * 24 + ".json")} - {strangers[2]}
    assert faults == dict.fromkeys(expected, CacheDefect.FOREIGN)
    assert [one.path for one in cache.prune(broken=True)] == [draft]
    assert cache.read(REQUEST) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_not_called_broken(cache: ResponseCache) -> None:
    cache.write(REQUEST, REPLY)
    cache.path(REQUEST).chmod(0)
    with pytest.raises(StoreError, match="cannot be read"):
        cache.read(REQUEST)
    assert [problem.fault for problem in cache.verify()] == [CacheDefect.UNREADABLE]
    assert cache.prune(broken=True) == []


def test_an_unreadable_disk_is_not_called_broken(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(REQUEST, REPLY)

    def fails(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fails)
    assert [problem.fault for problem in cache.verify()] == [CacheDefect.UNREADABLE]
    assert cache.prune(broken=True) == []


def test_pruning_deletes_what_all_criteria_name_and_nothing_else(cache: ResponseCache) -> None:
    requests = fill(cache, 4)
    old = changed(time="2025-12-31T23:59:59+00:00")
    alter(cache, old, requests[0])
    alter(cache, lambda entry: (old(entry), entry.update(model="m-2")), requests[1])
    alter(cache, changed(model="m-2"), requests[2])
    broken = replace(REQUEST, sample=9)
    cache.write(broken, REPLY)
    cache.path(broken).write_text("{")
    before = datetime(2026, 1, 1, tzinfo=UTC)

    def named(**criteria: object) -> set[int | None]:
        found = cache.prune(dry_run=True, **criteria)
        return {one.sample if isinstance(one, Entry) else None for one in found}

    assert named(before=before) == {0, 1}
    assert named(model="m-2") == {1, 2}
    assert named(before=before, model="m-2") == {1}
    assert named(broken=True) == {None}
    assert named(before=before, model="m-2", broken=True) == {1, None}
    with pytest.raises(ValueError, match="criterion"):
        cache.prune()
    assert len(list(cache.scan())) == 5
    assert len(cache.prune(before=before, model="m-2", broken=True)) == 2
    assert sorted(entry.sample for entry in cache.entries()) == [0, 2, 3]


async def ask(cache: ResponseCache, request: Request, asked: list[Request], seconds: float = 0.1) -> Response:
    """What a caller does."""
    async with cache.lock(request):
        if found := cache.read(request):
            return found
        asked.append(request)
        await asyncio.sleep(seconds)
        cache.write(request, REPLY)
        return REPLY


def test_tasks_that_ask_the_same_at_once_ask_once(cache: ResponseCache) -> None:
    asked: list[Request] = []

    async def all_at_once() -> list[Response]:
        return await asyncio.gather(*(ask(cache, REQUEST, asked) for _ in range(16)))

    assert {reply.text for reply in asyncio.run(all_at_once())} == {REPLY.text}
    assert asked == [REQUEST]


def test_tasks_that_ask_different_things_do_not_wait_for_each_other(cache: ResponseCache) -> None:
    of_lock = {request.key[:3]: request for request in (replace(REQUEST, sample=i) for i in range(20))}
    requests, asked = list(of_lock.values()), []

    async def all_at_once() -> None:
        await asyncio.gather(*(ask(cache, request, asked, 0.5) for request in requests))

    started = time.monotonic()
    asyncio.run(all_at_once())
    assert time.monotonic() - started < 5
    locks = {path.name for path in (cache.root / "locks").iterdir()}
    assert locks == {f"{request.key[:3]}.lock" for request in requests}
    assert cache.verify() == []


def test_requests_that_share_a_lock_take_turns(cache: ResponseCache) -> None:
    seen: dict[str, Request] = {}
    for i in range(10_000):
        request = replace(REQUEST, sample=i)
        if (other := seen.setdefault(request.key[:3], request)) is not request:
            break
    asked: list[Request] = []

    async def both() -> None:
        await asyncio.gather(ask(cache, request, asked), ask(cache, other, asked))

    asyncio.run(both())
    assert len(asked) == 2
    assert len(list((cache.root / "locks").iterdir())) == 1


def test_who_waits_long_says_so_once(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(atomic_io, "_PATIENCE_S", 0.1)

    async def both() -> None:
        await asyncio.gather(ask(cache, REQUEST, [], 0.6), ask(cache, REQUEST, [], 0.6))

    with caplog.at_level(logging.INFO):
        asyncio.run(both())
    assert [record.message for record in caplog.records] == [
        f"waiting for another job that works on the same thing ({cache.root}/locks/{REQUEST.key[:3]}.lock)"
    ]


def test_who_is_cancelled_or_fails_frees_the_lock(cache: ResponseCache) -> None:
    async def story() -> None:
        holder = asyncio.create_task(ask(cache, REQUEST, [], 60))
        await asyncio.sleep(0.05)
        waiter = asyncio.create_task(ask(cache, REQUEST, [], 60))
        await asyncio.sleep(0.1)
        waiter.cancel()
        holder.cancel()
        await asyncio.wait([holder, waiter])
        with pytest.raises(RuntimeError):
            async with cache.lock(REQUEST):
                raise RuntimeError
        handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        await asyncio.wait_for(ask(cache, REQUEST, []), timeout=5)
        assert len(os.listdir("/proc/self/fd")) == handles  # noqa: PTH208

    asyncio.run(story())


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    opening = "from tests.llm.test_response_cache import *\nroot = Path(sys.argv[1])\ncache = ResponseCache(root)\n"
    return subprocess.Popen(
        [sys.executable, "-c", opening + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )


def test_two_processes_that_ask_the_same_at_once_ask_once(cache: ResponseCache) -> None:
    code = (
        "asked = []\n"
        "print('ready', flush=True)\n"
        "while not (root.parent / 'go').exists(): time.sleep(0.001)\n"
        "async def both(): return await asyncio.gather(*(ask(cache, REQUEST, asked, 0.5) for _ in range(3)))\n"
        "assert all(reply.text == REPLY.text for reply in asyncio.run(both()))\n"
        "print(len(asked))\n"
    )
    jobs = [start(code, cache.root) for _ in range(2)]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
    (cache.root.parent / "go").touch()
    assert sorted(job.communicate(timeout=60)[0] for job in jobs) == [b"0\n", b"1\n"]


def test_a_killed_holder_frees_the_lock(cache: ResponseCache) -> None:
    code = (
        "async def hold():\n"
        "    async with cache.lock(REQUEST):\n"
        "        print('held', flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(hold())\n"
    )
    job = start(code, cache.root)
    assert job.stdout is not None
    assert job.stdout.readline() == b"held\n"
    job.kill()
    job.communicate()

    async def soon() -> None:
        await asyncio.wait_for(ask(cache, REQUEST, []), timeout=10)

    asyncio.run(soon())


def test_killed_writers_leave_no_half_reply(cache: ResponseCache) -> None:
    """kill -9 at any moment: each reply is whole or absent, and what is left over is named and pruned."""
    code = (
        "print('ready', flush=True)\n"
        "for i in range(10**9): cache.write(replace(REQUEST, sample=i % 50), replace(REPLY, text=f'{i}' * 200_000))\n"
    )
    for _ in range(6):
        job = start(code, cache.root)
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        time.sleep(0.05 + random.random() / 10)
        job.send_signal(signal.SIGKILL)
        job.communicate()
        assert cache.verify() == []
    assert any(True for _ in cache.entries())
    drafts = list(cache.root.glob("??/.*"))
    for draft in drafts:
        os.utime(draft, (0, 0))
    assert {problem.path for problem in cache.verify()} == set(drafts)
    assert len(cache.prune(broken=True)) == len(drafts)
    assert cache.verify() == []
