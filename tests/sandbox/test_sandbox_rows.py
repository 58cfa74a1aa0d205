"""What honest programs get, in every mode: odd texts, chunks, budgets, messages, modules."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramStatus, Sandbox

DIGIT = "def label_function(text):\n    return 1 if '7' in text else 0\n"
COUNTER = "count = -1\ndef label_function(text):\n    global count\n    count += 1\n    return count % 50\n"
OS = 'import collections\nos = collections._sys.modules["os"]\n'
MakeSandbox = Callable[..., Sandbox]


def test_check_passes(sandbox: Sandbox) -> None:
    sandbox.check()


def test_odd_texts_arrive_whole(sandbox: Sandbox) -> None:
    texts = ["", "\0", "a\0b", "\ud800", "x\udfff", "🙂👩‍👩‍👧", "é" * 3, "\r\n\u2028", "y" * 10_000_000, "end"]
    source = (
        f"import json\nexpected = json.loads({_as_json(texts)!a})\nseen = -1\n"
        "def label_function(text):\n    global seen\n    seen += 1\n"
        "    return int(text == expected[seen] or text == 'y' * 10_000_000)\n"
    )
    (run,) = sandbox.execute([source], texts, 2)
    assert run.votes.tolist() == [1] * len(texts)


def _as_json(texts: list[str]) -> str:
    return json.dumps([text if len(text) < 1000 else "long" for text in texts])


def test_batches_are_cut_by_size_and_by_rows(sandbox: Sandbox) -> None:
    texts = [str(row) * (300_000 if row % 5 == 0 else 1) for row in range(12)] + ["7"] * 3000
    (run,) = sandbox.execute(["def label_function(text):\n    return len(text) % 100\n"], texts, 100)
    assert run.votes.tolist() == [len(text) % 100 for text in texts]


def test_no_rows_and_no_programs(sandbox: Sandbox) -> None:
    (run,) = sandbox.execute([DIGIT], [], 2)
    assert (run.votes.shape, run.status, run.outcomes) == ((0,), ProgramStatus.OK, {})
    assert sandbox.execute([], ["text"], 2) == []


def test_votes_are_read_only_int8(sandbox: Sandbox) -> None:
    (run,) = sandbox.execute([DIGIT], ["7", "8"], 2)
    assert run.votes.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        run.votes[0] = 0


def test_the_last_class_counts(sandbox: Sandbox) -> None:
    (run,) = sandbox.execute(["def label_function(text):\n    return int(text)\n"], ["99", "100", "-1", "-2"], 100)
    assert run.votes.tolist() == [99, ABSTAIN, ABSTAIN, ABSTAIN]
    assert run.outcomes == {"vote": 1, "abstain": 1, "out_of_range": 2}


@pytest.mark.parametrize("n_classes", [0, 101])
def test_classes_that_votes_cannot_hold(make_sandbox: MakeSandbox, n_classes: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        make_sandbox().execute([DIGIT], ["text"], n_classes)


def test_chunks_start_programs_anew_and_lose_no_row(make_sandbox: MakeSandbox) -> None:
    texts = [f"text {row}" for row in range(20)]
    digit, counter = make_sandbox(chunk_rows=7).execute([DIGIT, COUNTER], texts, 50)
    assert digit.votes.tolist() == [int("7" in text) for text in texts]
    assert counter.votes.tolist() == [row % 7 for row in range(20)]


def test_restart_goes_on_at_the_next_row(sandbox: Sandbox) -> None:
    crash = OS + COUNTER.replace("    global", "    if text == 'stop':\n        os._exit(0)\n    global")
    texts = ["go"] * 3 + ["stop"] + ["go"] * 4
    (run,) = sandbox.execute([crash], texts, 50)
    assert run.votes.tolist() == [0, 1, 2, ABSTAIN, 0, 1, 2, 3]
    assert (run.status, run.restarts, run.outcomes[Outcome.CRASH]) == (ProgramStatus.OK, 1, 1)
    assert run.messages[Outcome.CRASH] == "row 3: exit status 0"


def test_crash_on_the_last_row_needs_no_restart(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox(max_restarts=0).execute([OS + "def label_function(t):\n    os._exit(0)\n"], ["text"], 2)
    assert (run.status, run.restarts, run.outcomes) == (ProgramStatus.OK, 0, {"crash": 1})


def test_what_another_machine_may_not_repeat_is_said(make_sandbox: MakeSandbox) -> None:
    stall = "import time\ndef label_function(t):\n    if t == 'stop':\n        time.sleep(60)\n    return 0\n"
    crash = OS + "def label_function(t):\n    os._exit(0)\n"
    loop = "def label_function(t):\n    while t == 'stop':\n        pass\n    return 0\n"
    runs = make_sandbox().execute([stall, crash, loop, DIGIT], ["go", "stop"], 50)
    assert [run.repeatable for run in runs] == [False, False, True, True]


@pytest.mark.parametrize("texts", [["a\0b", "", "\0", "c"], ["\udfff\0", "é\U0001f600"]])
def test_texts_that_hold_the_mark_between_texts(sandbox: Sandbox, texts: list[str]) -> None:
    spell = "def label_function(text):\n    return sum(map(ord, text)) % 97 + len(text)\n"
    (run,) = sandbox.execute([spell], texts, 100)
    assert run.votes.tolist() == [sum(map(ord, text)) % 97 + len(text) for text in texts]


def test_budgets_hold_across_chunks(make_sandbox: MakeSandbox) -> None:
    loop = "def label_function(text):\n    while text == 'loop':\n        pass\n    return 0\n"
    (run,) = make_sandbox(chunk_rows=2, max_timeouts=2, call_cpu_s=0.05).execute([loop], ["loop", "x"] * 4, 2)
    assert run.status is ProgramStatus.QUARANTINED
    assert run.outcomes == {"timeout": 2, "vote": 1, "not_run": 5}
    assert run.votes.tolist() == [ABSTAIN, 0, ABSTAIN, ABSTAIN, ABSTAIN, ABSTAIN, ABSTAIN, ABSTAIN]


def test_wall_limit_keeps_what_there_is(make_sandbox: MakeSandbox) -> None:
    slow = "def label_function(text):\n    sum(range(3_000_000))\n    return 1\n"
    (run,) = make_sandbox(program_wall_s=1.0).execute([slow], ["text"] * 10_000, 2)
    assert run.status is ProgramStatus.WALL_LIMIT
    assert 0 < run.outcomes[Outcome.VOTE] == int((run.votes == 1).sum())
    assert run.outcomes[Outcome.NOT_RUN] == 10_000 - run.outcomes[Outcome.VOTE]
    assert "sandbox.program_wall_s" in run.detail


def test_source_too_long_or_not_text(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(max_source_bytes=100)
    for source, why in ((DIGIT + "#" * 100, "max_source_bytes"), ("x = '\ud800'", "Unicode"), ("\0", "null")):
        (run,) = sandbox.execute([source], ["text"], 2)
        assert run.status is ProgramStatus.LOAD_ERROR
        assert why in run.detail


def test_messages_name_row_and_line(make_sandbox: MakeSandbox) -> None:
    source = "def label_function(text):\n    if text == 'bad':\n        raise ValueError('no')\n    return 0\n"
    (run,) = make_sandbox(chunk_rows=2).execute([source], ["good"] * 3 + ["bad"] * 2, 2)
    assert run.messages == {Outcome.EXCEPTION: "row 3: line 3: ValueError: no"}


def test_random_numbers_and_hashes_repeat(sandbox: Sandbox) -> None:
    source = "import random\ndef label_function(text):\n    return (random.randrange(9) + hash(text)) % 9\n"
    first, again = sandbox.execute([source] * 2, [str(row) for row in range(50)], 9)
    assert first.votes.tolist() == again.votes.tolist()
    assert len(set(first.votes.tolist())) > 1


def test_what_allowed_modules_import_late_is_there(sandbox: Sandbox) -> None:
    source = (
        "from __future__ import annotations\n"
        "import calendar, copy, datetime, functools, html, json, re, statistics, string, textwrap, unicodedata\n"
        "from collections.abc import Mapping\nfrom dataclasses import dataclass\nfrom html.parser import HTMLParser\n"
        "from typing import NamedTuple\n"
        "@dataclass\nclass Point:\n    x: int\n"
        "@functools.singledispatch\ndef one(value): return 1\n"
        "@one.register\ndef _(value: int): return 2\n"
        "def label_function(text):\n"
        "    datetime.datetime.strptime('2020 Jan', '%Y %b')\n"
        "    for codec in ('ascii', 'latin-1', 'utf-16', 'utf-32', 'cp1252', 'idna', 'punycode', 'unicode_escape'):\n"
        "        'e'.encode(codec).decode(codec)\n"
        "    assert eval(r\"'\\N{BULLET}'\") and unicodedata.name('é') and html.unescape('&eacute;') == 'é'\n"
        "    assert re.compile('(?i)ſ').sub(r'\\g<0>', 'S') and string.Template('$a').substitute(a=1) == '1'\n"
        "    assert copy.deepcopy(Point(1)) == Point(1) and calendar.month_name[1] and textwrap.fill(text)\n"
        "    assert json.loads(json.dumps({'a': [1.5]})) and statistics.median([1, 2]) == 1.5\n"
        "    assert statistics.NormalDist(0, 1).cdf(0) == 0.5 and HTMLParser() and isinstance({}, Mapping)\n"
        "    return one(1)\n"
    )
    (run,) = sandbox.execute([source], ["text"], 3)
    assert run.votes.tolist() == [2], run


def test_every_allowed_module_can_be_imported(sandbox: Sandbox) -> None:
    source = "\n".join(f"import {name}" for name in sandbox.allowed_modules) + "\n" + DIGIT
    (run,) = sandbox.execute([source], ["7"], 2)
    assert run.status is ProgramStatus.OK, run


def test_numpy_integers_count_when_numpy_is_trusted(make_sandbox: MakeSandbox, mode: str) -> None:
    source = (
        "import numpy as np\ndef label_function(text):\n"
        "    return {'i': np.int64(1), 'f': np.float64(1), 'b': np.bool_(True), 'r': np.random.randint(1)}[text]\n"
    )
    sandbox = make_sandbox(mode, extra_modules=["numpy"], memory_mb=512)
    (run,) = sandbox.execute([source], ["i", "f", "b", "r"], 2)
    assert run.votes.tolist() == [1, ABSTAIN, ABSTAIN, 0], run
    (refused,) = make_sandbox(mode).execute([source], ["i"], 2)
    assert (refused.status, "numpy" in refused.detail) == (ProgramStatus.LOAD_ERROR, True)


def test_extra_module_that_is_not_there(make_sandbox: MakeSandbox) -> None:
    with pytest.raises(SandboxError, match="no_such_module"):
        make_sandbox(extra_modules=["no_such_module"]).check()


def test_progress_adds_up(sandbox: Sandbox) -> None:
    told: list[int] = []
    crash = OS + "def label_function(text):\n    os._exit(0)\n"
    sandbox.chunk_rows = 40
    sandbox.execute([DIGIT, crash, "syntax error"], ["text"] * 100, 2, on_progress=told.append)
    assert sum(told) == 300
    assert min(told) > 0


def test_cpu_seconds_are_counted(sandbox: Sandbox) -> None:
    (run,) = sandbox.execute([DIGIT], ["text"], 2)
    assert run.cpu_seconds is not None
    assert 0 < run.cpu_seconds < 10
