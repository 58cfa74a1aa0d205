"""Whatever bytes and ends a worker leaves, the parent makes a result of them."""

import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.values import ABSTAIN
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.base import ProgramRun, Sandbox, Status
from alchemist_exp.sandbox.ledger import Cut, Ledger
from alchemist_exp.sandbox.report import MESSAGE_CHARS, harmless, n_done, parse_report, well_formed

areas = st.binary(max_size=64).map(lambda start: start.ljust(worker.REPORT_BYTES, b"\0")) | st.binary(
    min_size=worker.REPORT_BYTES, max_size=worker.REPORT_BYTES
)
codes = st.lists(st.integers(-128, 127), min_size=1, max_size=8) | st.lists(
    st.sampled_from([-128, -5, -4, -3, -2, -1, 0, 1]), min_size=1, max_size=8
)


@given(areas)
def test_any_report_can_be_read(area: bytes) -> None:
    report = parse_report(area)
    assert set(report.messages) <= set(worker.MESSAGE_SLOTS)
    assert all(message == harmless(message) and message for message in report.messages.values())


@given(st.text() | st.text(st.sampled_from("\x1b[]m;0\x07\u202ea ")))
def test_harmless_text(text: str) -> None:
    clean = harmless(text)
    assert len(clean) <= MESSAGE_CHARS
    assert all(unicodedata.category(character)[0] != "C" for character in clean)
    assert clean == " ".join(clean.split())


def test_terminal_sequences_go_whole() -> None:
    assert harmless("\x1b]0;title\x07a\x1b[31;1mb\x1b[0m\r\nc\x1bD") == "ab c"


def test_slots_fit_into_the_report() -> None:
    assert max(worker.MESSAGE_SLOTS.values()) * worker.SLOT_BYTES + worker.SLOT_BYTES <= worker.REPORT_BYTES
    assert min(worker.MESSAGE_SLOTS.values()) == 1


@pytest.mark.parametrize(
    ("given_codes", "done", "good"),
    [
        ([0, 1, -1], 3, True),
        ([0, -2, -3, -4, -5, -128], 5, True),
        ([-128, -128], 0, True),
        ([0, 2], 2, False),
        ([0, -6], 2, False),
        ([0, -128, 1], 1, False),
        ([-127, -128], 1, False),
    ],
)
def test_only_codes_in_order_are_well_formed(given_codes: list[int], done: int, good: bool) -> None:
    array = np.array(given_codes, dtype=np.int8)
    assert (n_done(array), well_formed(array, 2)) == (done, good)


@given(
    st.lists(
        st.tuples(codes, areas, st.booleans(), st.sampled_from(Cut), st.integers(-70, 255)), min_size=1, max_size=4
    )
)
def test_any_end_gives_a_result(
    make_sandbox: Callable[..., Sandbox], ends: list[tuple[list[int], bytes, bool, Cut, int]]
) -> None:
    rows = sum(len(end[0]) for end in ends)
    ledger, start = Ledger("source", rows, make_sandbox()), 0
    for left, area, loaded, cut, returncode in ends:
        if not ledger.may_go_on():
            break
        report = parse_report(bytes([loaded]) + area[1:])
        settled = ledger.settle(start, np.array(left, dtype=np.int8), report, cut, returncode, 2)
        assert 0 <= settled <= len(left)
        start += settled
    run = ledger.close(2)
    assert run.votes.shape == (rows,)
    assert set(run.votes.tolist()) <= {ABSTAIN, 0, 1}
    assert sum(run.outcomes.values()) == rows
    assert bool(run.detail) == (run.status is not Status.OK)


def test_a_result_must_add_up() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ProgramRun(
            votes=np.zeros(3, dtype=np.int8),
            status=Status.OK,
            outcomes={},
            messages={},
            detail="",
            restarts=0,
            cpu_seconds=None,
        )
