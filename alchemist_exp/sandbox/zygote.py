"""The parent's side of a zygote, the process that workers are forked from: start it, send it requests, end it.

A zygote loads modules once and runs no program, so the parent trusts its responses; it checks their form nevertheless.
"""

import importlib.util
import json
import marshal
import os
import socket
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
from alchemist_exp.sandbox.shared_memory import create_memory_file
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.zygote_responses import WorkerExit, parse_fork_response, parse_wait_response

START_TIMEOUT_S: Final = 120.0
"""Seconds of wall time that loading modules may take: generous, for the slow shared disk of a cluster."""

POLL_INTERVAL_S: Final = 0.1
_END_TIMEOUT_S: Final = 2.0

# No API key, no path, no home directory. One thread per worker, because whole programs are run in parallel.
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

# In the order of their imports: each module finds those before it in `sys.modules`.
_WORKER_MODULES: Final = (
    "protocol",
    "rows",
    "lock_down",
    "report_writer",
    "label_sets",
    "line_trace",
    "program",
    "main",
)

# The new interpreter receives compiled code on standard input, so it need not find, read or compile a file of this
# package (bubblewrap does not show it the package at all).
_BOOTSTRAP: Final = """
import marshal, sys, types
for name, code in marshal.load(sys.stdin.buffer):
    module = sys.modules[name] = types.ModuleType(name)
    exec(code, module.__dict__)
module.main()
"""


class RunCancelledError(Exception):
    """The run has been cancelled for another reason."""


@cache
def worker_code() -> bytes:
    """Return the names and compiled code of the modules in `worker`, marshalled for the same interpreter."""
    codes = []
    for name in (f"{worker.__name__}.{module}" for module in _WORKER_MODULES):
        spec: Any = importlib.util.find_spec(name)
        codes.append((name, spec.loader.get_code(name)))
    return marshal.dumps(codes)


