"""Whatever bytes and ends a worker leaves, the parent makes a result of them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.accounting import ChunkAccount, ProgramAccount, StopReason
from alchemist_exp.sandbox.base import ProgramRun, ProgramStatus, Sandbox
from alchemist_exp.sandbox.worker_report import WorkerReport, n_done, parse_report, well_formed
from alchemist_exp.sandbox.zygote import Ended, parse_ended, parse_forked

FORKED, ENDED = worker.FORKED.size, worker.ENDED.size
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
    assert all(message == sanitize(message) and message for message in report.messages.values())


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
        st.tuples(codes, areas, st.booleans(), st.sampled_from(StopReason), st.integers(-70, 255)),
        min_size=1,
        max_size=4,
    )
)
def test_any_end_gives_a_result(
    make_sandbox: Callable[..., Sandbox], ends: list[tuple[list[int], bytes, bool, StopReason, int]]
) -> None:
    rows = sum(len(end[0]) for end in ends)
    ledger, start = ProgramAccount("source", make_sandbox()), 0
    for left, area, loaded, cut, returncode in ends:
        account = ledger.open(start, len(left))
        if account is None:
            break
        assert account.may_go_on()
        report = parse_report(bytes([loaded]) + area[1:])
        settled = account.settle(0, np.array(left, dtype=np.int8), report, cut, returncode, 2)
        assert 0 <= settled <= len(left)
        ledger.book(start, account)
        start += len(left)
    run = ledger.close(rows, 2)
    assert run.votes.shape == (rows,)
    assert set(run.votes.tolist()) <= {ABSTAIN, 0, 1}
    assert sum(run.outcomes.values()) == rows
    assert bool(run.detail) == (run.status is not ProgramStatus.OK)


timed = st.lists(
    st.lists(st.sampled_from([0, 1, worker.TIMEOUT, "crash", "stall", "violation"]), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@given(timed, st.randoms())
def test_the_order_of_workers_alters_nothing(
    make_sandbox: Callable[..., Sandbox], chunks: list[list[int | str]], random: Random
) -> None:
    one_by_one = _run_chunks(make_sandbox(), chunks, range(len(chunks)), at_once=False)
    order = list(range(len(chunks)))
    random.shuffle(order)
    at_once = _run_chunks(make_sandbox(), chunks, order, at_once=True)
    assert at_once.votes.tolist() == one_by_one.votes.tolist()
    for name in ("status", "outcomes", "messages", "detail", "restarts"):
        assert getattr(at_once, name) == getattr(one_by_one, name), name


def _run_chunks(sandbox: Sandbox, chunks: list[list[int | str]], order: Sequence[int], *, at_once: bool) -> ProgramRun:
    """What a ledger says of a program that does on each row what `chunks` tells."""
    starts = [sum(len(chunk) for chunk in chunks[:number]) for number in range(len(chunks))]
    ledger = ProgramAccount("source", sandbox)
    opened = {n: ledger.open(starts[n], len(chunks[n])) for n in order} if at_once else {}
    for number in order:
        account = opened[number] if at_once else ledger.open(starts[number], len(chunks[number]))
        if account is not None:
            _run_chunk(account, chunks[number])
            ledger.book(starts[number], account)
    return ledger.close(sum(map(len, chunks)), 2)


def _run_chunk(account: ChunkAccount, does: list[int | str]) -> None:
    first = 0
    while first < len(does) and account.may_go_on():
        left = np.full(len(does) - first, worker.UNSET, dtype=np.int8)
        end, timeouts = "", account.timeouts_left
        for row, what in enumerate(does[first:]):
            if isinstance(what, str):
                end = what
                break
            left[row] = what
            timeouts -= what == worker.TIMEOUT
            if timeouts <= 0:
                break
        cut = StopReason.STALL if end == "stall" else StopReason.NONE
        returncode = {"violation": -31, "crash": -11}.get(end, 0)
        first += account.settle(first, left, WorkerReport(loaded=True, messages={}), cut, returncode, 2)


zygote_answers = (
    st.binary(max_size=32)
    | st.binary(min_size=FORKED, max_size=FORKED)
    | st.binary(min_size=ENDED, max_size=ENDED).map(lambda tail: b"W" + tail[1:])
)


@given(zygote_answers)
def test_any_answer_of_a_zygote_is_read_or_refused(answer: bytes) -> None:
    for parse in (parse_forked, parse_ended):
        with suppress(ValueError):
            parsed = parse(answer)
            assert parsed is None or isinstance(parsed, Ended) or parsed > 0


def test_a_result_must_add_up() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ProgramRun(
            votes=np.zeros(3, dtype=np.int8),
            status=ProgramStatus.OK,
            outcomes={},
            messages={},
            detail="",
            restarts=0,
            cpu_seconds=None,
        )
