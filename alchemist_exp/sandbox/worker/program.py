"""Loads one labeling program and calls it row by row; runs inside a worker that is locked down.

A vote is in shared memory as soon as it is made, so a worker that is killed loses one row. The program can change
everything in this process, this module included; the parent checks the votes and messages after the worker has ended.
"""

import importlib
import mmap
import operator
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from alchemist_exp.sandbox.worker.label_sets import check_set
from alchemist_exp.sandbox.worker.line_trace import trace_lines
from alchemist_exp.sandbox.worker.protocol import (
    BAD_TYPE,
    EXCEPTION,
    IMPORTED_BY_INTERPRETER,
    LOAD_MESSAGE,
    OUT_OF_RANGE,
    REPORT_BYTES,
    TIMEOUT,
    UNSET,
    WorkerJob,
    ZygoteSetup,
    masks_at,
)
from alchemist_exp.sandbox.worker.report_writer import ReportWriter
from alchemist_exp.sandbox.worker.rows import WorkerRows

MODULE_NAME: Final = "label_program"
FUNCTION_NAME: Final = "label_function"

_TICKS_PER_LIMIT = 4
_UNSET_BYTE = UNSET.to_bytes(1, "little", signed=True)


class RowTimeoutError(BaseException):
    """A row has used up its CPU time. Not an Exception, so that `except Exception` in a program does not catch it."""


class SilentStream:
    """Replaces standard output and error: discards what the program prints."""

    encoding, errors, closed = "utf-8", "replace", False

    def write(self, text: str) -> int:
        """Discard `text` and return its length."""
        return len(text)

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""

    def isatty(self) -> bool:
        """Return False, because this is no terminal."""
        return False

    def writable(self) -> bool:
        """Return True, because any text is accepted."""
        return True

    def fileno(self) -> int:
        """Raise OSError, because no descriptor belongs to this stream."""
        raise OSError("there are no file descriptors in the sandbox")


class RowTimer:
    """Interrupts a row that uses up its CPU time.

    A repeating timer of the process's CPU time (user and system) checks whether votes have been added, so a row itself
    costs nothing. A row is interrupted after 1 to 1.25 times the limit. The timer does not see waiting, nor C code that
    ignores signals: the parent's stall limit covers both.

    Args:
        votes: The shared memory, votes first.
        rows: Number of votes.
    """

    def __init__(self, votes: mmap.mmap, rows: int) -> None:
        """Create the timer without starting it."""
        self.paused = False
        self._votes = votes
        self._rows = rows
        self._row = 0
        self._ticks = 0

    def start(self, limit_s: float) -> None:
        """Raise RowTimeoutError in the running code whenever no vote is added for a time.

        Args:
            limit_s: The time in CPU seconds, counted from now on.
        """
        self._ticks = 0
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, limit_s / _TICKS_PER_LIMIT, limit_s / _TICKS_PER_LIMIT)

    def _tick(self, signum: int, frame: types.FrameType | None) -> None:
        if self.paused:
            return
        row = self._votes.find(_UNSET_BYTE, self._row, self._rows)
        if row != self._row:
            self._row, self._ticks = row if row >= 0 else self._rows, 0
            return
        self._ticks += 1
        if self._ticks >= _TICKS_PER_LIMIT:
            self._ticks = 0
            raise RowTimeoutError


def run_program(setup: ZygoteSetup, job: WorkerJob, source: bytes, rows: WorkerRows, votes: mmap.mmap) -> None:
    """Load a program and label rows with it; every error of the program ends in a vote code or a message.

    Args:
        setup: The modules that the program may import.
        job: The rows to label, and the limits.
        source: The program in UTF-8.
        rows: All rows of the zygote.
        votes: Shared memory: one int8 per row of the job, then the report, then the lines if the job has `trace`, and
            the masks if it has `multi_label`.
    """
    report = ReportWriter(memoryview(votes)[job.rows :], job.row_offset)
    timer = RowTimer(votes, job.rows)
    timer.start(job.init_cpu_s)
    try:
        label = _load(source, (*setup.allowed_modules, *setup.extra_modules, *IMPORTED_BY_INTERPRETER))
    except RowTimeoutError as error:
        text = f"loading took more than {job.init_cpu_s:g} s of CPU time"
        report.write(LOAD_MESSAGE, None, partial(_describe, error, text))
        return
    except BaseException as error:  # noqa: BLE001
        report.write(LOAD_MESSAGE, None, partial(_describe, error))
        return
    if job.trace:
        lines = memoryview(votes)[job.rows + REPORT_BYTES : masks_at(job.rows, trace=True)].cast("i")
        label = trace_lines(label, lines, f"<{MODULE_NAME}>")
    report.set_loaded()
    timer.start(job.call_cpu_s)
    _label_rows(job, label, rows, votes, report, timer)