class Launcher(Protocol):
    """Makes the command that starts a zygote in separate namespaces."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], readable: Sequence[str]) -> list[str]:
        """Return the wrapped command.

        Args:
            command: The interpreter and its arguments.
            environment: The environment variables it sees.
            readable: Paths it can read, in addition to the interpreter and the system libraries.

        Returns:
            The command line.
        """


@dataclass(frozen=True, kw_only=True)
class IsolationPolicy:
    """What the kernel denies a worker.

    Attributes:
        confined: Whether each worker must run under the system call filter.
        launcher: Starts the zygote in separate namespaces; None for the parent's namespaces.
    """

    confined: bool
    launcher: Launcher | None = None


class Zygote:
    """One zygote, from its start to its end, as a context manager. Its workers end with it at the latest.

    The thread that starts it must outlive it: the kernel ends a process when the thread that started it ends. Several
    threads may share it; a lock completes each request before the next one is sent.

    Args:
        setup: What all its workers have in common.
        rows_fd: Descriptor of the shared rows.
        launcher: Starts it in separate namespaces, if not None.
        cancelled: Set when the run is cancelled; ends the wait for the zygote's start.
    """

    def __init__(
        self, setup: protocol.ZygoteSetup, rows_fd: int, launcher: Launcher | None, cancelled: threading.Event
    ) -> None:
        """Create the object; `__enter__` starts the process."""
        self._setup = setup
        self._rows_fd = rows_fd
        self._launcher = launcher
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._ready = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the process, without waiting until its modules are loaded: the first request waits for that."""
        try:
            self._start()
        except OSError as error:
            self._stack.close()
            raise SandboxError(
                f"A sandbox worker cannot be started ({error}); reduce sandbox.workers or free some memory."
            ) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and all its workers."""
        self._stack.close()

    @property
    def control_fd(self) -> int:
        """The descriptor number that the control socket has in each worker."""
        return self._control_fd

    def fork(self, job: protocol.WorkerJob, votes_fd: int, control_fd: int) -> tuple[int, int | None]:
        """Fork a new worker.

        Args:
            job: What the worker does.
            votes_fd: Descriptor of its votes area.
            control_fd: Descriptor of the worker's end of its control socket.

        Returns:
            The worker's process ID in the zygote's PID namespace, and its process descriptor, which the caller must
            close; None on Linux before 5.3.

        Raises:
            SandboxError: No worker was forked.
        """
        request = protocol.FORK + json.dumps(job._asdict()).encode()
        response, fds = self._request(request, [votes_fd, control_fd])
        try:
            pid = parse_fork_response(response)
        except ValueError as error:
            for fd in fds:
                os.close(fd)
            raise self.start_error(str(error)) from None
        return pid, (fds[0] if fds else None)

    def poll_exit(self, pid: int) -> WorkerExit | None:
        """Return how a worker ended, or None while it runs. The zygote forgets the worker once it has answered.

        Args:
            pid: Process ID that `fork` returned.

        Returns:
            Exit status and CPU seconds, or None.

        Raises:
            SandboxError: The zygote does not answer, or its response is malformed.
        """
        response, _ = self._request(protocol.WAIT + str(pid).encode(), [])
        try:
            return parse_wait_response(response)
        except ValueError as error:
            raise self.start_error(str(error)) from None

    def start_error(self, reason: str) -> SandboxError:
        """Return the error that says why no program is run.

        Args:
            reason: The reason; if empty, the last line that the interpreter has written to stderr.

        Returns:
            The error, to be raised by the caller.
        """
        # Only the start of the interpreter can write to stderr: a worker closes it before it receives a program.
        last_line = os.pread(self._stderr, 4096, 0).decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = sanitize(reason or last_line or "it ended without a message")
        return SandboxError(
            f"A sandbox worker did not get ready, so its program was not run: {reason}. Check sandbox.extra_modules "
            "and sandbox.memory_mb, that the kernel allows seccomp filters, and that /proc shows your own processes."
        )

    def _request(self, request: bytes, fds: list[int]) -> tuple[bytes, list[int]]:
        # The lock covers the response too: responses name no request, so another thread could take this one's.
        with self._lock:
            try:
                # READY is awaited here, not in `__enter__`: meanwhile the caller prepares the next chunk.
                if not self._ready:
                    response, _ = self._receive()
                    if response != protocol.READY:
                        refused = response.startswith(protocol.REFUSED)
                        reason = response[1:].decode("utf-8", "replace") if refused else ""
                        raise self.start_error(reason)
                    self._ready = True
                if fds:
                    socket.send_fds(self._requests, [request], fds)
                else:
                    self._requests.sendall(request)
                return self._receive()
            except OSError:
                raise self.start_error("") from None

    def _receive(self) -> tuple[bytes, list[int]]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self._cancelled.is_set() and not self._ready:
                raise RunCancelledError
            try:
                response, fds, _, _ = socket.recv_fds(self._requests, 4096, 1, socket.MSG_CMSG_CLOEXEC)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self.start_error(f"it did not answer for {START_TIMEOUT_S:g} s") from None
            else:
                return response, fds

    def _start(self) -> None:
        # SEQPACKET keeps the bounds of messages, so that each receive returns one whole message.
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(POLL_INTERVAL_S)
        self._stack.enter_context(self._requests)
        self._control_fd = theirs.fileno()
        self._stderr = create_memory_file("worker-stderr")
        self._stack.callback(os.close, self._stderr)
        environment = dict(_ENVIRONMENT)
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter from a cluster's module system may need it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        # -P, -s, -S: no script directory, no user and no site packages on sys.path. -B: write no bytecode. Not -I,
        # which would ignore PYTHONHASHSEED.
        command = [sys.executable, "-P", "-s", "-S", "-B", "-c", _BOOTSTRAP, str(self._control_fd)]
        if self._launcher is not None:
            command = self._launcher(command, environment, self._setup.module_path)
        with theirs, os.fdopen(create_memory_file("worker-code"), "w+b") as code:
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
        with suppress(BrokenPipeError):  # it has ended already: the first request reports why
            socket.send_fds(
                self._requests, [protocol.SETUP + json.dumps(self._setup._asdict()).encode()], [self._rows_fd]
            )

    def _end(self) -> None:
        """Close the connection and wait for the process. An idle one exits by itself, others are killed."""
        with suppress(OSError):
            self._requests.shutdown(socket.SHUT_RDWR)
        try:
            # Also while it starts: bubblewrap leaves a process behind when it is killed before it is set up.
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
