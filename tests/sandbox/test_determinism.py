"""A program whose votes hang on order, time or addresses is flagged; one that is merely slow or stateless is not.

One that attacks only when the order shows that it is being tried has no vote, and one that ends early then is flagged.
"""

from collections.abc import Callable

import numpy as np
import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.accounting import ChunkAccount, ProgramAccount, StopReason
from alchemist_exp.sandbox.base import ProgramStatus, Sandbox
from alchemist_exp.sandbox.worker import UNSET
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
    "address": "S = hash(object()) >> 8\ndef label_function(text):\n    return (S + len(text)) % 97\n",
    "times out once": (
        "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    while n == 5:\n        pass\n    return 1\n"
    ),
}
# Programs that look whether they are being tried, and what they then do with the harness's own variables, f.
TRIED = (
    SYS + "def label_function(text):\n    frame = sys._getframe(1)\n    f = frame.f_locals\n"
    "    if f['job'].reverse:\n        {}\n    return 1\n"
)
FEIGNS = {
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


@pytest.mark.parametrize("mode", ["seccomp", "spawn"])
def test_who_is_flagged(make_sandbox: MakeSandbox, mode: str) -> None:
    sources = [*REPEATS.values(), *DIFFERS.values()]
    runs = make_sandbox(mode, determinism_rows=200).execute(sources, TEXTS, 100)
    assert {run.status for run in runs} == {ProgramStatus.OK}
    flagged = [name for name, run in zip([*REPEATS, *DIFFERS], runs, strict=True) if run.nondeterministic]
    assert flagged == list(DIFFERS)


def test_who_ends_early_only_when_tried_is_flagged(make_sandbox: MakeSandbox) -> None:
    runs = make_sandbox(determinism_rows=200).execute([TRIED.format(does) for does in FEIGNS.values()], TEXTS, 3)
    assert [(run.status, run.outcomes, run.nondeterministic) for run in runs] == [
        (ProgramStatus.OK, {"vote": 300}, True)
    ] * 5


def test_who_attacks_only_when_tried_has_no_vote(make_sandbox: MakeSandbox) -> None:
    runs = make_sandbox(determinism_rows=200).execute([TRIED.format(does) for does in ATTACKS], TEXTS, 3)
    assert [run.status for run in runs] == list(ATTACKS.values())
    assert all((run.votes == ABSTAIN).all() and "reverse order" in run.detail for run in runs)
    assert "at row 199" in runs[0].detail


def test_the_trial_has_what_is_left_of_the_time_and_is_booked(make_sandbox: MakeSandbox) -> None:
    ledger = ProgramAccount("source", make_sandbox(program_wall_s=30.0))
    first = ledger.open(0, 2)
    assert first is not None
    ledger.book(0, _finished(first, seconds=29.0))
    trial = ledger.open_trial(2)
    assert trial is not None
    assert trial.wall_left_s == 1.0
    ledger.book_trial(_finished(trial, seconds=1.0))
    run = ledger.close(2, 2)
    assert (run.cpu_seconds, run.nondeterministic, run.repeatable) == (30.0, False, True)


def _finished(account: ChunkAccount, *, seconds: float) -> ChunkAccount:
    account.spend(wall_s=seconds, cpu_s=seconds)
    account.settle(0, np.ones(2, dtype=np.int8), WorkerReport(loaded=True, messages={}), StopReason.NONE, 0, 2)
    return account


def test_zero_rows_try_nobody(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox(determinism_rows=0).execute([DIFFERS["counter"]], TEXTS, 3)
    assert not run.nondeterministic


@pytest.mark.parametrize(
    ("budget", "cut", "returncode"), [("max_timeouts", StopReason.STALL, -9), ("max_restarts", StopReason.NONE, 0)]
)
def test_who_has_used_up_a_budget_is_not_tried(
    make_sandbox: MakeSandbox, budget: str, cut: StopReason, returncode: int
) -> None:
    ledger = ProgramAccount("source", make_sandbox(**{"max_timeouts": 20, "max_restarts": 20, budget: 1}))
    account = ledger.open(0, 3)
    assert account is not None
    for row in range(2):
        codes = np.full(3 - row, UNSET, dtype=np.int8)
        account.settle(row, codes, WorkerReport(loaded=True, messages={}), cut, returncode, 2)
    ledger.book(0, account)
    assert ledger.open_trial(3) is None
    run = ledger.close(3, 2)
    assert (run.status, run.nondeterministic) == (ProgramStatus.QUARANTINED, False)


def test_progress_counts_each_row_once(make_sandbox: MakeSandbox) -> None:
    told: list[int] = []
    slow = "def label_function(text):\n    for _ in range(100_000): pass\n    return 1\n"
    make_sandbox(determinism_rows=200, chunk_rows=70).execute(
        [REPEATS["plain"], DIFFERS["counter"], slow, "syntax error"], TEXTS, 3, on_progress=told.append
    )
    assert sum(told) == 1200
    assert max(np.cumsum(told)) == 1200
