"""Runs programs over rows, each (program, chunk of rows) in a separate worker. Linux only.

All programs share the rows of a chunk. A few chunks are open at once, so that no worker waits for the last program of a
chunk, and memory does not grow with the number of rows.
"""

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from alchemist_exp.core.label_sets import MAX_SET_CLASSES
from alchemist_exp.core.types import MAX_CLASSES
from alchemist_exp.sandbox.accounting import ProgramAccount
from alchemist_exp.sandbox.base import ProgramRun, ProgressCallback, Sandbox
from alchemist_exp.sandbox.chunk_account import ChunkAccount, StopReason
from alchemist_exp.sandbox.inputs import Inputs
from alchemist_exp.sandbox.open_chunk import OpenChunk, RowCounter, resource_error
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES, build_filter
from alchemist_exp.sandbox.shared_memory import SharedRows, VotesArea
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.worker_process import WorkerProcess
from alchemist_exp.sandbox.worker_report import parse_report
from alchemist_exp.sandbox.zygote import POLL_INTERVAL_S, IsolationPolicy, Zygote

# The kernel ends a worker itself (RLIMIT_CPU) should the parent not do it. A worker cannot use more CPU time than wall
# time, plus what the zygote had used at the fork.
_EXTRA_CPU_S = 10


def run_programs(
    sandbox: Sandbox,
    sources: Sequence[str],
    inputs: Inputs,
    n_classes: int,
    isolation: IsolationPolicy,
    *,
    used_wall_s: Sequence[float] | None = None,
    on_progress: ProgressCallback | None = None,
    trace: bool = False,
    multi_label: bool = False,
) -> list[ProgramRun]:
    """Do the work of `Sandbox.execute`. After any error, including Ctrl-C, no worker is left.

    Args:
        sandbox: The limits.
        sources: Python source of each program.
        inputs: The rows.
        n_classes: Number of classes, 1..MAX_CLASSES.
        isolation: What the kernel must deny workers.
        used_wall_s: See `Sandbox.execute`.
        on_progress: See `Sandbox.execute`.
        trace: See `Sandbox.execute_traced`.
        multi_label: See `multi_label` of `Sandbox.execute`.

    Returns:
        One result per program.

    Raises:
        SandboxError: Workers cannot be started or isolated.
        ValueError: `n_classes` is out of range.
    """
    most = MAX_SET_CLASSES if multi_label else MAX_CLASSES
    if not 1 <= n_classes <= most:
        raise ValueError(f"n_classes is {n_classes}; expected 1..{most}")
    used = used_wall_s or [0.0] * len(sources)
    accounts = [ProgramAccount(source, sandbox, used_s) for source, used_s in zip(sources, used, strict=True)]
    execution = _Execution(sandbox, inputs, n_classes, isolation, trace, multi_label)
    report_progress = on_progress or (lambda finished: None)
    # Enough chunks that every worker has one when there are few programs, and one more in preparation.
    max_open = 1 + math.ceil(sandbox.n_workers / max(1, len(sources)))
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(sandbox.n_workers, thread_name_prefix="sandbox"))
        opened: deque[OpenChunk] = deque()
        try:
            offset = 0
            while accounts and offset < len(inputs):
                if len(opened) >= max_open:
                    # Removed only after `finish`: if that raises, the handler below closes the chunk.
                    opened[0].finish(execution.finished_rows, report_progress)
                    opened.popleft()
                chunk = execution.open_chunk(offset)
                opened.append(chunk)
                chunk.submit(pool, execution.run_chunk, accounts)
                offset += chunk.rows.n_rows
            while opened:
                opened[0].finish(execution.finished_rows, report_progress)
                opened.popleft()
            if sandbox.determinism_rows and accounts and len(inputs):
                # In a new zygote, so that addresses and time differ as well.
                opened.append(execution.open_chunk(0, sandbox.determinism_rows))
                opened[0].submit(pool, execution.run_reversed, accounts)
                opened[0].finish(execution.finished_rows, report_progress)
        except BaseException:
            execution.cancelled.set()
            try:
                pool.shutdown(cancel_futures=True)  # waits for the threads, because they use the chunks' memory
            finally:  # a second Ctrl-C interrupts the wait
                for chunk in opened:
                    chunk.close()
            raise
    return [account.result(len(inputs), n_classes, multi_label=multi_label) for account in accounts]