def _load(source: bytes, importable: Sequence[str]) -> Callable[[Any], object]:
    """Return the program's label_function. Refusing an import gives a clear message; it is no protection."""
    module = types.ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module  # dataclasses and typing look up the module of a class here
    builtins = {**vars(importlib.import_module("builtins")), "__import__": partial(_import_allowed, importable)}
    module.__dict__["__builtins__"] = builtins
    exec(compile(source.decode(), f"<{MODULE_NAME}>", "exec", dont_inherit=True), module.__dict__)
    label = module.__dict__.get(FUNCTION_NAME)
    if not callable(label):
        raise NameError(f"the program defines no function {FUNCTION_NAME}")
    return label  # type: ignore[no-any-return]


def _import_allowed(importable: Sequence[str], name: str, *arguments: Any, **named: Any) -> object:
    """Import in place of `__import__`: the modules in `importable`, their submodules and parent packages only."""
    if not any(f"{name}.".startswith(f"{allowed}.") or f"{allowed}.".startswith(f"{name}.") for allowed in importable):
        raise ModuleNotFoundError(f"module {name!r} is not allowed in a labeling program", name=name)
    return __import__(name, *arguments, **named)


def _label_rows(
    job: WorkerJob,
    label: Callable[[Any], object],
    rows: WorkerRows,
    votes: mmap.mmap,
    report: ReportWriter,
    timer: RowTimer,
) -> None:
    """Vote row by row. The innermost loop is all the cost per row: about 0.2 microseconds plus the decoding."""
    codes = memoryview(votes)[: job.rows].cast("b")
    highest = job.n_classes - 1
    check: Callable[[object, int, WorkerJob, ReportWriter], int] = _check_vote
    if job.multi_label:  # no vote is its own code
        masks = memoryview(votes)[masks_at(job.rows, trace=job.trace) :].cast("q")
        highest, check = -2, partial(check_set, masks=masks)
    timeouts_left, timeout_text = job.timeouts_left, f"more than {job.call_cpu_s:g} s of CPU time"
    row = first = 0
    for batch in _without_timer(rows.batches(job.first, job.first + job.rows, job.reverse), timer):
        numbered = enumerate(batch, first)
        first += len(batch)
        finished = False
        while not finished:
            try:
                # `numbered` is an iterator: after a row that raised, the loop continues with the next row.
                for row, value in numbered:
                    vote = label(value)
                    codes[row] = vote if type(vote) is int and -1 <= vote <= highest else check(vote, row, job, report)
                finished = True
            except RowTimeoutError as error:
                report.write("timeout", row, partial(_describe, error, timeout_text))
                codes[row] = TIMEOUT
                timeouts_left -= 1
                if timeouts_left <= 0:
                    return
            except BaseException as error:  # noqa: BLE001
                report.write("exception", row, partial(_describe, error))
                codes[row] = EXCEPTION


def _without_timer(batches: Iterator[list[Any]], timer: RowTimer) -> Iterator[list[Any]]:
    """Yield the same batches with the timer paused while one is decoded: that time is not the next row's."""
    timer.paused = True
    for batch in batches:
        timer.paused = False
        yield batch
        timer.paused = True


def _check_vote(vote: object, row: int, job: WorkerJob, report: ReportWriter) -> int:
    """Return the code of a vote that is not an int in range: numpy's integers are valid, True and 1.0 are not."""
    try:
        if isinstance(vote, bool):
            raise TypeError
        number = operator.index(vote)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001
        report.write("bad_type", row, lambda: f"the vote is a {type(vote).__name__}; an integer is needed")
        return BAD_TYPE
    if -1 <= number < job.n_classes:
        return int(number)
    shown = str(number) if abs(number) < 10**9 else "huge"
    report.write("out_of_range", row, lambda: f"the vote is {shown}; -1..{job.n_classes - 1} is allowed")
    return OUT_OF_RANGE


def _describe(error: BaseException, text: str = "") -> str:
    """Describe an error, and name the innermost line of the program where it occurred."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == f"<{MODULE_NAME}>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    message = text or f"{type(error).__name__}: {error}"
    return message if line is None else f"line {line}: {message}"
