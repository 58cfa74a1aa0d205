"""A program whose votes hang on order, time or addresses is flagged; one that is merely slow or stateless is not."""

from collections.abc import Callable

import pytest

from alchemist_exp.sandbox.base import Sandbox, Status

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
    "times out once": (
        "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    while n == 5:\n        pass\n    return 1\n"
    ),
}
DIFFERS = {
    "counter": "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    return n % 3\n",
    "random per row": "import random\ndef label_function(text):\n    return random.randrange(3)\n",
    "first row": "seen = []\ndef label_function(text):\n    seen.append(1)\n    return int(len(seen) == 1)\n",
    "clock": "import datetime\ndef label_function(text):\n    return datetime.datetime.now().microsecond % 3\n",
    "urandom": SYS + "os = sys.modules['os']\ndef label_function(text):\n    return os.urandom(1)[0] % 3\n",
    "address": "S = hash(object()) >> 8\ndef label_function(text):\n    return (S + len(text)) % 97\n",
    "violation later": SYS
    + (
        "n = 0\ndef label_function(text):\n    global n\n    n += 1\n"
        "    if n == 1 and text == 'text 199': sys.modules['os'].fork()\n    return 1\n"
    ),
}


@pytest.mark.parametrize("mode", ["seccomp", "spawn"])
def test_who_is_flagged(make_sandbox: MakeSandbox, mode: str) -> None:
    sources = [*REPEATS.values(), *DIFFERS.values()]
    runs = make_sandbox(mode, determinism_rows=200).execute(sources, TEXTS, 100)
    assert {run.status for run in runs} == {Status.OK}
    flagged = [name for name, run in zip([*REPEATS, *DIFFERS], runs, strict=True) if run.nondeterministic]
    assert flagged == list(DIFFERS)


def test_zero_rows_try_nobody(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox(determinism_rows=0).execute([DIFFERS["counter"]], TEXTS, 3)
    assert not run.nondeterministic


def test_progress_counts_each_row_once(make_sandbox: MakeSandbox) -> None:
    told: list[int] = []
    make_sandbox(determinism_rows=50, chunk_rows=70).execute(
        [REPEATS["plain"], DIFFERS["counter"], "syntax error"], TEXTS, 3, on_progress=told.append
    )
    assert sum(told) == 900
