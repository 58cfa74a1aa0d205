"""The process a labeling program runs in: locks itself down, then asks for the program, then votes row by row.

Started as `python -P -s -S -B worker.py CONTROL_FD`; needs the standard library alone. It is trusted until it reports
READY. The parent believes nothing that comes after: votes and messages are bytes in shared memory, checked over there.
A vote is in that memory the moment it is made, so a worker that is killed loses one row.

One long file, because a script that may import nothing of its package cannot be cut in two.
"""

import bisect
import ctypes
import importlib
import itertools
import json
import mmap
import operator
import os
import resource
import signal
import socket
import struct
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

# Codes in the votes area, beside the classes 0.. and -1 for abstain.
UNSET: Final = -128
EXCEPTION: Final = -2
TIMEOUT: Final = -3
BAD_TYPE: Final = -4
OUT_OF_RANGE: Final = -5

# The report follows the votes: slots of equal size, the first for the LOADED flag, one for each kind of message.
REPORT_BYTES: Final = 8192
SLOT_BYTES: Final = 1024
LOADED: Final = 1
LOAD_MESSAGE: Final = "load"
MESSAGE_SLOTS: Final[Mapping[str, int]] = {
    LOAD_MESSAGE: 1,
    "exception": 2,
    "timeout": 3,
    "bad_type": 4,
    "out_of_range": 5,
}

# First byte of what the worker says before it gets the program; REFUSED is followed by the reason.
READY: Final = b"R"
REFUSED: Final = b"E"

MODULE_NAME: Final = "label_program"
FUNCTION_NAME: Final = "label_function"

_TICKS_PER_LIMIT = 4
_BATCH_ROWS = 1024
_BATCH_BYTES = 1 << 20

# No file can be opened after lock-down, so what these modules import late is imported early.
_LATE_IMPORTS: Final[Mapping[str, Sequence[str]]] = {
    "collections": ("collections.abc", "heapq"),
    "copy": ("copyreg", "weakref"),
    "datetime": ("_strptime",),
    "functools": ("types", "typing", "weakref"),
    "html": ("html.entities", "html.parser"),
    "numpy": ("numpy.char", "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.rec"),
    "time": ("_strptime",),
}
_ALWAYS_IMPORTED: Final = (
    *("__future__", "copyreg", "linecache", "traceback", "unicodedata", "warnings"),
    *("encodings.ascii", "encodings.cp1252", "encodings.idna", "encodings.iso8859_1", "encodings.latin_1"),
    *("encodings.punycode", "encodings.raw_unicode_escape", "encodings.unicode_escape", "encodings.utf_8_sig"),
    *("encodings.utf_16", "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32", "encodings.rot_13"),
)
# The interpreter imports these in the program's name (strptime, copying, a warning).
_IMPORTED_BY_INTERPRETER: Final = ("__future__", "_strptime", "copyreg", "encodings", "warnings")

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _LANDLOCK_CREATE_RULESET_VERSION = 444, 446, 1


class Job(NamedTuple):
    """What the parent wants done; JSON on the control socket. Votes are for the texts first .. first + rows - 1."""

    parent_pid: int
    n_texts: int
    first: int
    rows: int
    row_offset: int
    """Added to a text's index to name its row in a message."""
    n_classes: int
    call_cpu_s: float
    init_cpu_s: float
    total_cpu_s: int
    memory_bytes: int
    timeouts_left: int
    allowed_modules: list[str]
    extra_modules: list[str]
    module_path: list[str]
    seccomp_number: int
    seccomp_filter: str
    """Hexadecimal; empty for no confinement beyond limits."""


class RowTimeoutError(BaseException):
    """A row has used up its CPU time. Not an Exception, so that `except Exception` in a program lets it pass."""


class SilentStream:
    """Takes what the program prints and keeps nothing."""

    encoding, errors, closed = "utf-8", "replace", False

    def write(self, text: str) -> int:
        """Drop `text`."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Raise OSError."""
        raise OSError("there are no file descriptors in the sandbox")


