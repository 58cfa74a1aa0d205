"""The processes labeling programs run in: a zygote that loads modules once, and the workers it forks.

Started by `zygote` as code of its own with the number of a socket; needs the standard library alone. It never runs a
program and never sees one: each worker is a fork of it that has a control socket and a votes area of its own, locks
itself down, then asks for the program, then votes row by row. A worker is trusted until it reports READY. The parent
believes nothing that comes after: votes and messages are bytes in shared memory, checked over there. A vote is in that
memory the moment it is made, so a worker that is killed loses one row.

One long file, because a script that may import nothing of its package cannot be cut in two.
"""

import bisect
import contextlib
import ctypes
import gc
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
from typing import Any, Final, Generic, NamedTuple, NoReturn, Protocol, TypeVar

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

# First byte of what zygote and worker say once they are set up; REFUSED is followed by the reason.
READY: Final = b"R"
REFUSED: Final = b"E"

# First byte of what the parent asks the zygote for: a Setup, a worker (a Job follows), how a worker ended (its number
# follows). Each is one message, and so is each answer.
SETUP: Final = b"S"
FORK: Final = b"F"
WAIT: Final = b"W"
MESSAGE_BYTES: Final = 1 << 17

# What the zygote answers. FORKED brings the worker's process descriptor along where the kernel has such.
FORKED: Final = struct.Struct("<ci")
"""b"F" and the worker's number as the zygote knows it; b"E" and an errno."""
ENDED: Final = struct.Struct("<cid")
"""b"W", the wait status and CPU seconds; b"-" and zeros while it lives."""

# What a row of the shared memory is, and what a program is given for it.
TEXTS: Final = "texts"
"""UTF-8, lone surrogates pass, then TEXT_END: str."""
TEXT_END: Final = "\0"
SCORES: Final = "scores"
"""float64: list[float]."""
IMAGES: Final = "images"
"""int32 height and width, then uint8 RGB: a numpy array (height, width, 3) of the row's own."""

MODULE_NAME: Final = "label_program"
FUNCTION_NAME: Final = "label_function"

_TICKS_PER_LIMIT = 4
_BATCH_ROWS = 256
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
IMPORTED_BY_INTERPRETER: Final = ("__future__", "_strptime", "copyreg", "encodings", "warnings")

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_MADV_POPULATE_WRITE = 23
_CAPABILITY_VERSION_3 = 0x20080522
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _LANDLOCK_CREATE_RULESET_VERSION = 444, 446, 1


class Setup(NamedTuple):
    """What every worker of a zygote has in common; JSON."""

    parent_pid: int
    """0 inside a process namespace, where the parent has no number."""
    kind: str
    """TEXTS, SCORES or IMAGES."""
    rows: int
    offsets_at: int
    """Where the shared memory keeps the rows' int64 offsets."""
    allowed_modules: list[str]
    extra_modules: list[str]
    module_path: list[str]


class Job(NamedTuple):
    """What the parent wants of one worker; JSON. Votes are for the rows first .. first + rows - 1."""

    first: int
    rows: int
    reverse: bool
    """Rows are given in reverse order, and votes kept in that order."""
    row_offset: int
    """Added to the vote's index to name its row in a message."""
    n_classes: int
    call_cpu_s: float
    init_cpu_s: float
    total_cpu_s: int
    timeouts_left: int
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


Row = TypeVar("Row")


class Rows(Protocol):
    """The rows a worker labels."""

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[Any]]:
        """Yield the rows first .. end - 1 in order, in lists that are the caller's."""


