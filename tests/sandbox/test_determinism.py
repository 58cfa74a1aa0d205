"""The determinism check flags programs whose votes depend on order, time or addresses, and not slow or stateless ones.

A program that attacks only when the reverse order shows that it is being checked loses all votes; one that ends early
then is flagged.
"""

from collections.abc import Callable

import numpy as np
import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.accounting import ProgramAccount
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.chunk_account import ChunkAccount, StopReason
from alchemist_exp.sandbox.worker.protocol import UNSET
from alchemist_exp.sandbox.worker_report import WorkerReport

MakeSandbox = Callable[..., Sandbox]
TEXTS = [f"text {row}" for row in range(300)]
SYS = "import collections\nsys = collections._sys\n"
REPEATS = {
    "plain": "def label_function(text):\n    return 1 if '7' in text else 0\n",
    "seeded": "import random\nS = random.random()\ndef label_function(text):\n    return int(S * 100) % 3\n",
    "hash of the text": "def label_function(text):\n    return hash(text) % 3\n",
    "set order": "def label_function(text):\n    return len(next(iter(set(text)))) % 3\n",
    "cache": "import functools\n@functools.lru_cache\ndef label_function(text):\n    return len(text) % 3\n",
    "exceptions": "def label_function(text):\n    return 1 // ('7' in text)\n",
    "times out on a text": "def label_function(text):\n    while text == 'text 5': pass\n    return 1\n",
    "ends on two texts": SYS
    + "def label_function(text):\n    if text in ('text 5', 'text 150'): sys.modules['os']._exit(0)\n    return 1\n",
}
DIFFERS = {
    "counter": "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    return n % 3\n",
    "random per row": "import random\ndef label_function(text):\n    return random.randrange(3)\n",
    "first row": "seen = []\ndef label_function(text):\n    seen.append(1)\n    return int(len(seen) == 1)\n",
    "clock": "import datetime\ndef label_function(text):\n    return datetime.datetime.now().microsecond % 3\n",
    "urandom": SYS + "os = sys.modules['os']\ndef label_function(text):\n    return os.urandom(1)[0] % 3\n",
    # Each row has another part of the address, because one part alone is the same in every 97th interpreter.
    "address": "S = hash(object()) >> 8\ndef label_function(text):\n    return S // 97 ** (int(text[5:]) % 4) % 97\n",
    "times out once": (
        "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    while n == 5:\n        pass\n    return 1\n"
    ),
}
OF_THE_PROCESS = ("seeded", "hash of the text", "set order", "address", "urandom")
"""What could differ between interpreters; the others depend on the program alone."""

# Programs that detect the check, and what they then do with the harness's own variables, f.
DETECTS_CHECK = (
    SYS + "def label_function(text):\n    frame = sys._getframe(1)\n    f = frame.f_locals\n"
    "    if f['job'].reverse:\n        {}\n    return 1\n"
)
FAKES = {
    "an end": "sys.modules['os']._exit(0)",
    "timeouts": "f['votes'][0:200] = b'\\xfd' * 200; sys.modules['os']._exit(0)",
    "a timeout": "raise frame.f_globals['RowTimeoutError']",
    "a stall": "lock = sys.modules['_thread'].allocate_lock(); lock.acquire(); lock.acquire()",
    "a load error": "f['votes'][200] = 0; sys.modules['os']._exit(0)",
}
ATTACKS = {
    "sys.modules['os'].fork()": ProgramStatus.VIOLATION,
    "f['votes'][0:200] = b'\\x63' * 200": ProgramStatus.INVALID_OUTPUT,
}


@pytest.mark.parametrize(("mode", "names"), [("seccomp", (*REPEATS, *DIFFERS)), ("spawn", OF_THE_PROCESS)])
def test_only_programs_that_differ_are_flagged(make_sandbox: MakeSandbox, mode: str, names: tuple[str, ...]) -> None:
    sources = [(REPEATS | DIFFERS)[name] for name in names]
    runs = make_sandbox(mode, determinism_rows=200, call_cpu_s=0.06).execute(sources, TEXTS, 100)
    assert {run.status for run in runs} == {ProgramStatus.OK}
    flagged = {name for name, run in zip(names, runs, strict=True) if run.nondeterministic}
    assert flagged == set(names) & set(DIFFERS)


