"""Results of honest programs: odd texts, chunks, limits, messages, modules."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramRun, ProgramStatus, Sandbox

DIGIT = "def label_function(text):\n    return 1 if '7' in text else 0\n"
COUNTER = "count = -1\ndef label_function(text):\n    global count\n    count += 1\n    return count % 50\n"
OS = 'import collections\nos = collections._sys.modules["os"]\n'
MakeSandbox = Callable[..., Sandbox]

# One list of texts for all programs and modes, since a zygote is the costly part. Texts that contain the mark between
# texts (a null character) are decoded in another way, together with their batch of 256 texts: some are in the first
# batch, some in a later one, and most batches have none.
ODD = ["", "\0", "a\0b", "\ud800", "x\udfff", "🙂👩‍👩‍👧", "é" * 3, "\r\n\u2028", "y" * 10_000_000, "end"]
LARGE = [str(row) * (300_000 if row % 5 == 0 else 1) for row in range(12)]
NUMBERS = ["99", "100", "-1", "-2"]
TEXTS = [
    *(*ODD, "a\0b", "", "\0", "c"),
    *(*LARGE, *NUMBERS, "stop"),
    *(f"text {row}" for row in range(600)),
    *("\udfff\0", "é\U0001f600"),
    *(["7"] * 2500),
]
SEEN_ODD = json.dumps([text if len(text) < 1000 else "long" for text in ODD])
NUMPY = (
    "import numpy as np\ndef label_function(text):\n"
    "    return {'i': np.int64(1), 'f': np.float64(1), 'b': np.bool_(True), 'r': np.random.randint(1)}[text]\n"
)
PROGRAMS = {
    "digit": DIGIT,
    "odd texts": (
        f"import json\nexpected = json.loads({SEEN_ODD!a})\nseen = -1\n"
        "def label_function(text):\n    global seen\n    seen += 1\n"
        "    if seen >= len(expected): return 2\n"
        "    return int(text == expected[seen] or text == 'y' * 10_000_000)\n"
    ),
    "length": "def label_function(text):\n    return len(text) % 100\n",
    "characters": (
        "def label_function(text):\n    if len(text) > 1000: return 0\n"
        "    return (sum(map(ord, text)) + len(text)) % 97\n"
    ),
    "class number": f"def label_function(text):\n    return int(text) if text in {NUMBERS} else 0\n",
    "crash": OS + COUNTER.replace("    global", "    if text == 'stop':\n        os._exit(0)\n    global"),
    "random": "import random\ndef label_function(text):\n    return (random.randrange(9) + hash(text)) % 9\n",
    "random again": "import random\ndef label_function(text):\n    return (random.randrange(9) + hash(text)) % 9\n",
    "lazy imports": (
        "from __future__ import annotations\n"
        "import calendar, copy, datetime, functools, html, json, re, statistics, string, textwrap, unicodedata\n"
        "from collections.abc import Mapping\nfrom dataclasses import dataclass\nfrom html.parser import HTMLParser\n"
        "from typing import NamedTuple\n"
        "@dataclass\nclass Point:\n    x: int\n"
        "@functools.singledispatch\ndef one(value): return 1\n"
        "@one.register\ndef _(value: int): return 2\n"
        "def label_function(text):\n"
        "    if text != 'end': return 0\n"
        "    datetime.datetime.strptime('2020 Jan', '%Y %b')\n"
        "    for codec in ('ascii', 'latin-1', 'utf-16', 'utf-32', 'cp1252', 'idna', 'punycode', 'unicode_escape'):\n"
        "        'e'.encode(codec).decode(codec)\n"
        "    assert eval(r\"'\\N{BULLET}'\") and unicodedata.name('é') and html.unescape('&eacute;') == 'é'\n"
        "    assert re.compile('(?i)ſ').sub(r'\\g<0>', 'S') and string.Template('$a').substitute(a=1) == '1'\n"
        "    assert copy.deepcopy(Point(1)) == Point(1) and calendar.month_name[1] and textwrap.fill(text)\n"
        "    assert json.loads(json.dumps({'a': [1.5]})) and statistics.median([1, 2]) == 1.5\n"
        "    assert statistics.NormalDist(0, 1).cdf(0) == 0.5 and HTMLParser() and isinstance({}, Mapping)\n"
        "    return one(1)\n"
    ),
    "numpy": NUMPY,
    "syntax error": "syntax error",
}


@pytest.fixture(scope="module")
def progress() -> list[int]:
    return []


@pytest.fixture(scope="module")
def runs(mode: str, make_sandbox: MakeSandbox, progress: list[int]) -> dict[str, ProgramRun]:
    """All programs over all texts, once per mode."""
    sandbox = make_sandbox(mode)
    every_module = "\n".join(f"import {name}" for name in sandbox.allowed_modules) + "\n" + DIGIT
    sources = PROGRAMS | {"every module": every_module}
    progress.clear()
    return dict(
        zip(sources, sandbox.execute(list(sources.values()), TEXTS, 100, on_progress=progress.append), strict=True)
    )


def test_check_passes_with_an_interpreter_per_program(make_sandbox: MakeSandbox) -> None:
    make_sandbox("spawn").check()  # the other modes are checked in test_sandbox_config


def test_odd_texts_arrive_unchanged(runs: dict[str, ProgramRun]) -> None:
    votes = runs["odd texts"].votes.tolist()
    assert votes == [1] * len(ODD) + [2] * (len(TEXTS) - len(ODD))


def test_batches_limited_by_size_and_by_rows_hold_all_texts(runs: dict[str, ProgramRun]) -> None:
    assert runs["length"].votes.tolist() == [len(text) % 100 for text in TEXTS]


def test_texts_that_contain_the_mark_between_texts(runs: dict[str, ProgramRun]) -> None:
    expected = [0 if len(text) > 1000 else (sum(map(ord, text)) + len(text)) % 97 for text in TEXTS]
    assert runs["characters"].votes.tolist() == expected


def test_no_rows_and_no_programs(sandbox: Sandbox) -> None:
    (run,) = sandbox.execute([DIGIT], [], 2)
    assert (run.votes.shape, run.status, run.outcomes) == ((0,), ProgramStatus.OK, {})
    assert sandbox.execute([], ["text"], 2) == []


def test_votes_are_read_only_int8(runs: dict[str, ProgramRun]) -> None:
    run = runs["digit"]
    assert run.votes.tolist() == [int("7" in text) for text in TEXTS]
    assert run.votes.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        run.votes[0] = 0


def test_highest_class_is_valid(runs: dict[str, ProgramRun]) -> None:
    run, first = runs["class number"], TEXTS.index("99")
    assert run.votes.tolist()[first : first + 4] == [99, ABSTAIN, ABSTAIN, ABSTAIN]
    assert run.outcomes == {"vote": len(TEXTS) - 3, "abstain": 1, "out_of_range": 2}


@pytest.mark.parametrize("n_classes", [0, 101])
def test_number_of_classes_out_of_range(make_sandbox: MakeSandbox, n_classes: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        make_sandbox().execute([DIGIT], ["text"], n_classes)


def test_restart_continues_at_the_next_row(runs: dict[str, ProgramRun]) -> None:
    run, stop = runs["crash"], TEXTS.index("stop")
    after = [row % 50 for row in range(len(TEXTS) - stop - 1)]
    assert run.votes.tolist() == [*(row % 50 for row in range(stop)), ABSTAIN, *after]
    assert (run.status, run.restarts, run.outcomes[Outcome.CRASH]) == (ProgramStatus.OK, 1, 1)
    assert run.messages[Outcome.CRASH] == f"row {stop}: exit status 0"


def test_random_numbers_and_hashes_repeat(runs: dict[str, ProgramRun]) -> None:
    first, again = runs["random"].votes.tolist(), runs["random again"].votes.tolist()
    assert first == again
    assert len(set(first)) > 1


def test_lazy_imports_of_allowed_modules_are_available(runs: dict[str, ProgramRun]) -> None:
    run = runs["lazy imports"]
    assert run.votes.tolist() == [2 if text == "end" else 0 for text in TEXTS], run


def test_every_allowed_module_can_be_imported(runs: dict[str, ProgramRun]) -> None:
    assert runs["every module"].status is ProgramStatus.OK, runs["every module"]


def test_numpy_integers_are_valid_when_numpy_is_trusted(make_sandbox: MakeSandbox, mode: str) -> None:
    sandbox = make_sandbox(mode, extra_modules=["numpy"], memory_mb=512)
    (run,) = sandbox.execute([NUMPY], ["i", "f", "b", "r"], 2)
    assert run.votes.tolist() == [1, ABSTAIN, ABSTAIN, 0], run


def test_numpy_is_refused_when_it_is_not_trusted(runs: dict[str, ProgramRun]) -> None:
    refused = runs["numpy"]
    assert (refused.status, "numpy" in refused.detail) == (ProgramStatus.LOAD_ERROR, True)


def test_progress_sums_to_all_rows(runs: dict[str, ProgramRun], progress: list[int]) -> None:
    assert sum(progress) == len(runs) * len(TEXTS)
    assert min(progress) > 0


def test_cpu_seconds_are_measured(runs: dict[str, ProgramRun]) -> None:
    seconds = runs["digit"].cpu_seconds
    assert seconds is not None
    assert 0 < seconds < 10


def test_chunks_restart_programs_and_lose_no_row(make_sandbox: MakeSandbox) -> None:
    texts = [f"text {row}" for row in range(20)]
    raises = (
        "def label_function(text):\n    if text[5:] in ('10', '15'):\n        raise ValueError('no')\n    return 0\n"
    )
    digit, counter, raiser = make_sandbox(chunk_rows=7).execute([DIGIT, COUNTER, raises], texts, 50)
    assert digit.votes.tolist() == [int("7" in text) for text in texts]
    assert counter.votes.tolist() == [row % 7 for row in range(20)]
    # The fourth row of the second chunk; the number counts from the first chunk.
    assert raiser.messages == {Outcome.EXCEPTION: "row 10: line 3: ValueError: no"}


def test_crash_on_the_last_row_needs_no_restart(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox(max_restarts=0).execute([OS + "def label_function(t):\n    os._exit(0)\n"], ["text"], 2)
    assert (run.status, run.restarts, run.outcomes) == (ProgramStatus.OK, 0, {"crash": 1})


def test_results_that_another_machine_may_not_repeat_are_marked(make_sandbox: MakeSandbox) -> None:
    stall = "import time\ndef label_function(t):\n    if t == 'stop':\n        time.sleep(60)\n    return 0\n"
    crash = OS + "def label_function(t):\n    os._exit(0)\n"
    loop = "def label_function(t):\n    while t == 'stop':\n        pass\n    return 0\n"
    runs = make_sandbox().execute([stall, crash, loop, DIGIT], ["go", "stop"], 50)
    assert [run.repeatable for run in runs] == [False, False, True, True]


def test_limits_hold_across_chunks(make_sandbox: MakeSandbox) -> None:
    loop = "def label_function(text):\n    while text == 'loop':\n        pass\n    return 0\n"
    (run,) = make_sandbox(chunk_rows=2, max_timeouts=2, call_cpu_s=0.05).execute([loop], ["loop", "x"] * 3, 2)
    assert run.status is ProgramStatus.QUARANTINED
    assert run.outcomes == {"timeout": 2, "vote": 1, "not_run": 3}
    assert run.votes.tolist() == [ABSTAIN, 0, ABSTAIN, ABSTAIN, ABSTAIN, ABSTAIN]


def test_wall_limit_keeps_the_votes_so_far(make_sandbox: MakeSandbox) -> None:
    slow = "def label_function(text):\n    sum(range(1_000_000))\n    return 1\n"
    (run,) = make_sandbox(program_wall_s=1.0, call_cpu_s=0.3).execute([slow], ["text"] * 10_000, 2)
    assert run.status is ProgramStatus.WALL_LIMIT
    assert 0 < run.outcomes[Outcome.VOTE] == int((run.votes == 1).sum())
    assert run.outcomes[Outcome.NOT_RUN] == 10_000 - run.outcomes[Outcome.VOTE]
    assert "sandbox.program_wall_s" in run.detail


def test_time_that_a_program_has_used_on_other_rows_counts(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(call_cpu_s=5.0, stall_s=10.0)
    slow = "def label_function(text):\n    sum(range(10**8))\n    return 1\n"
    runs = sandbox.execute([slow, DIGIT], ["7"], 2, used_wall_s=[sandbox.program_wall_s, 0.0])
    assert [run.status for run in runs] == [ProgramStatus.WALL_LIMIT, ProgramStatus.OK]
    assert runs[0].outcomes == {"not_run": 1}


def test_source_too_long_or_not_text(make_sandbox: MakeSandbox) -> None:
    reasons = {DIGIT + "#" * 100: "max_source_bytes", "x = '\ud800'": "Unicode", "\0": "null"}
    runs = make_sandbox(max_source_bytes=100).execute(list(reasons), ["text"], 2)
    for run, reason in zip(runs, reasons.values(), strict=True):
        assert run.status is ProgramStatus.LOAD_ERROR
        assert reason in run.detail


def test_extra_module_that_is_not_installed(make_sandbox: MakeSandbox) -> None:
    with pytest.raises(SandboxError, match="no_such_module"):
        make_sandbox(extra_modules=["no_such_module"]).check()