class EncodedRows(Generic[Row]):
    """The rows in shared memory: their bytes, then int64 offsets. They are sealed: nobody can write them.

    Each worker decodes them anew, batch by batch, since a program may change what it is given.
    """

    def __init__(self, fd: int, n_rows: int, offsets_at: int, decode: "Decode[Row]") -> None:
        # Private: before Linux 6.7 a shared mapping counts as writable, and a sealed file refuses it.
        self._memory = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        self._offsets = memoryview(self._memory)[offsets_at : offsets_at + 8 * (n_rows + 1)].cast("q")
        self._decode = decode

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[Row]]:
        """See `Rows.batches`. The lists are so small that decoding one takes a millisecond."""
        while first < end:
            if reverse:
                least = self._offsets[end] - _BATCH_BYTES
                start = min(bisect.bisect_left(self._offsets, least, max(first, end - _BATCH_ROWS), end), end - 1)
                yield self._read(start, end)[::-1]
                end = start
            else:
                most = self._offsets[first] + _BATCH_BYTES
                stop = bisect.bisect_right(self._offsets, most, first + 1, min(end, first + _BATCH_ROWS) + 1) - 1
                stop = max(stop, first + 1)
                yield self._read(first, stop)
                first = stop

    def _read(self, first: int, end: int) -> list[Row]:
        bounds = self._offsets[first : end + 1]
        return self._decode(self._memory[bounds[0] : bounds[-1]], bounds)


Decode = Callable[[bytes, Sequence[int]], list[Row]]
"""Makes rows that follow each other out of their bytes and their bounds, n + 1 for n rows, not counted from 0."""


