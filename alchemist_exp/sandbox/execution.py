"""Runs programs over rows, each (program, chunk of rows) in a worker of its own.

A chunk's rows are shared by all the programs; a few chunks are open at a time, so that no worker waits for the last
program of a chunk and memory does not grow with the rows. Linux only.
"""

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.core.types import MAX_CLASSES
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.accounting import ChunkAccount, ProgramAccount, StopReason
from alchemist_exp.sandbox.base import ProgramRun, Progress, Sandbox
from alchemist_exp.sandbox.inputs import Inputs
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES, build_filter
from alchemist_exp.sandbox.shared_memory import SharedRows, VotesArea
from alchemist_exp.sandbox.worker_process import WorkerProcess
from alchemist_exp.sandbox.worker_report import parse_report
from alchemist_exp.sandbox.zygote import POLL_S, IsolationPolicy, Zygote

_PROGRESS_S = 0.2
# The kernel's own stop, should the parent's fail: CPU time cannot be more than wall time and the start.
_SPARE_CPU_S = 10


def run_programs(
    sandbox: Sandbox,
    sources: Sequence[str],
    inputs: Inputs,
    n_classes: int,
    walls: IsolationPolicy,
    *,
    on_progress: Progress | None = None,
) -> list[ProgramRun]:
    """`Sandbox.execute` behind `walls`. On any error, Ctrl-C too, every worker is ended."""
    if not 1 <= n_classes <= MAX_CLASSES:
        raise ValueError(f"n_classes is {n_classes}; 1..{MAX_CLASSES} is allowed")
    ledgers = [ProgramAccount(source, sandbox) for source in sources]
    execution = _Execution(sandbox, inputs, n_classes, walls)
    report_progress = on_progress or (lambda finished: None)
    # Enough chunks that every worker has one when there are few programs, and one more to come.
    most_open = 1 + math.ceil(sandbox.n_workers / max(1, len(sources)))
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(sandbox.n_workers, thread_name_prefix="sandbox"))
        opened: deque[_OpenChunk] = deque()
        try:
            offset = 0
            while ledgers and offset < len(inputs):
                if len(opened) >= most_open:
                    opened[0].finish(execution.meter, report_progress)
                    opened.popleft()
                chunk = _OpenChunk(execution, offset)
                opened.append(chunk)
                chunk.hand_out(pool, execution.run_chunk, ledgers)
                offset += chunk.rows.n
            while opened:
                opened[0].finish(execution.meter, report_progress)
                opened.popleft()
            if sandbox.determinism_rows and ledgers and len(inputs):
                # A zygote of its own: other addresses, another time.
                opened.append(_OpenChunk(execution, 0, most_rows=sandbox.determinism_rows))
                opened[0].hand_out(pool, execution.try_reversed, ledgers)
                opened[0].finish(execution.meter, report_progress)
        except BaseException:
            execution.cancelled.set()
            try:
                pool.shutdown(cancel_futures=True)  # and wait: they use the chunks' memory
            finally:  # a second Ctrl-C ends the waiting
                for chunk in opened:
                    chunk.close()
            raise
    return [ledger.close(len(inputs), n_classes) for ledger in ledgers]


