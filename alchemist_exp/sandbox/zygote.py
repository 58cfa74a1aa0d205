"""The process that workers are forked from: started, asked and ended here.

It loads modules once and runs no program, so what it answers can be trusted; it is checked all the same.
"""

import json
import marshal
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Final, Protocol, Self

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.sandbox import worker

START_S: Final = 120.0
"""Seconds of wall time that loading modules may take: generous, for a cluster's slow shared disk."""

POLL_S: Final = 0.1
_END_S: Final = 2.0

# No key, no path, no home. One thread per worker: the work is shared out by whole programs.
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

# What runs there is the code this process has, so that no file of the package need be found, read or compiled.
_RUN_CODE: Final = "import marshal, sys; exec(marshal.load(sys.stdin.buffer))"


class RunCancelledError(Exception):
    """The run is over for another reason."""


@cache
def worker_code() -> bytes:
    """Return the compiled `worker`, marshalled for the same interpreter."""
    loader: Any = worker.__spec__.loader
    return marshal.dumps(loader.get_code(worker.__spec__.name))


class Launcher(Protocol):
    """Makes the command that starts a zygote inside further walls; None in its place for none."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], readable: Sequence[str]) -> list[str]:
        """Return `command` wrapped so that it sees `environment` and can read the paths in `readable`."""


@dataclass(frozen=True, kw_only=True)
class IsolationPolicy:
    """What the kernel denies a worker.

    confined: whether the system call filter must hold it.
    launcher: what puts the zygote into namespaces of its own, if something must.
    """

    confined: bool
    launcher: Launcher | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a worker ended: its exit status, minus the signal's number if one ended it, and its CPU seconds."""

    returncode: int
    cpu_seconds: float


class Zygote:
    """One zygote, from its start to its end, as a context manager; its workers end with it at the latest.

    The thread that starts it must outlive it: the kernel ends a process together with the thread that started it.
    Threads may share it; each request is answered before the next is sent.
    """

    def __init__(
        self, setup: worker.Setup, rows_fd: int, launcher: Launcher | None, cancelled: threading.Event
    ) -> None:
        self._setup = setup
        self._rows_fd = rows_fd
        self._launcher = launcher
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._ready = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except OSError as error:
            self._stack.close()
            raise SandboxError(
                f"A sandbox worker cannot be started ({error}); try fewer sandbox.workers or free some memory."
            ) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def control_fd(self) -> int:
        """The number every worker gives its control socket."""
        return self._control_fd

    def fork(self, job: worker.Job, votes_fd: int, control_fd: int) -> tuple[int, int | None]:
        """Return the number of a new worker in the zygote's eyes, and its process descriptor where there are such.

        The descriptor is the caller's to close. Raises SandboxError when there is no new worker.
        """
        request = worker.FORK + json.dumps(job._asdict()).encode()
        answer, fds = self._ask(request, [votes_fd, control_fd])
        try:
            number = parse_forked(answer)
        except ValueError as error:
            for fd in fds:
                os.close(fd)
            raise self.refusal(str(error)) from None
        return number, (fds[0] if fds else None)

    def ended(self, number: int) -> Ended | None:
        """Return how the worker `number` ended; None while it lives. It is gone once that has been told."""
        answer, _ = self._ask(worker.WAIT + str(number).encode(), [])
        try:
            return parse_ended(answer)
        except ValueError as error:
            raise self.refusal(str(error)) from None

    def refusal(self, reason: str) -> SandboxError:
        """Return the error that says why no program is run."""
        # Only the interpreter's own start can write to stderr: a worker closes it before it takes a program.
        said = os.pread(self._stderr, 4096, 0).decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = sanitize(reason or said or "it ended without a word")
        return SandboxError(
            f"A sandbox worker did not get ready, so its program was not run: {reason}. Check sandbox.extra_modules, "
            "sandbox.memory_mb, that the kernel allows seccomp filters, and that /proc shows one's own processes."
        )

    def _ask(self, request: bytes, fds: list[int]) -> tuple[bytes, list[int]]:
        with self._lock:
            try:
                if not self._ready:
                    self._await_ready()
                if fds:
                    socket.send_fds(self._requests, [request], fds)
                else:
                    self._requests.sendall(request)
                return self._receive()
            except OSError:
                raise self.refusal("") from None

    def _await_ready(self) -> None:
        answer, _ = self._receive()
        if answer != worker.READY:
            words = answer.removeprefix(worker.REFUSED).decode("utf-8", "replace")
            raise self.refusal(words if answer.startswith(worker.REFUSED) else "")
        self._ready = True

    def _receive(self) -> tuple[bytes, list[int]]:
        deadline = time.monotonic() + START_S
        while True:
            if self._cancelled.is_set() and not self._ready:
                raise RunCancelledError
            try:
                answer, fds, _, _ = socket.recv_fds(self._requests, 4096, 1, socket.MSG_CMSG_CLOEXEC)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self.refusal(f"no answer came for {START_S:g} s") from None
            else:
                return answer, fds

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(POLL_S)
        self._stack.enter_context(self._requests)
        self._control_fd = theirs.fileno()
        self._stderr = os.memfd_create("worker-stderr", os.MFD_CLOEXEC)
        self._stack.callback(os.close, self._stderr)
        environment = dict(_ENVIRONMENT)
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter from a cluster's module system may need it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        command = [sys.executable, "-P", "-s", "-S", "-B", "-c", _RUN_CODE, str(self._control_fd)]
        if self._launcher is not None:
            command = self._launcher(command, environment, self._setup.module_path)
        with theirs, os.fdopen(os.memfd_create("worker-code", os.MFD_CLOEXEC), "w+b") as code:
            code.write(worker_code())
            code.seek(0)
            self._process = subprocess.Popen(
                command,
                stdin=code,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                cwd="/",
                env=environment,
                pass_fds=[self._control_fd],
                start_new_session=True,
            )
        self._stack.callback(self._end)
        with suppress(BrokenPipeError):  # dead already: the first request says why
            socket.send_fds(
                self._requests, [worker.SETUP + json.dumps(self._setup._asdict()).encode()], [self._rows_fd]
            )

    def _end(self) -> None:
        """Hang up, and see it end: by itself if it is idle, so that its CPU time is counted, else by force."""
        with suppress(OSError):
            self._requests.shutdown(socket.SHUT_RDWR)
        try:
            # Even if it is still starting: bubblewrap, killed before it is set up, leaves a process behind.
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def parse_forked(answer: bytes) -> int:
    """Return the new worker's number. Raises ValueError, with a sentence, for every other answer."""
    kind, number = _unpack(worker.FORKED, answer)
    if kind == worker.REFUSED:
        raise ValueError(f"it could not be forked: {os.strerror(int(number))}")
    if kind != worker.FORK or number < 1:
        raise ValueError("the answer to a request for a worker makes no sense")
    return int(number)


def parse_ended(answer: bytes) -> Ended | None:
    """Return how a worker ended; None if it lives. Raises ValueError, with a sentence, for every other answer."""
    kind, status, cpu_seconds = _unpack(worker.ENDED, answer)
    if kind == b"-":
        return None
    if kind != worker.WAIT or not 0 <= cpu_seconds < float("inf"):
        raise ValueError("the answer to how a worker ended makes no sense")
    return Ended(returncode=os.waitstatus_to_exitcode(int(status)), cpu_seconds=float(cpu_seconds))


def _unpack(form: struct.Struct, answer: bytes) -> tuple[Any, ...]:
    if len(answer) != form.size:
        raise ValueError("" if not answer else f"an answer has {len(answer)} bytes; {form.size} are needed")
    return form.unpack(answer)
