"""Forks, watches and ends one worker. Nothing of a worker outlives `WorkerProcess`."""

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
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.verify_isolation import is_zombie, mapped_bytes, process_of, unconfined_reason
from alchemist_exp.sandbox.zygote import POLL_S, START_S, Ended, RunCancelledError, Zygote

_END_S: Final = 30.0


class WorkerProcess:
    """One worker, from its start to its end, as a context manager; leaving it ends the process."""

    def __init__(self, zygote: Zygote, cancelled: threading.Event) -> None:
        self._zygote = zygote
        self._cancelled = cancelled
        self._stack = ExitStack()
        self._pidfd: int | None = None
        self._ended: Ended | None = None
        self._number = self._pid = 0
        self._confined = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def submit(
        self, job: worker.Job, source: bytes, votes_fd: int, *, memory_bytes: int, confined: bool, namespaced: bool
    ) -> None:
        """Fork, and give the program once this process has itself seen that the kernel confines the worker.

        Raises SandboxError, the program unsent, when the worker does not get ready or, if it must be, is not confined.
        """
        self._confined = confined
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with control:
            with theirs:
                self._fork(job, votes_fd, theirs.fileno(), namespaced=namespaced)
            try:
                self._await_ready(control)
                if confined and (reason := unconfined_reason(self._pid, namespaced=namespaced)):
                    raise self._refusal(reason)
                self._limit_memory(mapped_bytes(self._pid) + memory_bytes)
                control.sendall(struct.pack("<I", len(source)) + source)
            except OSError as error:
                self.end()  # or it would wait for its program while its last words are waited for
                raise self._refusal(_last_words(control) or str(error)) from error

    def wait(self, seconds: float) -> bool:
        """Whether the worker has ended, waiting at most `seconds`. Raises RunCancelledError when the run is over."""
        if self._cancelled.is_set():
            raise RunCancelledError
        if self._pidfd is None:  # Linux before 5.3: look from time to time
            time.sleep(seconds)
            return is_zombie(self._pid)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def end(self) -> Ended:
        """End the worker if it has not ended, and return how it did."""
        if self._ended is None and self._number:
            self._kill()
            deadline = time.monotonic() + _END_S
            # Not `wait`, which a cancelled run would leave.
            while not self._look():
                if time.monotonic() > deadline:
                    raise SandboxError(f"A sandbox worker cannot be ended after {_END_S:g} s; is its memory on a disk?")
                time.sleep(0.001)
        if self._ended is None:
            raise RuntimeError("no worker was forked")
        return self._ended

    def _look(self) -> bool:
        """Whether the worker has ended; if so it is gone, and how it ended is kept."""
        if self._ended is None:
            self._ended = self._zygote.ended(self._number)
        return self._ended is not None

    def _kill(self) -> None:
        # Before `_look`, so that neither number can have passed to another process.
        if not self._confined:  # what the program has started is in the worker's group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            if self._pidfd is None:
                os.kill(self._pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _fork(self, job: worker.Job, votes_fd: int, control_fd: int, *, namespaced: bool) -> None:
        self._number, self._pidfd = self._zygote.fork(job, votes_fd, control_fd)
        if self._pidfd is not None:
            self._stack.callback(os.close, self._pidfd)
            self._pid = process_of(self._pidfd)
        elif not namespaced:
            self._pid = self._number
        if self._pid < 1:
            raise self._zygote.refusal("the kernel does not tell its number (sandbox=bwrap needs Linux 5.3)")
        self._stack.callback(self.end)

    def _limit_memory(self, most: int) -> None:
        hard = resource.prlimit(self._pid, resource.RLIMIT_AS)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.prlimit(self._pid, resource.RLIMIT_AS, (most, most))

    def _await_ready(self, control: socket.socket) -> None:
        deadline = time.monotonic() + START_S
        control.settimeout(POLL_S)
        while True:
            if self._cancelled.is_set():
                raise RunCancelledError
            try:
                answer = control.recv(1)
                break
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self._refusal(f"it was not ready after {START_S:g} s") from None
        control.settimeout(START_S)
        if answer != worker.READY:
            raise self._refusal(_last_words(control) if answer == worker.REFUSED else "")

    def _refusal(self, reason: str) -> SandboxError:
        returncode = self.end().returncode
        return self._zygote.refusal(reason or f"it ended with exit status {returncode}")


def _last_words(control: socket.socket) -> str:
    words = b""
    with suppress(OSError):
        while len(words) < 4096 and (part := control.recv(4096)):
            words += part
    return words.removeprefix(worker.REFUSED).decode("utf-8", "replace")
