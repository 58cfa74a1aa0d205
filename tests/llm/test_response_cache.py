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

from alchemist_exp.core import locks
from alchemist_exp.core.errors import StoreError
from alchemist_exp.llm import cache_entry
from alchemist_exp.llm.cache_entry import Entry
from alchemist_exp.llm.response_cache import DRAFT_S, CacheDefect, ResponseCache
from alchemist_exp.llm.types import FinishReason, Message, Request, Response, Role, Usage
from tests.support.paths import REPOSITORY

REQUEST = Request(
    provider="p",
    model="m",
    messages=(Message(role=Role.SYSTEM, text="s"), Message(role=Role.USER, text="\n ü\ud800\nmore")),
    parameters={"temperature": 0.7},
)
USAGE = Usage(input_tokens=30, output_tokens=20, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=1)
RESPONSE = Response(text="antwört\x00\u2028\udfff", model="m-1", finish_reason=FinishReason.COMPLETE, usage=USAGE)


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "replies")


def alter(cache: ResponseCache, change: Callable[[dict], object], request: Request = REQUEST) -> Path:
    path = cache.path(request)
    entry = json.loads(path.read_text(encoding="utf-8"))
    change(entry)
    path.write_text(json.dumps(entry), encoding="utf-8")
    return path


def test_a_written_response_is_read_back_and_its_file_is_readable(cache: ResponseCache) -> None:
    assert cache.read(REQUEST) is None
    cache.write(REQUEST, RESPONSE)
    assert cache.read(REQUEST) == replace(RESPONSE, from_cache=True)
    entry = json.loads(cache.path(REQUEST).read_text(encoding="utf-8"))
    assert set(entry) == {"request", "reply", "sha256", "model", "usage", "time", "batch"}
    assert entry["reply"] == RESPONSE.text
    assert entry["usage"]["reasoning_tokens"] == 1


@pytest.mark.parametrize(
    "response", [replace(RESPONSE, usage=None), replace(RESPONSE, batch=True), replace(RESPONSE, text=" ")]
)
def test_every_complete_response_is_read_back(cache: ResponseCache, response: Response) -> None:
    cache.write(REQUEST, RESPONSE)
    cache.write(REQUEST, response)
    assert cache.read(REQUEST) == replace(response, from_cache=True)


def test_a_pair_of_surrogates_is_the_character_it_encodes(cache: ResponseCache) -> None:
    halves, whole = "\ud83d\ude00", "\U0001f600"
    request = replace(REQUEST, messages=(Message(role=Role.USER, text=halves),))
    cache.write(request, replace(RESPONSE, text=halves))
    for text in (halves, whole):
        found = cache.read(replace(request, messages=(Message(role=Role.USER, text=text),)))
        assert found is not None
        assert found.text == whole
    assert cache.verify() == []


def test_entries_without_batch_and_usage_details_are_read(cache: ResponseCache) -> None:
    cache.write(REQUEST, RESPONSE)

    def older(entry: dict) -> None:
        entry["usage"] = {"input_tokens": 30, "output_tokens": 20}
        del entry["batch"]

    alter(cache, older)
    usage = Usage(input_tokens=30, output_tokens=20)
    assert cache.read(REQUEST) == replace(RESPONSE, usage=usage, from_cache=True)
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
def test_each_part_of_a_request_changes_the_key(other: Request) -> None:
    assert other.key != REQUEST.key


@pytest.mark.parametrize(
    "finish_reason", [finish_reason for finish_reason in FinishReason if finish_reason is not FinishReason.COMPLETE]
)
def test_incomplete_responses_are_never_cached(cache: ResponseCache, finish_reason: FinishReason) -> None:
    with pytest.raises(ValueError, match="never cached"):
        cache.write(REQUEST, replace(RESPONSE, finish_reason=finish_reason))
    assert not cache.path(REQUEST).exists()


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '"x"', '{"request": 1}', '{"reply": 5}', "null", "\ud800", "[" * 100_000],
    ids=lambda text: ascii(text[:20]) or "empty",
)
def test_a_broken_file_is_an_error_with_its_name(cache: ResponseCache, broken: str) -> None:
    cache.write(REQUEST, RESPONSE)
    cache.path(REQUEST).write_bytes(broken.encode("utf-8", "surrogatepass"))
    with pytest.raises(StoreError, match=rf"{REQUEST.key}\.json .*delete it"):
        cache.read(REQUEST)
    assert [problem.defect for problem in cache.verify()] == [CacheDefect.BROKEN]


def changed(**values: object) -> Callable[[dict], object]:
    return lambda entry: entry.update(values)


def test_a_named_pipe_in_the_place_of_an_entry_never_waits(cache: ResponseCache) -> None:
    path = cache.path(REQUEST)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r"cannot be read \(not a file\)"):
        cache.read(REQUEST)


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
def test_a_changed_entry_is_an_error_and_a_problem(cache: ResponseCache, change: Callable[[dict], object]) -> None:
    cache.write(REQUEST, RESPONSE)
    path = alter(cache, change)
    with pytest.raises(StoreError, match="delete it and run again"):
        cache.read(REQUEST)
    (problem,) = cache.verify()
    assert (problem.path, problem.defect) == (path, CacheDefect.BROKEN)
    assert str(path) in problem.message
    assert list(cache.entries()) == []


