import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from alchemist_exp.core.errors import ConfigError, LLMError, StoreError
from alchemist_exp.llm.budget import Budget, BudgetError, BudgetLedger, Reservation

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ledger.jsonl"


def reserved(ledger: BudgetLedger, usd: float, cap_usd: float | None = 5.0) -> Reservation:
    reservation = ledger.reserve(usd, cap_usd, "a call")
    assert reservation is not None
    return reservation


def sums(ledger: BudgetLedger) -> tuple[float, float, float]:
    totals = ledger.totals()
    return tuple(round(usd, 9) for usd in (totals.spent, totals.unsettled, totals.reserved))


def test_a_call_is_reserved_and_settled(path: Path) -> None:
    ledger = BudgetLedger(path)
    call = reserved(ledger, 2.0)
    assert sums(ledger) == (0, 0, 2)
    call.settle(0.5)
    assert sums(ledger) == (0.5, 0, 0)
    assert sums(BudgetLedger(path)) == (0.5, 0, 0)


def test_a_released_amount_is_free_again(path: Path) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 5.0).release()
    assert sums(ledger) == (0, 0, 0)
    reserved(ledger, 5.0)


def test_calls_in_flight_make_others_wait_and_a_spent_budget_is_an_error(path: Path) -> None:
    ledger, other = BudgetLedger(path), BudgetLedger(path)
    call = reserved(ledger, 4.98)
    assert other.reserve(0.03, 5.0, "another call") is None
    call.settle(4.98)
    small = reserved(ledger, 0.01)
    with pytest.raises(BudgetError) as error:
        other.reserve(0.03, 5.0, "another call")
    assert str(error.value) == (
        "the budget of $5.00 is used up ($4.98 spent, $0.01 reserved for calls in flight, $0.03 needed); raise "
        "budget.usd and run again: responses that were paid for are kept."
    )
    assert isinstance(error.value, LLMError)
    small.release()
    reserved(other, 0.02).settle(0.02)


def test_a_call_above_the_whole_budget_says_which_value_to_change(path: Path) -> None:
    with pytest.raises(BudgetError, match=r"one call may cost \$1,200\.0005, more .* \$5\.00; .*max_output_tokens"):
        BudgetLedger(path).reserve(1200.0005, 5.0, "a call")


def test_rounding_errors_of_sums_refuse_no_call(path: Path) -> None:
    ledger = BudgetLedger(path)
    for usd in (0.1, 0.2):  # their sum as floats is above 0.3
        reserved(ledger, usd, 0.3).settle(usd)
    assert sums(ledger) == (0.3, 0, 0)


def test_calls_without_a_cap_are_counted_too(path: Path) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 100.0, None).settle(7.0)
    with pytest.raises(BudgetError, match=r"\$7\.00 spent"):
        ledger.reserve(0.1, 5.0, "a call")


def test_a_cost_above_the_reservation_is_counted(path: Path) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 1.0).settle(6.0)
    assert ledger.totals().spent == 6


def test_a_reservation_is_closed_once(path: Path) -> None:
    call = reserved(BudgetLedger(path), 1.0)
    call.settle(1.0)
    for close in (lambda: call.settle(1.0), call.release):
        with pytest.raises(ValueError, match="once"):
            close()


@pytest.mark.parametrize("usd", [-1.0, math.nan, math.inf])
def test_an_invalid_amount_is_never_written(path: Path, usd: float) -> None:
    ledger = BudgetLedger(path)
    call = reserved(ledger, 1.0)
    with pytest.raises(ValueError, match="invalid amount"):
        call.settle(usd)
    with pytest.raises(ValueError, match="invalid amount"):
        ledger.reserve(usd, 5.0, "a call")
    assert sums(ledger) == (0, 0, 1)


def test_threads_share_a_ledger(path: Path) -> None:
    ledger = BudgetLedger(path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: reserved(ledger, 0.5, 100.0).settle(0.25), range(64)))
    assert sums(ledger) == (16, 0, 0)


def test_only_new_lines_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = BudgetLedger(path)
    for _ in range(20):
        reserved(ledger, 0.1).settle(0.1)
    assert ledger.totals().spent > 0
    starts, real = [], os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, start: starts.append(start) or real(file, size, start))
    size = path.stat().st_size
    reserved(BudgetLedger(path), 0.1).release()
    starts.clear()
    assert sums(ledger) == (2, 0, 0)
    assert starts == [size]


