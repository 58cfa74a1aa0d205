"""Forks, watches and ends one worker. No process of a worker outlives its `WorkerProcess`."""

import os
import resource
import select
import signal
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final, Self

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox.verify_isolation import is_zombie, isolation_failure, mapped_bytes, pid_of_pidfd
from alchemist_exp.sandbox.worker import protocol
from alchemist_exp.sandbox.zygote import POLL_INTERVAL_S, START_TIMEOUT_S, RunCancelledError, Zygote
from alchemist_exp.sandbox.zygote_responses import WorkerExit

_END_TIMEOUT_S: Final = 30.0


class WorkerProcess:
    """One worker, from its start to its end, as a context manager; leaving it ends the process.

    Args:
        zygote: Forks the worker.
        cancelled: Set when the run is cancelled.
    """

    def __init__(self, zygote: Zygote, cancelled: threading.Event) -> None:
        """Create the object; `start` forks the process."""
        self._zygote = zygote
        self._cancelled = cancelled
        self._stack = ExitStack()
        self._pidfd: int | None = None
        self._exit: WorkerExit | None = None
        # Process ID in the zygote's and in this process's PID namespace; equal without bubblewrap.
        self._zygote_pid = self._pid = 0
        self._confined = False

    def __enter__(self) -> Self:
        """Return the object, still without a process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and close all descriptors."""
        self._stack.close()

    def start(
        self,
        job: protocol.WorkerJob,
        source: bytes,
        votes_fd: int,
        *,
        memory_bytes: int,
        confined: bool,
        namespaced: bool,
    ) -> None:
        """Fork the worker, verify in /proc that the kernel confines it, and only then send it the program.

        Args:
            job: What the worker does.
            source: The program in UTF-8.
            votes_fd: Descriptor of the votes area.
            memory_bytes: Address space that the program may use, in bytes.
            confined: Whether the worker must run under a system call filter.
            namespaced: Whether it must run in separate namespaces.

        Raises:
            SandboxError: The worker does not get ready or is not confined; the program has not been sent.
            RunCancelledError: The run has been cancelled.
        """
        self._confined = confined
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with control:
            # The worker has a copy of `theirs`. This one is closed, or `control` would not report the worker's end.
            with theirs:
                self._fork(job, votes_fd, theirs.fileno(), namespaced=namespaced)
            try:
                self._await_ready(control)
                if confined and (reason := isolation_failure(self._pid, namespaced=namespaced)):
                    raise self._start_error(reason)
                # On top of what is mapped already: the interpreter, its modules and the rows.
                limit = mapped_bytes(self._pid) + memory_bytes
                hard = resource.prlimit(self._pid, resource.RLIMIT_AS)[1]
                limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.prlimit(self._pid, resource.RLIMIT_AS, (limit, limit))
                control.sendall(struct.pack("<I", len(source)) + source)
            except OSError as error:
                # End it first: it waits for its program, and the read below waits for the end of its messages.
                self.end()
                raise self._start_error(_read_reason(control) or str(error)) from error

    def wait(self, seconds: float) -> bool:
        """Wait until the worker has ended.

        Args:
            seconds: Longest wait in seconds.

        Returns:
            Whether it has ended.

        Raises:
            RunCancelledError: The run has been cancelled.
        """
        if self._cancelled.is_set():
            raise RunCancelledError
        if self._pidfd is None:  # Linux before 5.3 has no process descriptors
            time.sleep(seconds)
            return is_zombie(self._pid)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def end(self) -> WorkerExit:
        """Kill the worker if it still runs, and wait for its end.

        Returns:
            How it ended.

        Raises:
            SandboxError: It does not end, or the zygote does not answer.
        """
        if self._exit is None and self._zygote_pid:
            self._kill()
            deadline = time.monotonic() + _END_TIMEOUT_S
            # Not `wait`, which raises in a cancelled run.
            while (exit_ := self._zygote.poll_exit(self._zygote_pid)) is None:
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"A sandbox worker does not end {_END_TIMEOUT_S:g} s after it was killed; check whether its "
                        "memory is swapped to a disk that does not respond."
                    )
                time.sleep(0.001)
            self._exit = exit_
        if self._exit is None:
            raise RuntimeError("no worker was forked")
        return self._exit

    def _kill(self) -> None:
        # Called only before the zygote has reported the end, so the kernel cannot have given the process ID to another
        # process. Unconfined programs may have started processes, which are in the worker's process group.
        if not self._confined:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            if self._pidfd is None:
                os.kill(self._pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _fork(self, job: protocol.WorkerJob, votes_fd: int, control_fd: int, *, namespaced: bool) -> None:
        self._zygote_pid, self._pidfd = self._zygote.fork(job, votes_fd, control_fd)
        if self._pidfd is not None:
            self._stack.callback(os.close, self._pidfd)
            self._pid = pid_of_pidfd(self._pidfd)
        elif not namespaced:
            self._pid = self._zygote_pid
        if self._pid < 1:
            raise self._zygote.start_error("the kernel does not show its process ID (sandbox=bwrap needs Linux 5.3)")
        self._stack.callback(self.end)

    def _await_ready(self, control: socket.socket) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        control.settimeout(POLL_INTERVAL_S)
        while True:
            if self._cancelled.is_set():
                raise RunCancelledError
            try:
                response = control.recv(1)
                break
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self._start_error(f"it was not ready after {START_TIMEOUT_S:g} s") from None
        control.settimeout(START_TIMEOUT_S)
        if response != protocol.READY:
            raise self._start_error(_read_reason(control) if response == protocol.REFUSED else "")

    def _start_error(self, reason: str) -> SandboxError:
        returncode = self.end().returncode
        return self._zygote.start_error(reason or f"it ended with exit status {returncode}")


def _read_reason(control: socket.socket) -> str:
    reason = b""
    with suppress(OSError):
        while len(reason) < 4096 and (part := control.recv(4096)):
            reason += part
    return reason.removeprefix(protocol.REFUSED).decode("utf-8", "replace")