class Texts:
    """The texts in shared memory: int64 offsets, then UTF-8. They are sealed: nobody can write them."""

    def __init__(self, fd: int, n_texts: int) -> None:
        self._memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        self._base = 8 * (n_texts + 1)
        self._offsets = memoryview(self._memory)[: self._base].cast("q")

    def batches(self, first: int, end: int) -> Iterator[list[str]]:
        """Yield the texts first .. end - 1 in order, in lists so small that decoding one takes a millisecond."""
        while first < end:
            most = self._offsets[first] + _BATCH_BYTES
            last = bisect.bisect_right(self._offsets, most, first + 1, min(end, first + _BATCH_ROWS) + 1) - 1
            last = max(last, first + 1)
            yield self._read(first, last)
            first = last

    def _read(self, first: int, end: int) -> list[str]:
        memory = self._memory
        bounds = [self._base + offset for offset in self._offsets[first : end + 1]]
        return [memory[start:stop].decode("utf-8", "surrogatepass") for start, stop in itertools.pairwise(bounds)]


class Report:
    """The first message of each kind, written where the parent finds it."""

    def __init__(self, area: memoryview, row_offset: int) -> None:
        self._area = area
        self._row_offset = row_offset
        self._written: set[str] = set()

    def loaded(self) -> None:
        """Say that the program was loaded."""
        self._area[0] = LOADED

    def note(self, kind: str, row: int | None, explain: Callable[[], str]) -> None:
        """Keep `explain()` if it is the first of its kind. It may run the program's code, which may do anything."""
        if kind in self._written:
            return
        self._written.add(kind)
        try:
            text = explain()
            message = (text if row is None else f"row {row + self._row_offset}: {text}")[: SLOT_BYTES // 4]
            data = message.encode("utf-8", "replace")[: SLOT_BYTES - 2]
        except BaseException:  # noqa: BLE001
            data = b"an error that cannot be described"
        start = MESSAGE_SLOTS[kind] * SLOT_BYTES
        self._area[start : start + 2 + len(data)] = struct.pack("<H", len(data)) + data


class RowClock:
    """Ends a row that uses up its CPU time.

    A repeating timer of the process's CPU time looks whether votes have been added: rows cost nothing. A row is
    interrupted after 1 to 1.25 times the limit. Time spent waiting, or in C code that ignores signals, is the parent's.
    """

    def __init__(self, votes: mmap.mmap, rows: int) -> None:
        self.paused = False
        self._votes = votes
        self._rows = rows
        self._row = 0
        self._ticks = 0

    def start(self, limit_s: float) -> None:
        """Interrupt whatever adds no vote for `limit_s` seconds of CPU time from now on."""
        self._ticks = 0
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s / _TICKS_PER_LIMIT, limit_s / _TICKS_PER_LIMIT)

    def _tick(self, signum: int, frame: types.FrameType | None) -> None:
        if self.paused:
            return
        row = self._votes.find(UNSET.to_bytes(1, "little", signed=True), self._row, self._rows)
        if row != self._row:
            self._row, self._ticks = row if row >= 0 else self._rows, 0
            return
        self._ticks += 1
        if self._ticks >= _TICKS_PER_LIMIT:
            self._ticks = 0
            raise RowTimeoutError


def main() -> NoReturn:
    """Lock down, say so, receive the program, run it, end."""
    libc = ctypes.CDLL(None, use_errno=True)
    # At once, so that a parent that dies during the imports below leaves nothing behind.
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        job, texts_fd, votes_fd = _receive_job(control)
        if os.getppid() != job.parent_pid:
            os._exit(1)
        _import_modules(job)
        texts = Texts(texts_fd, job.n_texts)
        votes = mmap.mmap(votes_fd, job.rows + REPORT_BYTES)
        sys.stdin = None
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = SilentStream()  # type: ignore[misc, assignment]
        lock_down(libc, job, control.fileno())
    except BaseException as error:  # noqa: BLE001
        os.write(control.fileno(), REFUSED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:2000])
        os._exit(1)
    os.write(control.fileno(), READY)
    source = _receive_exactly(control, struct.unpack("<I", _receive_exactly(control, 4))[0])
    control.close()
    _run(job, source, texts, votes)
    os._exit(0)