class _Meter:
    """Counts finished rows in many threads for one that reports them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, rows: int) -> None:
        with self._lock:
            self._count += rows

    def take(self) -> int:
        """Rows since the last time; none while a program that has feigned progress is below what it claimed."""
        with self._lock:
            count = max(self._count, 0)
            self._count -= count
        return count


class _OpenChunk:
    """Rows in shared memory, the zygote that has loaded them, and the tasks that use both."""

    def __init__(self, execution: "_Execution", first: int, *, most_rows: int | None = None) -> None:
        self.tasks: list[Future[None]] = []
        self._stack = ExitStack()
        try:
            self.rows = self._stack.enter_context(execution.load_rows(first, most_rows))
            # The calling thread starts it, and outlives it.
            self.zygote = self._stack.enter_context(execution.zygote(self.rows)) if execution.sandbox.zygote else None
        except BaseException:
            self._stack.close()
            raise

    def hand_out(
        self,
        pool: ThreadPoolExecutor,
        run: Callable[[ProgramAccount, "_OpenChunk"], None],
        ledgers: Sequence[ProgramAccount],
    ) -> None:
        """Have a program of each ledger run on the chunk. Raises SandboxError where no thread can be started."""
        try:
            for ledger in ledgers:
                self.tasks.append(pool.submit(run, ledger, self))
        except RuntimeError as error:
            raise SandboxError(_too_little(error)) from error

    def finish(self, meter: _Meter, report_progress: Progress) -> None:
        """Wait for the tasks, tell of their progress, and close."""
        pending = set(self.tasks)
        while pending:
            done, pending = wait(pending, timeout=_PROGRESS_S, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
            if (finished := meter.take()) > 0:
                report_progress(finished)
        self.close()

    def close(self) -> None:
        """End the zygote and give the memory back."""
        self._stack.close()


@dataclass
class _Execution:
    """What the threads of one call share."""

    sandbox: Sandbox
    inputs: Inputs
    n_classes: int
    walls: IsolationPolicy

    def __post_init__(self) -> None:
        self.cancelled = threading.Event()
        self.meter = _Meter()

    def load_rows(self, first: int, most_rows: int | None = None) -> SharedRows:
        """The chunk that begins at row `first`, of at most `most_rows` rows if that is fewer than in other chunks."""
        limits = self.sandbox
        rows = min(limits.chunk_rows, most_rows or limits.chunk_rows)
        return SharedRows(self.inputs, first, most_rows=rows, most_bytes=limits.chunk_mb << 20)

    def zygote(self, rows: SharedRows) -> Zygote:
        """A zygote, not yet started, for programs on `rows`."""
        extra = [*self.sandbox.extra_modules, *self.inputs.modules]
        setup = worker.Setup(
            parent_pid=0 if self.walls.launcher else os.getpid(),
            kind=self.inputs.kind,
            rows=rows.n,
            offsets_at=rows.offsets_at,
            allowed_modules=list(self.sandbox.allowed_modules),
            extra_modules=extra,
            module_path=[os.path.abspath(folder) for folder in sys.path] if extra else [],  # noqa: PTH100
        )
        return Zygote(setup, rows.fd, self.walls.launcher, self.cancelled)

    def run_chunk(self, ledger: ProgramAccount, chunk: _OpenChunk) -> None:
        """One program on one chunk, in one worker and as many more as its crashes cost."""
        account = ledger.open(chunk.rows.first, chunk.rows.n)
        if account is None:
            self.meter.add(chunk.rows.n)
            return
        settled = self._run_workers(ledger.encoded, account, chunk)
        self.meter.add(chunk.rows.n - settled)
        ledger.book(chunk.rows.first, account)

    def try_reversed(self, ledger: ProgramAccount, chunk: _OpenChunk) -> None:
        """Run a program on the first rows once more, in reverse order and in fresh workers, to see what it repeats."""
        account = ledger.open_trial(chunk.rows.n)
        if account is not None:
            self._run_workers(ledger.encoded, account, chunk)
            ledger.book_trial(account)

    def _run_workers(self, source: bytes, account: ChunkAccount, chunk: _OpenChunk) -> int:
        """Return how many rows were settled before a budget was used up."""
        settled = 0
        try:
            while settled < chunk.rows.n and account.may_go_on():
                settled += self._run_worker(source, account, chunk, settled)
        except OSError as error:
            raise SandboxError(_too_little(error)) from error
        return settled

    def _run_worker(self, source: bytes, account: ChunkAccount, chunk: _OpenChunk, first: int) -> int:
        """Return how many rows that settles: those with a vote, and the one at which the worker ended too early.

        first: rows settled before, counted in the order they are given in.
        """
        with ExitStack() as stack:
            zygote = chunk.zygote or stack.enter_context(self.zygote(chunk.rows))
            votes = stack.enter_context(VotesArea(chunk.rows.n - first))
            process = stack.enter_context(WorkerProcess(zygote, self.cancelled))
            job = self._job(account, chunk.rows, first, zygote.control_fd)
            self._submit(process, job, source, votes)
            started = time.monotonic()
            tell = self.meter.add if not account.reverse else lambda rows: None
            cut, seen = self._watch(process, votes, started + account.wall_left_s, tell)
            ended = process.end()
            account.spend(wall_s=time.monotonic() - started, cpu_s=ended.cpu_seconds)
            codes, report = votes.copy()
        settled = account.settle(first, codes, parse_report(report), cut, ended.returncode, self.n_classes)
        tell(settled - seen)
        return settled

    def _submit(self, process: WorkerProcess, job: worker.Job, source: bytes, votes: VotesArea) -> None:
        process.submit(
            job,
            source,
            votes.fd,
            memory_bytes=self.sandbox.memory_mb << 20,
            confined=self.walls.confined,
            namespaced=self.walls.launcher is not None,
        )

    def _watch(
        self, process: WorkerProcess, votes: VotesArea, deadline: float, tell: Callable[[int], None]
    ) -> tuple[StopReason, int]:
        """Wait for the end of a worker, or find a reason to end it; with the rows told of meanwhile."""
        limits = self.sandbox
        loaded, row, moved = False, 0, time.monotonic()
        while not process.wait(POLL_S):
            now = time.monotonic()
            now_loaded, now_row = loaded or votes.loaded, votes.first_unset(row)
            if (now_loaded, now_row) != (loaded, row):
                tell(now_row - row)
                loaded, row, moved = now_loaded, now_row, now
            elif now - moved > (limits.stall_s if loaded else limits.init_cpu_s + limits.stall_s):
                return StopReason.STALL, row
            if now > deadline:
                return StopReason.WALL, row
        return StopReason.NONE, row

    def _job(self, account: ChunkAccount, rows: SharedRows, first: int, control_fd: int) -> worker.Job:
        limits = self.sandbox
        machine = os.uname().machine
        return worker.Job(
            first=0 if account.reverse else first,
            rows=rows.n - first,
            reverse=account.reverse,
            row_offset=rows.first + first,
            n_classes=self.n_classes,
            call_cpu_s=limits.call_cpu_s,
            init_cpu_s=limits.init_cpu_s,
            total_cpu_s=math.ceil(limits.program_wall_s) + _SPARE_CPU_S,
            timeouts_left=account.timeouts_left,
            seccomp_number=ARCHITECTURES[machine].seccomp if self.walls.confined else 0,
            seccomp_filter=build_filter(machine, control_fd).hex() if self.walls.confined else "",
        )


def _too_little(error: Exception) -> str:
    """What to say where the machine does not give what a worker takes."""
    return (
        f"A sandbox worker cannot be run ({error}); try fewer sandbox.workers, or raise the limits that ulimit shows."
    )