def test_programs_that_end_early_only_in_the_check_are_flagged(make_sandbox: MakeSandbox) -> None:
    sources = [DETECTS_CHECK.format(action) for action in FAKES.values()]
    runs = make_sandbox(determinism_rows=200, stall_s=0.3).execute(sources, TEXTS, 3)
    assert [(run.status, run.outcomes, run.nondeterministic) for run in runs] == [
        (ProgramStatus.OK, {"vote": 300}, True)
    ] * 5


def test_programs_that_attack_only_in_the_check_have_no_votes(make_sandbox: MakeSandbox) -> None:
    sources = [DETECTS_CHECK.format(action) for action in ATTACKS]
    runs = make_sandbox(determinism_rows=200).execute(sources, TEXTS, 3)
    assert [run.status for run in runs] == list(ATTACKS.values())
    assert all((run.votes == ABSTAIN).all() and "reverse order" in run.detail for run in runs)
    assert "at row 199" in runs[0].detail


def test_the_check_uses_the_time_that_is_left_and_its_cpu_time_counts(make_sandbox: MakeSandbox) -> None:
    account = ProgramAccount("source", make_sandbox(program_wall_s=30.0))
    first = account.open_chunk(0, 2)
    assert first is not None
    account.add_chunk(0, _finished(first, seconds=29.0))
    repetition = account.open_repetition(2)
    assert repetition is not None
    assert repetition.wall_left_s == 1.0
    account.add_repetition(_finished(repetition, seconds=1.0))
    run = account.result(2, 2)
    assert (run.cpu_seconds, run.nondeterministic, run.repeatable) == (30.0, False, True)


def _finished(account: ChunkAccount, *, seconds: float) -> ChunkAccount:
    account.add_time(wall_s=seconds, cpu_s=seconds)
    account.add_worker(0, np.ones(2, dtype=np.int8), WorkerReport(loaded=True, messages={}), StopReason.NONE, 0, 2)
    return account


def test_no_program_is_checked_with_zero_rows(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox(determinism_rows=0).execute([DIFFERS["counter"]], TEXTS, 3)
    assert not run.nondeterministic


@pytest.mark.parametrize(
    ("limit", "stop_reason", "returncode"),
    [("max_timeouts", StopReason.STALL, -9), ("max_restarts", StopReason.NONE, 0)],
)
def test_a_program_that_has_reached_a_limit_is_not_checked(
    make_sandbox: MakeSandbox, limit: str, stop_reason: StopReason, returncode: int
) -> None:
    account = ProgramAccount("source", make_sandbox(**{"max_timeouts": 20, "max_restarts": 20, limit: 1}))
    chunk = account.open_chunk(0, 3)
    assert chunk is not None
    for row in range(2):
        codes = np.full(3 - row, UNSET, dtype=np.int8)
        chunk.add_worker(row, codes, WorkerReport(loaded=True, messages={}), stop_reason, returncode, 2)
    account.add_chunk(0, chunk)
    assert account.open_repetition(3) is None
    run = account.result(3, 2)
    assert (run.status, run.nondeterministic) == (ProgramStatus.QUARANTINED, False)


def test_progress_counts_each_row_once(make_sandbox: MakeSandbox) -> None:
    progress: list[int] = []
    slow = "def label_function(text):\n    for _ in range(25_000): pass\n    return 1\n"
    crash = SYS + "def label_function(text):\n    sys.modules['os']._exit(0)\n"
    make_sandbox(determinism_rows=200, chunk_rows=120).execute(
        [REPEATS["plain"], DIFFERS["counter"], slow, crash, "syntax error"], TEXTS, 3, on_progress=progress.append
    )
    assert sum(progress) == 1500
    assert max(np.cumsum(progress)) == 1500
    assert min(progress) > 0