def lock_down(libc: ctypes.CDLL, job: Job, control_fd: int) -> None:
    """Give up, for good, everything but memory, time and the control descriptor. Raises OSError when a wall fails.

    The order matters: each step needs something that the next takes away.
    """
    for name in ("RLIMIT_FSIZE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NPROC"):
        _set_limit(getattr(resource, name), 0)
    # 1, not 0: a core dump that is piped to a program ignores 0 and is skipped at 1.
    _set_limit(resource.RLIMIT_CORE, 1)
    _set_limit(resource.RLIMIT_CPU, job.total_cpu_s)
    _set_limit(resource.RLIMIT_AS, _mapped_bytes() + job.memory_bytes)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    if job.seccomp_filter:
        _landlock(libc)
    os.closerange(0, control_fd)
    os.closerange(control_fd + 1, max(1 << 16, control_fd + 1))
    _set_limit(resource.RLIMIT_NOFILE, 0)
    if job.seccomp_filter:
        _install_filter(libc, job.seccomp_number, bytes.fromhex(job.seccomp_filter))
        try:
            os.stat("/")  # noqa: PTH116
        except PermissionError:
            return
        raise OSError("the system call filter is installed but lets files be seen")


def _set_limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _mapped_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
        return int(statm.read().split()[0]) * mmap.PAGESIZE


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")


def _landlock(libc: ctypes.CDLL) -> None:
    """Deny all paths and, where the kernel can, TCP and signals: a second wall where there is one to be had."""
    version = libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION),
    )
    if version < 1:
        return
    file_rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    fields = [(1 << file_rights) - 1, *([3] if version >= 4 else []), *([3] if version >= 6 else [])]
    rules = struct.pack(f"{len(fields)}Q", *fields)
    fd = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0))
    if fd >= 0:
        libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(fd), ctypes.c_uint32(0))
        os.close(fd)


def _install_filter(libc: ctypes.CDLL, number: int, instructions: bytes) -> None:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(instructions) // 8, ctypes.addressof(code)))
    mode, flags = ctypes.c_uint(_SECCOMP_SET_MODE_FILTER), ctypes.c_uint(_SECCOMP_FILTER_FLAG_TSYNC)
    if libc.syscall(ctypes.c_long(number), mode, flags, program) != 0:
        raise OSError(ctypes.get_errno(), "the system call filter cannot be installed")


def _receive_job(control: socket.socket) -> tuple[Job, int, int]:
    head, fds, _, _ = socket.recv_fds(control, 4, 2)
    if len(head) < 4 or len(fds) != 2:
        os._exit(1)  # the parent is gone
    job = Job(**json.loads(_receive_exactly(control, struct.unpack("<I", head)[0])))
    return job, fds[0], fds[1]


