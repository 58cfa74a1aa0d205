"""The zygote: imports modules and rows once, then forks a worker for each request of the parent.

The zygote never runs a program and never receives one. Each worker is a fork with a separate control socket and votes
area. It locks itself down, reports READY, receives its program and runs it. The parent trusts a worker until READY, and
nothing that the worker writes or does afterwards.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from alchemist_exp.sandbox.worker.lock_down import end_with_parent, lock_down
from alchemist_exp.sandbox.worker.program import SilentStream, run_program
from alchemist_exp.sandbox.worker.protocol import (
    FORK,
    FORK_RESPONSE,
    MESSAGE_BYTES,
    READY,
    REFUSED,
    RUNNING,
    SETUP,
    WAIT,
    WAIT_RESPONSE,
    WorkerJob,
    ZygoteSetup,
    area_bytes,
)
from alchemist_exp.sandbox.worker.rows import DecodedTexts, WorkerRows, open_rows

# A worker cannot open files after its lock-down, so the zygote imports what these modules import lazily.
_LAZY_IMPORTS: Final[Mapping[str, Sequence[str]]] = {
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


def main() -> NoReturn:
    """Set up, report READY, then answer requests until the parent closes the socket.

    The command line holds the descriptor of the request socket, which receives one SETUP message first.
    """
    gc.disable()  # the modules loaded here are never freed
    # Ignored and blocked signals are inherited from the parent: without SIGCHLD the exit status of a worker is lost,
    # and a blocked SIGPROF stops a worker's timer.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc = ctypes.CDLL(None, use_errno=True)
    # Before the imports below, so that no zygote is left when the parent ends during them.
    end_with_parent(libc)
    requests = socket.socket(fileno=int(sys.argv[1]))
    message, fds = _receive(requests, SETUP)
    try:
        setup = ZygoteSetup(**json.loads(message))
        if setup.parent_pid not in (0, os.getppid()):
            os._exit(1)  # the parent ended before `end_with_parent`
        sys.path += setup.module_path
        for name in (*_ALWAYS_IMPORTED, *setup.allowed_modules, *setup.extra_modules):
            for module in (name, *_LAZY_IMPORTS.get(name, ())):
                importlib.import_module(module)
        rows = open_rows(setup, fds[0])
        os.close(fds[0])
    except BaseException as error:  # noqa: BLE001
        requests.sendall(_refusal(error))
        os._exit(1)
    # Hide all objects made so far from the garbage collector: a collection in a worker would write to their headers,
    # and so copy the memory pages that all workers share.
    gc.freeze()
    gc.enable()
    requests.sendall(READY)
    while True:
        _serve(libc, requests, setup, rows)


def _serve(libc: ctypes.CDLL, requests: socket.socket, setup: ZygoteSetup, rows: WorkerRows) -> None:
    """Answer one request. Nothing of it may remain in this process, because each later worker would inherit it."""
    message, fds = _receive(requests, FORK + WAIT)
    if not fds:  # WAIT
        pid, status, usage = os.wait4(int(message), os.WNOHANG)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        response = WAIT_RESPONSE.pack(WAIT, status, cpu_seconds) if pid else WAIT_RESPONSE.pack(RUNNING, 0, 0.0)
        requests.sendall(response)
        return
    zygote_pid = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        requests.sendall(FORK_RESPONSE.pack(REFUSED, error.errno or 0))
        pid = -1
    if pid == 0:
        _run_worker(libc, zygote_pid, requests.detach(), setup, message, fds, rows)
    for fd in fds:
        os.close(fd)
    if pid > 0:
        pidfds = []
        with contextlib.suppress(OSError):  # Linux before 5.3 has no process descriptors
            pidfds = [os.pidfd_open(pid)]
        socket.send_fds(requests, [FORK_RESPONSE.pack(FORK, pid)], pidfds)
        for fd in pidfds:
            os.close(fd)


def _run_worker(
    libc: ctypes.CDLL,
    zygote_pid: int,
    control_fd: int,
    setup: ZygoteSetup,
    message: bytes,
    fds: list[int],
    rows: WorkerRows,
) -> NoReturn:
    """Be a worker: lock down, report READY, receive the program, run it, exit.

    control_fd: descriptor of the zygote's socket. The worker's control socket replaces it under the same number: the
        system call filter knows that number, and the worker must not hold the zygote's socket.
    """
    try:
        votes_fd, worker_control_fd = fds
        os.dup2(worker_control_fd, control_fd)
        try:
            end_with_parent(libc)
            if os.getppid() != zygote_pid:
                os._exit(1)
            os.setsid()
            job = WorkerJob(**json.loads(message))
            votes = mmap.mmap(votes_fd, area_bytes(job.rows, trace=job.trace, multi_label=job.multi_label))
            sys.stdin = None
            sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = SilentStream()  # type: ignore[misc, assignment]
            lock_down(libc, job, control_fd)
        except BaseException as error:  # noqa: BLE001
            os.write(control_fd, _refusal(error))
            os._exit(1)
        # The same random numbers for every program. Here and not in the zygote: `random` seeds itself after a fork.
        for name in ("random", "numpy.random"):
            if name in sys.modules:
                sys.modules[name].seed(0)
        os.write(control_fd, READY)
        if isinstance(rows, DecodedTexts):
            rows.copy_pages(libc)
        source = _receive_exactly(control_fd, struct.unpack("<I", _receive_exactly(control_fd, 4))[0])
        os.close(control_fd)
        run_program(setup, job, source, rows, votes)
        os._exit(0)
    finally:
        os._exit(1)  # after an error in the lines above, this process must not continue as a second zygote


def _refusal(error: BaseException) -> bytes:
    return REFUSED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:2000]


def _receive(requests: socket.socket, kinds: bytes) -> tuple[bytes, list[int]]:
    """Return the next message without its first byte, and the descriptors that came with it."""
    message, fds, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
    if not message or message[0] not in kinds:
        os._exit(0)  # the parent has closed the socket
    return message[1:], fds


def _receive_exactly(control_fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(control_fd, size - len(data))  # the filter allows read, but not recv
        if not part:
            os._exit(1)  # the parent has refused this worker, or has ended
        data += part
    return bytes(data)
