"""The parent makes a result of any bytes that a worker leaves, and of any way in which it ends."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.sandbox.accounting import ProgramAccount
from alchemist_exp.sandbox.base import ProgramRun, ProgramStatus, Sandbox
from alchemist_exp.sandbox.chunk_account import ChunkAccount, StopReason
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.worker_report import WorkerReport, is_well_formed, n_leading_codes, parse_report
from alchemist_exp.sandbox.zygote_responses import WorkerExit, parse_fork_response, parse_wait_response

# Random bytes all over the report, repeated: generating 8192 of them takes long.
areas = st.binary(max_size=64).map(lambda start: start.ljust(protocol.REPORT_BYTES, b"\0")) | st.binary(
    min_size=1, max_size=97
).map(lambda part: (part * protocol.REPORT_BYTES)[: protocol.REPORT_BYTES])
codes = st.lists(st.integers(-128, 127), min_size=1, max_size=8) | st.lists(
    st.sampled_from([-128, -5, -4, -3, -2, -1, 0, 1]), min_size=1, max_size=8
)


@given(areas)
def test_any_bytes_are_read_as_a_report(area: bytes) -> None:
    report = parse_report(area)
    assert set(report.messages) <= set(protocol.MESSAGE_SLOTS)
    assert all(message == sanitize(message) and message for message in report.messages.values())


def test_slots_fit_into_the_report() -> None:
    assert max(protocol.MESSAGE_SLOTS.values()) * protocol.SLOT_BYTES + protocol.SLOT_BYTES <= protocol.REPORT_BYTES
    assert min(protocol.MESSAGE_SLOTS.values()) == 1


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
    assert (n_leading_codes(array), is_well_formed(array, 2)) == (done, good)


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
    account, start = ProgramAccount("source", make_sandbox()), 0
    for left, area, loaded, stop_reason, returncode in ends:
        chunk = account.open_chunk(start, len(left))
        if chunk is None:
            break
        assert chunk.may_continue
        report = parse_report(bytes([loaded]) + area[1:])
        done = chunk.add_worker(0, np.array(left, dtype=np.int8), report, stop_reason, returncode, 2)
        assert 0 <= done <= len(left)
        account.add_chunk(start, chunk)
        start += len(left)
    run = account.result(rows, 2)
    assert run.votes.shape == (rows,)
    assert set(run.votes.tolist()) <= {ABSTAIN, 0, 1}
    assert sum(run.outcomes.values()) == rows
    assert bool(run.detail) == (run.status is not ProgramStatus.OK)


timed = st.lists(
    st.lists(st.sampled_from([0, 1, protocol.TIMEOUT, "crash", "stall", "violation"]), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@given(timed, st.randoms())
def test_the_result_does_not_depend_on_the_order_of_workers(
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
    """Return the result of a program whose rows end as `chunks` says, accounted for in this order of chunks."""
    starts = [sum(len(chunk) for chunk in chunks[:number]) for number in range(len(chunks))]
    account = ProgramAccount("source", sandbox)
    opened = {n: account.open_chunk(starts[n], len(chunks[n])) for n in order} if at_once else {}
    for number in order:
        chunk = opened[number] if at_once else account.open_chunk(starts[number], len(chunks[number]))
        if chunk is not None:
            _run_chunk(chunk, chunks[number])
            account.add_chunk(starts[number], chunk)
    return account.result(sum(map(len, chunks)), 2)


def _run_chunk(account: ChunkAccount, ends: list[int | str]) -> None:
    first = 0
    while first < len(ends) and account.may_continue:
        left = np.full(len(ends) - first, protocol.UNSET, dtype=np.int8)
        early_end, timeouts_left = "", account.timeouts_left
        for row, end in enumerate(ends[first:]):
            if isinstance(end, str):
                early_end = end
                break
            left[row] = end
            timeouts_left -= end == protocol.TIMEOUT
            if timeouts_left <= 0:
                break
        stop_reason = StopReason.STALL if early_end == "stall" else StopReason.NONE
        returncode = {"violation": -31, "crash": -11}.get(early_end, 0)
        report = WorkerReport(loaded=True, messages={})
        first += account.add_worker(first, left, report, stop_reason, returncode, 2)


zygote_responses = (
    st.binary(max_size=32)
    | st.binary(min_size=protocol.FORK_RESPONSE.size, max_size=protocol.FORK_RESPONSE.size)
    | st.binary(min_size=protocol.WAIT_RESPONSE.size, max_size=protocol.WAIT_RESPONSE.size).map(
        lambda tail: b"W" + tail[1:]
    )
)


@given(zygote_responses)
def test_any_response_of_a_zygote_is_read_or_refused(response: bytes) -> None:
    for parse in (parse_fork_response, parse_wait_response):
        with suppress(ValueError):
            parsed = parse(response)
            assert parsed is None or isinstance(parsed, WorkerExit) or parsed > 0


def test_the_outcomes_of_a_result_must_sum_to_its_rows() -> None:
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