def _receive_exactly(control: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(control.fileno(), size - len(data))  # recv is another system call, and not allowed
        if not part:
            os._exit(1)  # the parent has refused us, or is gone
        data += part
    return bytes(data)


def _import_modules(job: Job) -> None:
    sys.path += job.module_path
    for name in (*_ALWAYS_IMPORTED, *job.allowed_modules, *job.extra_modules):
        importlib.import_module(name)
        for late in _LATE_IMPORTS.get(name, ()):
            importlib.import_module(late)
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed(0)


def _run(job: Job, source: bytes, texts: Texts, votes: mmap.mmap) -> None:
    report = Report(memoryview(votes)[job.rows :], job.row_offset)
    clock = RowClock(votes, job.rows)
    clock.start(job.init_cpu_s)
    try:
        label = _load(source, (*job.allowed_modules, *job.extra_modules, *_IMPORTED_BY_INTERPRETER))
    except RowTimeoutError as error:
        report.note(LOAD_MESSAGE, None, _explain(error, f"loading took more than {job.init_cpu_s:g} s of CPU time"))
        return
    except BaseException as error:  # noqa: BLE001
        report.note(LOAD_MESSAGE, None, _explain(error))
        return
    report.loaded()
    clock.start(job.call_cpu_s)
    _label_rows(job, label, texts, votes, report, clock)


def _load(source: bytes, importable: Sequence[str]) -> Callable[[str], object]:
    """Return the program's label_function. Imports are held to `importable`: for a clear message, not as a wall."""
    module = types.ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module  # dataclasses and typing look their module up
    module.__dict__["__builtins__"] = {**vars(importlib.import_module("builtins")), "__import__": _gate(importable)}
    exec(compile(source.decode(), f"<{MODULE_NAME}>", "exec", dont_inherit=True), module.__dict__)
    label = module.__dict__.get(FUNCTION_NAME)
    if not callable(label):
        raise NameError(f"the program defines no function {FUNCTION_NAME}")
    return label  # type: ignore[no-any-return]


def _gate(importable: Sequence[str]) -> Callable[..., object]:
    def import_allowed(name: str, *arguments: Any, **named: Any) -> object:
        if not any(
            f"{name}.".startswith(f"{allowed}.") or f"{allowed}.".startswith(f"{name}.") for allowed in importable
        ):
            raise ModuleNotFoundError(f"module {name!r} is not allowed in a labeling program", name=name)
        return __import__(name, *arguments, **named)

    return import_allowed


def _label_rows(
    job: Job, label: Callable[[str], object], texts: Texts, votes: mmap.mmap, report: Report, clock: RowClock
) -> None:
    """Vote row by row. The innermost loop is the whole cost per row: about 0.2 microseconds and the decoding."""
    codes = memoryview(votes)[: job.rows].cast("b")
    highest = job.n_classes - 1
    timeouts_left = job.timeouts_left
    row = first = 0
    for batch in _unclocked(texts.batches(job.first, job.first + job.rows), clock):
        rows = enumerate(batch, first)
        first += len(batch)
        finished = False
        while not finished:
            try:
                for row, text in rows:  # an iterator: after a row that raised it goes on with the next
                    vote = label(text)
                    codes[row] = vote if type(vote) is int and -1 <= vote <= highest else _judge(vote, row, job, report)
                finished = True
            except RowTimeoutError as error:
                report.note("timeout", row, _explain(error, f"more than {job.call_cpu_s:g} s of CPU time"))
                codes[row] = TIMEOUT
                timeouts_left -= 1
                if timeouts_left <= 0:
                    return
            except BaseException as error:  # noqa: BLE001
                report.note("exception", row, _explain(error))
                codes[row] = EXCEPTION


def _unclocked(batches: Iterator[list[str]], clock: RowClock) -> Iterator[list[str]]:
    """Yield the same batches; the time it takes to decode one is not the next row's."""
    clock.paused = True
    for batch in batches:
        clock.paused = False
        yield batch
        clock.paused = True


def _judge(vote: object, row: int, job: Job, report: Report) -> int:
    """Return the code for a vote that is not plainly a class: numpy's integers count, True and 1.0 do not."""
    try:
        if isinstance(vote, bool):
            raise TypeError
        number = operator.index(vote)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001
        report.note("bad_type", row, lambda: f"the vote is a {type(vote).__name__}; an integer is needed")
        return BAD_TYPE
    if -1 <= number < job.n_classes:
        return int(number)
    shown = str(number) if abs(number) < 10**9 else "huge"
    report.note("out_of_range", row, lambda: f"the vote is {shown}; -1..{job.n_classes - 1} is allowed")
    return OUT_OF_RANGE


def _explain(error: BaseException, text: str = "") -> Callable[[], str]:
    """Return what says what went wrong, and in which line of the program."""

    def explain() -> str:
        line, traceback = None, error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == f"<{MODULE_NAME}>":
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        what = text or f"{type(error).__name__}: {error}"
        return what if line is None else f"line {line}: {what}"

    return explain


if __name__ == "__main__":
    main()