class DecodedTexts:
    """Texts that the zygote decodes once for all its workers: nobody can change a str.

    A worker that merely looks at one counts a reference to it, and so must have the memory page it lies in to itself.
    """

    def __init__(self, encoded: EncodedRows[str], n_rows: int) -> None:
        self._texts = list(itertools.chain.from_iterable(encoded.batches(0, n_rows)))
        page_bytes = mmap.PAGESIZE
        self._ranges = list(_adjacent(sorted({address // page_bytes for address in map(id, self._texts)})))

    def batches(self, first: int, end: int, reverse: bool = False) -> Iterator[list[str]]:
        """See `Rows.batches`."""
        texts = self._texts[first:end]
        yield texts[::-1] if reverse else texts

    def take_pages(self, libc: ctypes.CDLL) -> None:
        """Copy the pages at once, which costs less than when each is met on the way; Linux before 5.14 cannot."""
        for first, end in self._ranges:
            start, size = ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t((end - first) * mmap.PAGESIZE)
            if libc.madvise(start, size, ctypes.c_int(_MADV_POPULATE_WRITE)) != 0:
                return


def _adjacent(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the (first, end) of every run of adjacent numbers; `numbers` are sorted."""
    gaps = [at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1]
    for first, end in itertools.pairwise((0, *gaps, len(numbers))):
        if end:
            yield numbers[first], numbers[end - 1] + 1


def _decode_texts(data: bytes, bounds: Sequence[int]) -> list[str]:
    texts = data.decode("utf-8", "surrogatepass").split(TEXT_END)
    texts.pop()
    if len(texts) == len(bounds) - 1:
        return texts
    # The mark is part of a text, so that every text must be found by its bounds.
    return [data[start : end - 1].decode("utf-8", "surrogatepass") for start, end in _spans(bounds)]


def _decode_scores(data: bytes, bounds: Sequence[int]) -> list[list[float]]:
    return [list(struct.unpack_from(f"={(end - start) // 8}d", data, start)) for start, end in _spans(bounds)]


def _decode_images(data: bytes, bounds: Sequence[int]) -> list[Any]:
    return [_decode_image(data, start, end) for start, end in _spans(bounds)]


def _decode_image(data: bytes, start: int, end: int) -> Any:
    # A copy of its own, so that a program may paint on it and no later row is changed.
    numpy = sys.modules["numpy"]
    height, width = struct.unpack_from("<ii", data, start)
    return numpy.frombuffer(bytearray(memoryview(data)[start + 8 : end]), dtype="uint8").reshape(height, width, 3)


def _spans(bounds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where each row begins and ends in the bytes of them all."""
    return ((start - bounds[0], end - bounds[0]) for start, end in itertools.pairwise(bounds))


_DECODE: Final[Mapping[str, Decode[Any]]] = {
    TEXTS: _decode_texts,
    SCORES: _decode_scores,
    IMAGES: _decode_images,
}


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

    A repeating timer of the process's CPU time, user and system, looks whether votes have been added: rows cost
    nothing. A row is interrupted after 1 to 1.25 times the limit. Time spent waiting, or in C code that ignores
    signals, is the parent's.
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
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, limit_s / _TICKS_PER_LIMIT, limit_s / _TICKS_PER_LIMIT)

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
    """Set up, say so, then fork a worker whenever the parent asks for one, until it hangs up."""
    gc.disable()  # nothing that is loaded here is ever thrown away
    # What the parent ignores or holds back is inherited: workers' ends must be told, and their clocks must tick.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc = ctypes.CDLL(None, use_errno=True)
    # At once, so that a parent that dies during the imports below leaves nothing behind.
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
    requests = socket.socket(fileno=int(sys.argv[1]))
    message, fds = _receive(requests, SETUP)
    try:
        setup = Setup(**json.loads(message))
        if setup.parent_pid not in (0, os.getppid()):
            os._exit(1)
        _import_modules(setup)
        rows = _open_rows(setup, fds[0])
        os.close(fds[0])
    except BaseException as error:  # noqa: BLE001
        requests.sendall(_refusal(error))
        os._exit(1)
    # Out of the collector's sight, so that a worker's collection does not copy the pages of all that is shared.
    gc.freeze()
    gc.enable()
    requests.sendall(READY)
    while True:
        _serve(libc, requests, setup, rows)


def _open_rows(setup: Setup, fd: int) -> Rows:
    encoded = EncodedRows(fd, setup.rows, setup.offsets_at, _DECODE[setup.kind])
    return DecodedTexts(encoded, setup.rows) if setup.kind == TEXTS else encoded


def _serve(libc: ctypes.CDLL, requests: socket.socket, setup: Setup, rows: Rows) -> None:
    """Answer one request. What it leaves in this process is what every later worker inherits: nothing."""
    message, fds = _receive(requests, FORK + WAIT)
    if not fds:
        number, status, usage = os.wait4(int(message), os.WNOHANG)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        requests.sendall(ENDED.pack(WAIT, status, cpu_seconds) if number else ENDED.pack(b"-", 0, 0.0))
        return
    zygote = os.getpid()
    try:
        number = os.fork()
    except OSError as error:
        requests.sendall(FORKED.pack(REFUSED, error.errno or 0))
        number = -1
    if number == 0:
        _work(libc, zygote, requests.detach(), setup, message, fds, rows)
    for fd in fds:
        os.close(fd)
    if number > 0:
        pidfds = []
        with contextlib.suppress(OSError):  # Linux before 5.3 has none
            pidfds = [os.pidfd_open(number)]
        socket.send_fds(requests, [FORKED.pack(FORK, number)], pidfds)
        for fd in pidfds:
            os.close(fd)


def _work(
    libc: ctypes.CDLL, zygote: int, control_fd: int, setup: Setup, message: bytes, fds: list[int], rows: Rows
) -> NoReturn:
    """Be a worker: lock down, say so, receive the program, run it, end. Takes `control_fd` from the zygote's socket."""
    try:
        votes_fd, own_control_fd = fds
        os.dup2(own_control_fd, control_fd)  # which closes the zygote's socket here
        try:
            _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != zygote:
                os._exit(1)
            os.setsid()
            job = Job(**json.loads(message))
            votes = mmap.mmap(votes_fd, job.rows + REPORT_BYTES)
            sys.stdin = None
            sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = SilentStream()  # type: ignore[misc, assignment]
            lock_down(libc, job, control_fd)
        except BaseException as error:  # noqa: BLE001
            os.write(control_fd, _refusal(error))
            os._exit(1)
        _seed()
        os.write(control_fd, READY)
        if isinstance(rows, DecodedTexts):
            rows.take_pages(libc)
        source = _receive_exactly(control_fd, struct.unpack("<I", _receive_exactly(control_fd, 4))[0])
        os.close(control_fd)
        _run(setup, job, source, rows, votes)
        os._exit(0)
    finally:
        os._exit(1)  # a fault in the lines above must not go on as a second zygote


def _refusal(error: BaseException) -> bytes:
    return REFUSED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:2000]


def lock_down(libc: ctypes.CDLL, job: Job, control_fd: int) -> None:
    """Give up, for good, everything but memory, time and the control descriptor. Raises OSError when a wall fails.

    The order matters: each step needs something that the next takes away.
    """
    for name in ("RLIMIT_FSIZE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NPROC"):
        _set_limit(getattr(resource, name), 0)
    # 1, not 0: a core dump that is piped to a program ignores 0 and is skipped at 1.
    _set_limit(resource.RLIMIT_CORE, 1)
    _set_limit(resource.RLIMIT_CPU, job.total_cpu_s)
    _drop_capabilities(libc)
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


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give up root's powers, should there be any: some (madvise on shared pages) lie behind calls that are allowed."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    if libc.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


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


def _receive(requests: socket.socket, kinds: bytes) -> tuple[bytes, list[int]]:
    """Return the next message without its first byte, and the descriptors that came with it."""
    message, fds, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
    if not message or message[0] not in kinds:
        os._exit(0)  # the parent has hung up
    return message[1:], fds


def _receive_exactly(control_fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(control_fd, size - len(data))  # recv is another system call, and not allowed
        if not part:
            os._exit(1)  # the parent has refused us, or is gone
        data += part
    return bytes(data)


def _import_modules(setup: Setup) -> None:
    sys.path += setup.module_path
    for name in (*_ALWAYS_IMPORTED, *setup.allowed_modules, *setup.extra_modules):
        importlib.import_module(name)
        for late in _LATE_IMPORTS.get(name, ()):
            importlib.import_module(late)


def _seed() -> None:
    """Give every program the same random numbers. In the worker: `random` seeds itself anew after a fork."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed(0)


def _run(setup: Setup, job: Job, source: bytes, rows: Rows, votes: mmap.mmap) -> None:
    report = Report(memoryview(votes)[job.rows :], job.row_offset)
    clock = RowClock(votes, job.rows)
    clock.start(job.init_cpu_s)
    try:
        label = _load(source, (*setup.allowed_modules, *setup.extra_modules, *IMPORTED_BY_INTERPRETER))
    except RowTimeoutError as error:
        report.note(LOAD_MESSAGE, None, _explain(error, f"loading took more than {job.init_cpu_s:g} s of CPU time"))
        return
    except BaseException as error:  # noqa: BLE001
        report.note(LOAD_MESSAGE, None, _explain(error))
        return
    report.loaded()
    clock.start(job.call_cpu_s)
    _label_rows(job, label, rows, votes, report, clock)


def _load(source: bytes, importable: Sequence[str]) -> Callable[[Any], object]:
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
    job: Job, label: Callable[[Any], object], rows: Rows, votes: mmap.mmap, report: Report, clock: RowClock
) -> None:
    """Vote row by row. The innermost loop is the whole cost per row: about 0.2 microseconds and the decoding."""
    codes = memoryview(votes)[: job.rows].cast("b")
    highest = job.n_classes - 1
    timeouts_left = job.timeouts_left
    row = first = 0
    for batch in _unclocked(rows.batches(job.first, job.first + job.rows, job.reverse), clock):
        numbered = enumerate(batch, first)
        first += len(batch)
        finished = False
        while not finished:
            try:
                for row, value in numbered:  # an iterator: after a row that raised it goes on with the next
                    vote = label(value)
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


def _unclocked(batches: Iterator[list[Any]], clock: RowClock) -> Iterator[list[Any]]:
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