def test_an_unfinished_last_line_is_removed_wherever_it_ends(path: Path) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 1.0).settle(0.5)
    call = reserved(ledger, 1.0)
    whole = path.read_bytes()
    call.settle(0.25)
    settlement = path.read_bytes()[len(whole) :]
    for length in range(1, len(settlement)):
        path.write_bytes(whole + settlement[:length])
        survivor = BudgetLedger(path)
        assert sums(survivor) == (0.5, 0, 1)
        assert path.read_bytes() == whole
        reserved(survivor, 1.0).release()
        assert sums(BudgetLedger(path)) == (0.5, 0, 1)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        "\0\0",
        '"x"',
        '{"event": "settle", "id": "a"}',
        '{"event": "settle", "id": "a", "usd": NaN}',
        '{"event": "settle", "id": "a", "usd": "1"}',
        '{"event": "refund", "id": "a", "usd": 1}',
        '{"event": "reserve", "id": "a", "usd": 1}',
    ],
)
def test_any_other_broken_line_is_an_error_with_its_number(path: Path, broken: str) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 1.0).settle(0.5)
    good = path.read_text()
    path.write_text(good + broken + "\n" + good)
    for each in (ledger, BudgetLedger(path)):
        for _ in range(2):
            with pytest.raises(StoreError, match=r"ledger\.jsonl is broken in line 3 \(.*\); delete that line"):
                each.reserve(1.0, 5.0, "a call")
    path.write_text(good + good)
    assert sums(BudgetLedger(path)) == (1, 0, 0)


def test_a_ledger_that_is_a_named_pipe_is_an_error(path: Path) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    os.mkfifo(path)
    with pytest.raises(StoreError, match="is not a file; remove it and run again"):
        BudgetLedger(path).totals()


def test_a_deleted_ledger_starts_from_zero(path: Path) -> None:
    ledger = BudgetLedger(path)
    reserved(ledger, 5.0).settle(5.0)
    path.unlink()
    reserved(ledger, 5.0)
    assert sums(ledger) == (0, 0, 5)


def test_a_full_disk_is_one_error_and_leaves_no_partial_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = BudgetLedger(path)
    call = reserved(ledger, 1.0)
    before, real = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, line: real(file, line[:10]))
    with pytest.raises(StoreError, match="the disk is full"):
        call.settle(0.5)
    monkeypatch.undo()
    assert path.read_bytes() == before
    call.settle(0.5)
    assert sums(ledger) == (0.5, 0, 0)


def reserve_as(path: Path, **holder: object) -> None:
    """A line as another process writes it: this one's, with some fields altered."""
    reserved(BudgetLedger(path), 1.0)
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, json.dumps(json.loads(last) | holder)]) + "\n")


def test_a_process_with_the_same_pid_is_another_process(path: Path) -> None:
    reserve_as(path, start=1)
    assert sums(BudgetLedger(path)) == (0, 1, 0)


def test_a_process_on_another_host_counts_as_alive_for_a_day(path: Path) -> None:
    reserve_as(path, host="elsewhere", pid=1, start=1, time=1000.0)
    assert sums(BudgetLedger(path, clock=lambda: 1000.0 + 86399)) == (0, 0, 1)
    assert sums(BudgetLedger(path, clock=lambda: 1000.0 + 86400)) == (0, 1, 0)