@dataclass
class _Execution:
    """What the threads of one call share."""

    sandbox: Sandbox
    inputs: Inputs
    n_classes: int
    isolation: IsolationPolicy
    trace: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Add what the threads use to notify each other."""
        self.cancelled = threading.Event()
        self.finished_rows = RowCounter()

    def open_chunk(self, first: int, max_rows: int | None = None) -> OpenChunk:
        """Load rows and start their zygote, if the sandbox uses one per chunk.

        Args:
            first: See `load_rows`.
            max_rows: See `load_rows`.

        Returns:
            The chunk, which the caller must close.
        """
        with ExitStack() as stack:
            rows = stack.enter_context(self.load_rows(first, max_rows))
            # Started by the calling thread, which outlives it: a zygote ends with the thread that started it.
            zygote = stack.enter_context(self.zygote(rows)) if self.sandbox.zygote else None
            return OpenChunk(rows, zygote, stack.pop_all())

    def load_rows(self, first: int, max_rows: int | None = None) -> SharedRows:
        """Put the rows of a chunk into shared memory.

        Args:
            first: Row number of the first row.
            max_rows: The chunk ends after this number of rows, if that is less than sandbox.chunk_rows.

        Returns:
            The rows.
        """
        limits = self.sandbox
        max_rows = min(limits.chunk_rows, max_rows or limits.chunk_rows)
        return SharedRows(self.inputs, first, max_rows=max_rows, max_bytes=limits.chunk_mb << 20)

    def zygote(self, rows: SharedRows) -> Zygote:
        """Return a zygote that is not started yet.

        Args:
            rows: The rows that its workers label.

        Returns:
            The zygote, a context manager.
        """
        extra = [*self.sandbox.extra_modules, *self.inputs.modules]
        setup = protocol.ZygoteSetup(
            parent_pid=0 if self.isolation.launcher else os.getpid(),
            kind=self.inputs.kind,
            rows=rows.n_rows,
            offsets_at=rows.offsets_at,
            allowed_modules=list(self.sandbox.allowed_modules),
            extra_modules=extra,
            module_path=[os.path.abspath(path) for path in sys.path] if extra else [],  # noqa: PTH100
        )
        return Zygote(setup, rows.fd, self.isolation.launcher, self.cancelled)

    def run_chunk(self, account: ProgramAccount, chunk: OpenChunk) -> None:
        """Run one program on one chunk, in one worker plus one after each crash.

        Args:
            account: The program's account, to which the chunk is added.
            chunk: The rows and their zygote.

        Raises:
            SandboxError: A worker cannot be started or isolated.
        """
        chunk_account = account.open_chunk(chunk.rows.first, chunk.rows.n_rows)
        if chunk_account is None:
            self.finished_rows.add(chunk.rows.n_rows)
            return
        done = self._run_workers(account.source_bytes, chunk_account, chunk)
        self.finished_rows.add(chunk.rows.n_rows - done)
        account.add_chunk(chunk.rows.first, chunk_account)

    def run_reversed(self, account: ProgramAccount, chunk: OpenChunk) -> None:
        """Run a program on the first rows again, in reverse order and in new workers, for the determinism check.

        Args:
            account: The program's account, to which the repetition is added.
            chunk: The first rows and a new zygote.

        Raises:
            SandboxError: A worker cannot be started or isolated.
        """
        chunk_account = account.open_repetition(chunk.rows.n_rows)
        if chunk_account is not None:
            self._run_workers(account.source_bytes, chunk_account, chunk)
            account.add_repetition(chunk_account)

    def _run_workers(self, source: bytes, account: ChunkAccount, chunk: OpenChunk) -> int:
        """Return how many rows were done before all rows were done or a limit was reached."""
        done = 0
        try:
            while done < chunk.rows.n_rows and account.may_continue:
                done += self._run_worker(source, account, chunk, done)
        except OSError as error:
            raise resource_error(error) from error
        return done

    def _run_worker(self, source: bytes, account: ChunkAccount, chunk: OpenChunk, first: int) -> int:
        """Run one worker; return how many rows it has done, including the row at which it ended early.

        first: rows done before, counted in the order in which the program receives them.
        """
        with ExitStack() as stack:
            zygote = chunk.zygote or stack.enter_context(self.zygote(chunk.rows))
            votes = stack.enter_context(
                VotesArea(chunk.rows.n_rows - first, trace=self.trace, multi_label=self.multi_label)
            )
            process = stack.enter_context(WorkerProcess(zygote, self.cancelled))
            process.start(
                self._job(account, chunk.rows, first, zygote.control_fd),
                source,
                votes.fd,
                memory_bytes=self.sandbox.memory_mb << 20,
                confined=self.isolation.confined,
                namespaced=self.isolation.launcher is not None,
            )
            started = time.monotonic()
            # The determinism check reports no progress: its rows have been counted before.
            add_finished = self.finished_rows.add if not account.reverse else lambda rows: None
            stop_reason, reported = self._watch(process, votes, started + account.wall_left_s, add_finished)
            worker_exit = process.end()
            account.add_time(wall_s=time.monotonic() - started, cpu_s=worker_exit.cpu_seconds)
            codes, report = votes.copy()
            masks = votes.copy_masks() if self.multi_label else None
            if self.trace:
                account.add_lines(first, votes.copy_lines())
        done = account.add_worker(
            first, codes, parse_report(report), stop_reason, worker_exit.returncode, self.n_classes, masks
        )
        add_finished(done - reported)
        return done

    def _watch(
        self, process: WorkerProcess, votes: VotesArea, deadline: float, add_finished: Callable[[int], None]
    ) -> tuple[StopReason, int]:
        """Wait until a worker ends or must be killed; return why, and the number of rows passed to `add_finished`."""
        limits = self.sandbox
        loaded, row, last_change = False, 0, time.monotonic()
        while not process.wait(POLL_INTERVAL_S):
            now = time.monotonic()
            # A program can fake both values, but only to lose its stall limit: the wall limit holds nevertheless.
            now_loaded, now_row = loaded or votes.loaded, votes.first_unset(row)
            if (now_loaded, now_row) != (loaded, row):
                add_finished(now_row - row)
                loaded, row, last_change = now_loaded, now_row, now
            elif now - last_change > (limits.stall_s if loaded else limits.init_cpu_s + limits.stall_s):
                return StopReason.STALL, row
            if now > deadline:
                return StopReason.WALL, row
        return StopReason.NONE, row

    def _job(self, account: ChunkAccount, rows: SharedRows, first: int, control_fd: int) -> protocol.WorkerJob:
        limits = self.sandbox
        machine = os.uname().machine
        return protocol.WorkerJob(
            # In reverse order the rows done are the last ones, so the worker still starts at row 0 of the chunk.
            first=0 if account.reverse else first,
            rows=rows.n_rows - first,
            reverse=account.reverse,
            row_offset=rows.first + first,
            n_classes=self.n_classes,
            call_cpu_s=limits.call_cpu_s,
            init_cpu_s=limits.init_cpu_s,
            total_cpu_s=math.ceil(limits.program_wall_s) + _EXTRA_CPU_S,
            timeouts_left=account.timeouts_left,
            seccomp_number=ARCHITECTURES[machine].seccomp if self.isolation.confined else 0,
            seccomp_filter=build_filter(machine, control_fd).hex() if self.isolation.confined else "",
            trace=self.trace,
            multi_label=self.multi_label,
        )