def test_an_entry_for_another_request_is_an_error(cache: ResponseCache) -> None:
    other = replace(REQUEST, sample=5)
    cache.write(REQUEST, RESPONSE)
    cache.path(other).parent.mkdir(parents=True, exist_ok=True)
    cache.path(REQUEST).rename(cache.path(other))
    with pytest.raises(StoreError, match="answers another request"):
        cache.read(other)


def fill(cache: ResponseCache, samples: int) -> list[Request]:
    requests = [replace(REQUEST, sample=i) for i in range(samples)]
    for request in requests:
        cache.write(request, RESPONSE)
    return requests


def test_entries_have_all_values_in_the_order_of_keys(cache: ResponseCache) -> None:
    assert list(cache.entries()) == cache.verify() == []
    requests = {request.key: request for request in fill(cache, 5)}
    entries = list(cache.entries())
    assert [entry.key for entry in entries] == sorted(requests)
    for entry in entries:
        request = requests[entry.key]
        assert entry.path == cache.path(request)
        assert entry.size == entry.path.stat().st_size
        assert (entry.request, entry.response) == (request, replace(RESPONSE, from_cache=True))
        assert (entry.provider, entry.model, entry.sample) == ("p", "m-1", request.sample)
        assert (entry.usage, entry.text, entry.first_line) == (USAGE, RESPONSE.text, "ü\ud800")
        assert abs(datetime.now(UTC) - entry.time) < timedelta(minutes=1)
        assert entry.is_by("m")
        assert entry.is_by("m-1")
        assert not entry.is_by("p")


def test_entries_are_found_by_a_prefix_of_their_key(cache: ResponseCache) -> None:
    keys = sorted(request.key for request in fill(cache, 20))
    for digits in (1, 2, 3, 24):
        prefix = keys[7][:digits]
        assert [path.stem for path in cache.find(prefix)] == [key for key in keys if key.startswith(prefix)]
    assert cache.find("*") == cache.find("") == cache.find("../") == cache.find(keys[0] + "0") == []


def test_foreign_files_and_old_drafts_are_problems_and_new_drafts_are_not(cache: ResponseCache) -> None:
    cache.write(REQUEST, RESPONSE)
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
    faults = {problem.path: problem.defect for problem in cache.verify()}
    assert faults.pop(draft) is CacheDefect.DRAFT
    expected = {*strangers, cache.root / "zz", path.with_name("0" * 24 + ".json")} - {strangers[2]}
    assert faults == dict.fromkeys(expected, CacheDefect.FOREIGN)
    assert [one.path for one in cache.prune(broken=True)] == [draft]
    assert cache.read(REQUEST) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_not_called_broken(cache: ResponseCache) -> None:
    cache.write(REQUEST, RESPONSE)
    cache.path(REQUEST).chmod(0)
    with pytest.raises(StoreError, match="cannot be read"):
        cache.read(REQUEST)
    assert [problem.defect for problem in cache.verify()] == [CacheDefect.UNREADABLE]
    assert cache.prune(broken=True) == []


def test_an_unreadable_disk_is_not_called_broken(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(REQUEST, RESPONSE)

    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cache_entry, "read_prefix", fails)
    assert [problem.defect for problem in cache.verify()] == [CacheDefect.UNREADABLE]
    assert cache.prune(broken=True) == []


def test_prune_deletes_what_meets_all_conditions_and_nothing_else(cache: ResponseCache) -> None:
    requests = fill(cache, 4)
    old = changed(time="2025-12-31T23:59:59+00:00")
    alter(cache, old, requests[0])
    alter(cache, lambda entry: (old(entry), entry.update(model="m-2")), requests[1])
    alter(cache, changed(model="m-2"), requests[2])
    broken = replace(REQUEST, sample=9)
    cache.write(broken, RESPONSE)
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
    with pytest.raises(ValueError, match="prune needs a condition"):
        cache.prune()
    assert len(list(cache.scan())) == 5
    assert len(cache.prune(before=before, model="m-2", broken=True)) == 2
    assert sorted(entry.sample for entry in cache.entries()) == [0, 2, 3]


async def obtain(cache: ResponseCache, request: Request, sent: list[Request], seconds: float = 0.1) -> Response:
    """Read the cache, or send the request, as a caller does."""
    async with cache.lock(request):
        if found := cache.read(request):
            return found
        sent.append(request)
        await asyncio.sleep(seconds)
        cache.write(request, RESPONSE)
        return RESPONSE


def test_tasks_with_the_same_request_send_it_once(cache: ResponseCache) -> None:
    sent: list[Request] = []

    async def all_at_once() -> list[Response]:
        return await asyncio.gather(*(obtain(cache, REQUEST, sent) for _ in range(16)))

    assert {response.text for response in asyncio.run(all_at_once())} == {RESPONSE.text}
    assert sent == [REQUEST]


