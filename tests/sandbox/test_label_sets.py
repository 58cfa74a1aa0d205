"""Programs that return lists of classes: what is a vote, and what hostile return values do."""

from collections.abc import Callable

import numpy as np
import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.base import Outcome, ProgramStatus, Sandbox

MakeSandbox = Callable[..., Sandbox]
TEXTS = [f"text {row}" for row in range(12)]
DEFINE = "def label_function(text):\n    return "
VALID = {
    "[0, 2]": 5,
    "(2, 0, 2)": 5,
    "{1}": 2,
    "frozenset()": 0,
    "[]": 0,
    "2": 4,
    "-1": ABSTAIN,
    "[-1]": ABSTAIN,
    "None": ABSTAIN,
    "[0] * 1000": 1,
}
INVALID = {
    "True": Outcome.BAD_TYPE,
    "[True]": Outcome.BAD_TYPE,
    "[1.0]": Outcome.BAD_TYPE,
    "['1']": Outcome.BAD_TYPE,
    "[[1]]": Outcome.BAD_TYPE,
    "'01'": Outcome.BAD_TYPE,
    "b'01'": Outcome.BAD_TYPE,
    "{0: 1}": Outcome.BAD_TYPE,
    "range(2)": Outcome.BAD_TYPE,
    "(c for c in [1])": Outcome.BAD_TYPE,
    "iter([1])": Outcome.BAD_TYPE,
    "[0] * 1001": Outcome.BAD_TYPE,
    "[0] * 10**7": Outcome.BAD_TYPE,
    "[3]": Outcome.OUT_OF_RANGE,
    "[0, -1]": Outcome.OUT_OF_RANGE,
    "[1 << 70]": Outcome.OUT_OF_RANGE,
}
HOSTILE = {
    "class L(list):\n    def __iter__(self):\n        while True: yield 1\nV = L([1])": Outcome.BAD_TYPE,
    "class I:\n    def __index__(self): raise SystemExit\nV = [I()]": Outcome.EXCEPTION,
    "class I:\n    def __index__(self): return 'x'\nV = [I()]": Outcome.BAD_TYPE,
    "class I(int):\n    __lt__ = __le__ = __ge__ = lambda a, b: True\nV = [I(62)]": Outcome.OUT_OF_RANGE,
    "class I:\n    def __index__(self):\n        V.append(self); return 0\nV = [I()]": Outcome.VOTE,
    "class I:\n    def __index__(self):\n        while True: pass\nV = [I()]": Outcome.TIMEOUT,
    "class M(type):\n    __name__ = property(lambda c: 1 / 0)\nclass A(metaclass=M): pass\nV = [A()]": Outcome.BAD_TYPE,
}
SYS = "import collections\nsys = collections._sys\n"
OF_HARNESS = SYS + "def label_function(text):\n    f = sys._getframe(1).f_locals\n    {}\n    return [0]\n"


def test_lists_are_masks_and_other_values_are_no_votes(make_sandbox: MakeSandbox) -> None:
    sources = [DEFINE + value for value in [*VALID, *INVALID]]
    runs = make_sandbox().execute(sources, TEXTS[:2], 3, multi_label=True)
    for value, run in zip([*VALID, *INVALID], runs, strict=True):
        assert (run.multi_label, run.votes.dtype) == (True, np.int64), value
        assert run.votes.tolist() == [VALID.get(value, ABSTAIN)] * 2, value
        outcome = INVALID.get(value, Outcome.ABSTAIN if VALID.get(value) == ABSTAIN else Outcome.VOTE)
        assert run.outcomes == {outcome: 2}, value
        assert bool(run.messages) is (value in INVALID), value


def test_hostile_values_spoil_their_own_votes_only(make_sandbox: MakeSandbox) -> None:
    sources = [f"{setup}\ndef label_function(text):\n    return V\n" for setup in HOSTILE]
    *runs, honest = make_sandbox().execute([*sources, DEFINE + "[1]"], TEXTS[:2], 62, multi_label=True)
    for (setup, outcome), run in zip(HOSTILE.items(), runs, strict=True):
        assert run.outcomes == {outcome: 2}, setup
        assert set(run.votes.tolist()) == {1 if outcome is Outcome.VOTE else ABSTAIN}, setup
    assert honest.votes.tolist() == [2, 2]


@pytest.mark.parametrize(
    "attack",
    [
        "m = f['check'].keywords['masks']; m[0] = 8",  # a class that does not exist
        "m = f['check'].keywords['masks']; m[0] = -1 << 63",
        "f['codes'][0] = 1",  # a vote for a single class
    ],
)
def test_tampering_with_masks_voids_all_votes(make_sandbox: MakeSandbox, attack: str) -> None:
    source = OF_HARNESS.format(f"if text == 'text 5': {attack}")
    run, honest = make_sandbox().execute([source, DEFINE + "[1]"], TEXTS, 3, multi_label=True)
    assert run.status is ProgramStatus.INVALID_OUTPUT
    assert set(run.votes.tolist()) == {ABSTAIN}
    assert honest.votes.tolist() == [2] * len(TEXTS)


def test_masks_keep_their_rows_over_chunks_errors_and_restarts(make_sandbox: MakeSandbox) -> None:
    source = SYS + (
        "def label_function(text):\n    n = int(text[5:])\n    if n == 3: sys.modules['os']._exit(0)\n"
        "    if n == 4: 1 // 0\n    if n == 5: return None\n    return [c for c in range(4) if n >> c & 1]\n"
    )
    (run,) = make_sandbox(chunk_rows=5).execute([source], TEXTS, 4, multi_label=True)
    assert run.votes.tolist() == [ABSTAIN if row in (3, 4, 5) else row for row in range(12)]


def test_the_determinism_check_compares_masks(make_sandbox: MakeSandbox) -> None:
    counter = "n = 0\ndef label_function(text):\n    global n\n    n += 1\n    return [n % 3]\n"
    stateless = DEFINE + "[int(text[5:]) % 3]"
    runs = make_sandbox(determinism_rows=10).execute([counter, stateless], TEXTS, 3, multi_label=True)
    assert [run.nondeterministic for run in runs] == [True, False]


def test_the_number_of_classes_is_limited(make_sandbox: MakeSandbox) -> None:
    (run,) = make_sandbox().execute([DEFINE + "[61, 0]"], TEXTS[:1], 62, multi_label=True)
    assert run.votes.tolist() == [1 << 61 | 1]
    with pytest.raises(ValueError, match=r"expected 1\.\.62"):
        make_sandbox().execute([DEFINE + "[0]"], TEXTS[:1], 63, multi_label=True)
