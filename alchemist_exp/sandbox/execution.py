"""Runs programs over texts, each (program, chunk of rows) in a worker of its own.

A chunk's texts are shared by all the programs. A program's chunks come one after the other, so that its limits on
timeouts, restarts and wall time hold for the whole program. Linux only.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from alchemist_exp.core.values import MAX_CLASSES
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.base import ProgramRun, Progress, Sandbox
from alchemist_exp.sandbox.ledger import Cut, Ledger
from alchemist_exp.sandbox.report import parse_report
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES, build_filter
from alchemist_exp.sandbox.shared_memory import SharedTexts, VotesArea
from alchemist_exp.sandbox.worker_process import POLL_S, WorkerProcess

_PROGRESS_S = 0.1
# The kernel's own stop, should the parent's fail: CPU time cannot be more than wall time and the start.
_SPARE_CPU_S = 10


def run_programs(
    sandbox: Sandbox,
    sources: Sequence[str],
    texts: Sequence[str],
    n_classes: int,
    *,
    confined: bool,
    on_progress: Progress | None = None,
) -> list[ProgramRun]:
    """`Sandbox.execute`, with the system call filter if `confined`. On any error, Ctrl-C too, every worker is ended."""
    if not 1 <= n_classes <= MAX_CLASSES:
        raise ValueError(f"n_classes is {n_classes}; 1..{MAX_CLASSES} is allowed")
    ledgers = [Ledger(source, len(texts), sandbox) for source in sources]
    execution = _Execution(sandbox, n_classes, confined)
    report_progress = on_progress or (lambda finished: None)
    with ThreadPoolExecutor(sandbox.n_workers, thread_name_prefix="sandbox") as pool:
        try:
            for offset in range(0, len(texts), sandbox.chunk_rows):
                with SharedTexts(texts[offset : offset + sandbox.chunk_rows]) as chunk:
                    tasks: list[Future[None]] = []
                    try:
                        for ledger in ledgers:
                            tasks.append(pool.submit(execution.run_chunk, ledger, chunk, offset))  # noqa: PERF401
                        _await(tasks, execution.meter, report_progress)
                    except BaseException:
                        execution.cancelled.set()
                        pool.shutdown(cancel_futures=True)  # and wait: they use the chunk's memory
                        raise
        finally:
            execution.cancelled.set()
    return [ledger.close(n_classes) for ledger in ledgers]


def _await(tasks: Sequence[Future[None]], meter: "_Meter", report_progress: Progress) -> None:
    pending = set(tasks)
    while pending:
        done, pending = wait(pending, timeout=_PROGRESS_S, return_when=FIRST_EXCEPTION)
        for task in done:
            task.result()
        if (finished := meter.take()) > 0:
            report_progress(finished)


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


@dataclass
class _Execution:
    """What the threads of one call share."""

    sandbox: Sandbox
    n_classes: int
    confined: bool

    def __post_init__(self) -> None:
        self.cancelled = threading.Event()
        self.meter = _Meter()

    def run_chunk(self, ledger: Ledger, chunk: SharedTexts, offset: int) -> None:
        """One program on one chunk, in one worker and as many more as its crashes cost.

        The calling thread starts each worker and sees it end, as `WorkerProcess` needs.
        """
        first = 0
        while first < chunk.n and ledger.may_go_on():
            first += self._run_worker(ledger, chunk, offset, first)
        self.meter.add(chunk.n - first)

    def _run_worker(self, ledger: Ledger, chunk: SharedTexts, offset: int, first: int) -> int:
        """Return how many rows that settles: those with a vote, and the one at which the worker ended too early."""
        with VotesArea(chunk.n - first) as votes, WorkerProcess(self.cancelled) as process:
            job = self._job(ledger, chunk, offset, first, process.control_fd)
            process.submit(job, ledger.encoded, chunk.fd, votes.fd, confined=self.confined)
            started = time.monotonic()
            cut, seen = self._watch(process, votes, started + ledger.wall_left_s)
            returncode = process.end()
            ledger.spend(wall_s=time.monotonic() - started, cpu_s=process.cpu_seconds)
            codes, report = votes.copy()
        settled = ledger.settle(offset + first, codes, parse_report(report), cut, returncode, self.n_classes)
        self.meter.add(settled - seen)
        return settled

    def _watch(self, process: WorkerProcess, votes: VotesArea, deadline: float) -> tuple[Cut, int]:
        """Wait for the end of a worker, or find a reason to end it; with the rows told to the meter meanwhile."""
        limits = self.sandbox
        loaded, row, moved = False, 0, time.monotonic()
        while not process.wait(POLL_S):
            now = time.monotonic()
            now_loaded, now_row = loaded or votes.loaded, votes.first_unset(row)
            if (now_loaded, now_row) != (loaded, row):
                self.meter.add(now_row - row)
                loaded, row, moved = now_loaded, now_row, now
            elif now - moved > (limits.stall_s if loaded else limits.init_cpu_s + limits.stall_s):
                return Cut.STALL, row
            if now > deadline:
                return Cut.WALL, row
        return Cut.NONE, row

    def _job(self, ledger: Ledger, chunk: SharedTexts, offset: int, first: int, control_fd: int) -> worker.Job:
        limits = self.sandbox
        machine = os.uname().machine
        return worker.Job(
            parent_pid=os.getpid(),
            n_texts=chunk.n,
            first=first,
            rows=chunk.n - first,
            row_offset=offset + first,
            n_classes=self.n_classes,
            call_cpu_s=limits.call_cpu_s,
            init_cpu_s=limits.init_cpu_s,
            total_cpu_s=math.ceil(limits.program_wall_s) + _SPARE_CPU_S,
            memory_bytes=limits.memory_mb << 20,
            timeouts_left=ledger.timeouts_left,
            allowed_modules=list(limits.allowed_modules),
            extra_modules=list(limits.extra_modules),
            module_path=[os.path.abspath(folder) for folder in sys.path] if limits.extra_modules else [],  # noqa: PTH100
            seccomp_number=ARCHITECTURES[machine].seccomp if self.confined else 0,
            seccomp_filter=build_filter(machine, control_fd).hex() if self.confined else "",
        )