def test_tasks_with_different_requests_do_not_wait_for_each_other(cache: ResponseCache) -> None:
    of_lock = {request.key[:3]: request for request in (replace(REQUEST, sample=i) for i in range(20))}
    requests, sent = list(of_lock.values()), []

    async def all_at_once() -> None:
        await asyncio.gather(*(obtain(cache, request, sent, 0.5) for request in requests))

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
    sent: list[Request] = []

    async def both() -> None:
        await asyncio.gather(obtain(cache, request, sent), obtain(cache, other, sent))

    asyncio.run(both())
    assert len(sent) == 2
    assert len(list((cache.root / "locks").iterdir())) == 1


def test_a_long_wait_is_logged_once(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "_LOG_AFTER_S", 0.1)

    async def both() -> None:
        await asyncio.gather(obtain(cache, REQUEST, [], 0.6), obtain(cache, REQUEST, [], 0.6))

    with caplog.at_level(logging.INFO):
        asyncio.run(both())
    assert [record.message for record in caplog.records] == [
        f"waiting for another job that works on the same thing ({cache.root}/locks/{REQUEST.key[:3]}.lock)"
    ]


def test_a_cancelled_or_failed_task_releases_the_lock(cache: ResponseCache) -> None:
    async def story() -> None:
        holder = asyncio.create_task(obtain(cache, REQUEST, [], 60))
        await asyncio.sleep(0.05)
        waiter = asyncio.create_task(obtain(cache, REQUEST, [], 60))
        await asyncio.sleep(0.1)
        waiter.cancel()
        holder.cancel()
        await asyncio.wait([holder, waiter])
        with pytest.raises(RuntimeError):
            async with cache.lock(REQUEST):
                raise RuntimeError
        handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        await asyncio.wait_for(obtain(cache, REQUEST, []), timeout=5)
        assert len(os.listdir("/proc/self/fd")) == handles  # noqa: PTH208

    asyncio.run(story())


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    opening = "from tests.llm.test_response_cache import *\nroot = Path(sys.argv[1])\ncache = ResponseCache(root)\n"
    return subprocess.Popen(
        [sys.executable, "-c", opening + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )


def test_two_processes_with_the_same_request_send_it_once(cache: ResponseCache) -> None:
    code = (
        "sent = []\n"
        "print('ready', flush=True)\n"
        "while not (root.parent / 'go').exists(): time.sleep(0.001)\n"
        "async def both(): return await asyncio.gather(*(obtain(cache, REQUEST, sent, 0.5) for _ in range(3)))\n"
        "assert all(response.text == RESPONSE.text for response in asyncio.run(both()))\n"
        "print(len(sent))\n"
    )
    jobs = [start(code, cache.root) for _ in range(2)]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
    (cache.root.parent / "go").touch()
    assert sorted(job.communicate(timeout=60)[0] for job in jobs) == [b"0\n", b"1\n"]


def test_the_lock_of_a_killed_process_is_released(cache: ResponseCache) -> None:
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
        await asyncio.wait_for(obtain(cache, REQUEST, []), timeout=10)

    asyncio.run(soon())


def test_killed_processes_leave_no_partial_response(cache: ResponseCache) -> None:
    """kill -9 at any moment: each response is complete or missing, and files left over are found and pruned."""
    code = (
        "print('ready', flush=True)\n"
        "for i in range(10**9):\n"
        "    cache.write(replace(REQUEST, sample=i % 50), replace(RESPONSE, text=f'{i}' * 200_000))\n"
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


def test_an_entry_whose_address_has_a_final_slash_is_read(cache: ResponseCache) -> None:
    """Earlier versions kept the slash in the key."""
    earlier = replace(REQUEST, parameters={"base_url": "http://h/v1/"})
    request = replace(REQUEST, parameters={"base_url": "http://h/v1"})
    assert cache.read(request) is None
    cache.write(earlier, RESPONSE)
    assert cache.read(request) == replace(RESPONSE, from_cache=True)


def test_reserved_space_becomes_the_entry_or_nothing(cache: ResponseCache) -> None:
    request = replace(REQUEST, parameters={"max_output_tokens": 1000})
    space = cache.reserve(request)
    (draft,) = cache.path(request).parent.iterdir()
    assert draft.stat().st_size > 16_000
    assert list(cache.scan()) == []
    cache.reserve(request)  # as a run does after the first one was killed
    assert not draft.exists()
    space = cache.reserve(request)
    cache.write(request, RESPONSE)
    next(path for path in cache.path(request).parent.iterdir() if path.name.startswith(".")).unlink()
    cache.write(request, RESPONSE, space)  # although the space was removed
    space = cache.reserve(request)
    cache.write(request, RESPONSE, space)
    space.discard()
    assert [path.name for path in cache.path(request).parent.iterdir()] == [cache.path(request).name]
    assert cache.read(request) == replace(RESPONSE, from_cache=True)