def python(script: str, path: Path, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


HOLD = """
import sys
from pathlib import Path
from alchemist_exp.llm.budget import BudgetLedger
ledger = BudgetLedger(Path(sys.argv[1]))
calls = [ledger.reserve(1.0, 5.0, "a call") for _ in range(2)]
calls[0].settle(0.5)
print("held", flush=True)
sys.stdin.read()
"""


def test_reservations_of_a_killed_process_count_as_spent(path: Path) -> None:
    ledger = BudgetLedger(path)
    with python(HOLD, path) as holder:
        assert holder.stdout.readline() == "held\n"
        assert sums(ledger) == (0.5, 0, 1)
        assert ledger.reserve(4.0, 5.0, "a call") is None
        holder.send_signal(signal.SIGKILL)
        # Not waited for yet: a zombie is dead.
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert sums(ledger) == (0.5, 1, 0)
    with pytest.raises(
        BudgetError, match=r"\(\$0\.50 spent, at most \$1\.00 spent by jobs that were killed, \$0\.00 res"
    ):
        ledger.reserve(4.0, 5.0, "a call")
    reserved(ledger, 3.5).settle(3.5)
    assert sums(ledger) == (4, 1, 0)


HAMMER = """
import random, sys, time
from pathlib import Path
from alchemist_exp.llm.budget import BudgetError, BudgetLedger
ledger, rng = BudgetLedger(Path(sys.argv[1])), random.Random(sys.stdin.readline())
print("ready", flush=True)
sys.stdin.readline()
refused = 0
for number in range(200):
    usd = rng.choice([0.01, 0.02, 0.03])
    try:
        while (call := ledger.reserve(usd, 5.0, f"call {number}")) is None:
            time.sleep(0.001)
    except BudgetError:
        refused += 1
        continue
    if rng.random() < 0.1:
        call.release()
    else:
        call.settle(rng.choice([usd, usd / 2]))
    if number == 20:
        last = ledger.reserve(0.01, None, "the call it is killed in")
        print("midway", flush=True)
        sys.stdin.readline()
        last.settle(0.01)
print(refused, flush=True)
"""


def running_totals(path: Path) -> Iterator[float]:
    """Dollars settled and open after each line."""
    spent, open_ = 0.0, {}
    for line in path.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "reserve":
            open_[event["id"]] = event["usd"]
        else:
            open_.pop(event["id"])
            spent += event.get("usd", 0.0)
        yield spent + sum(open_.values())


def test_concurrent_processes_stay_within_the_cap_even_if_one_is_killed(path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(HAMMER, path)) for _ in range(4)]

        def say(text: str) -> None:
            for process in processes:
                process.stdin.write(text)
                process.stdin.flush()

        for seed, process in enumerate(processes):
            process.stdin.write(f"{seed}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
        say("go\n")
        for process in processes:
            assert process.stdout.readline() == "midway\n"
        killed = processes.pop()
        killed.kill()
        killed.wait()
        say("go on\n")
        refused = sum(int(process.stdout.readline()) for process in processes)
    assert refused > 0, "the cap was never reached"
    assert max(running_totals(path)) <= 5.0 + 1e-9
    ledger = BudgetLedger(path)
    assert sums(ledger)[1:] == (0.01, 0)
    assert 4.9 < ledger.totals().spent + ledger.totals().unsettled <= 5.0 + 1e-9


@pytest.mark.parametrize("usd", [0, -1.0, math.inf, math.nan])
def test_a_budget_must_be_above_zero(usd: float) -> None:
    with pytest.raises(ConfigError, match=r"budget\.usd is .*; expected USD above 0, or null"):
        Budget(usd=usd)


def test_a_batch_is_settled_in_parts(path: Path) -> None:
    ledger = BudgetLedger(path)
    batch = ledger.reserve(3.0, None, "batch")
    assert batch is not None
    batch.settle_part(0.5)
    batch.settle_part(0.25)
    assert sums(BudgetLedger(path)) == (0.75, 0, 2.25)
    batch.release()
    assert sums(ledger) == sums(BudgetLedger(path)) == (0.75, 0, 0)


DIES = """
import sys
from pathlib import Path
from alchemist_exp.llm.budget import BudgetLedger
BudgetLedger(Path(sys.argv[1])).reserve(3.0, None, "batch").settle_part(1.0)
"""


def test_a_batch_that_a_dead_process_submitted_is_reserved_once(path: Path) -> None:
    with python(DIES, path) as process:
        process.wait()
    ledger = BudgetLedger(path)
    assert sums(ledger) == (1.0, 2.0, 0)
    assert ledger.reserve(2.5, 3.5, "batch", replace=True) is not None
    assert sums(ledger) == (1.0, 0, 2.5)
    assert ledger.reserve(2.4, 3.5, "batch", replace=True) is not None  # a second job of ours, in place of the first's
    assert sums(ledger) == (1.0, 0, 2.4)
    assert ledger.reserve(0.2, 3.5, "another batch", replace=True) is None
    with pytest.raises(BudgetError):
        ledger.reserve(2.6, 3.5, "batch", replace=True)
    assert sums(ledger) == (1.0, 0, 2.4)


OLD_LEDGER = """\
{"event": "reserve", "id": "3500af0774fcff8d", "usd": 0.117, "what": "3228dc93", "time": 1796009678.8, "host": "vm", \
"pid": 3525, "start": 266780}
{"event": "settle", "id": "3500af0774fcff8d", "usd": 0.1}
{"event": "reserve", "id": "5b40be4b0a8f2c11", "usd": 3.0, "what": "batch", "time": 1796009680.25, "host": "vm", \
"pid": 3525, "start": null}
{"event": "part", "id": "5b40be4b0a8f2c11", "usd": 1.25}
"""
"""A ledger as version 0.1.0 wrote it."""


def test_what_an_older_version_spent_is_counted(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OLD_LEDGER)
    ledger = BudgetLedger(path, clock=lambda: 1796009680.25 + 10**6)
    assert sums(ledger) == (1.35, 1.75, 0)
    with pytest.raises(BudgetError, match=r"\$1\.35 spent, at most \$1\.75 spent by jobs that were killed"):
        ledger.reserve(2.0, 5.0, "a call")
    assert ledger.reserve(3.5, 5.0, "batch", replace=True) is not None
    assert sums(ledger) == (1.35, 0, 3.5)
    assert path.read_text().startswith(OLD_LEDGER)
