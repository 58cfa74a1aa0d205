"""Starts, watches and ends the process of one worker. Nothing of a worker outlives `WorkerProcess`."""

import errno
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import worker
from alchemist_exp.sandbox.report import harmless

START_S: Final = 120.0
"""Seconds of wall time a worker may take to import its modules: generous, for a cluster's slow shared disk."""

POLL_S: Final = 0.05

# No key, no path, no home. One thread per worker: the work is shared out by whole programs.
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_LOCKED = (re.compile(r"^Seccomp:\s+2$", re.M), re.compile(r"^NoNewPrivs:\s+1$", re.M))


class RunCancelledError(Exception):
    """The run is over for another reason; this worker was ended."""


class WorkerProcess:
    """One worker, from its start to its end, as a context manager; leaving it ends the process and its group.

    The thread that starts it must outlive it: the kernel ends a worker together with the thread that started it.
    """

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._stack = ExitStack()
        self._returncode: int | None = None
        self.cpu_seconds = 0.0

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
        """The worker's end of the control socket, as the worker numbers it."""
        return self._control_fd

    def submit(self, job: worker.Job, source: bytes, texts_fd: int, votes_fd: int, *, confined: bool) -> None:
        """Give the job, and the program once this process has itself seen that the kernel confines the worker.

        Raises SandboxError, the program unsent, when the worker does not get ready or, if it must be, is not confined.
        """
        try:
            description = json.dumps(job._asdict()).encode()
            socket.send_fds(self._control, [struct.pack("<I", len(description))], [texts_fd, votes_fd])
            self._control.sendall(description)
            self._await_ready()
            if confined and not self._is_confined():
                raise self._refusal("the kernel does not show it as confined")
            self._control.sendall(struct.pack("<I", len(source)) + source)
        except OSError as error:
            raise self._refusal(self._last_words()) from error
        self._control.close()

    def wait(self, seconds: float) -> bool:
        """Whether the worker has ended, waiting at most `seconds`. Raises RunCancelledError when the run is over."""
        if self._cancelled.is_set():
            raise RunCancelledError
        if self._pidfd is None:
            time.sleep(seconds)
        else:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> int:
        """End the worker if it has not ended, and return its exit status; minus the signal's number if one ended it."""
        if self._returncode is None:
            # Before it is reaped, so that its number cannot have passed to another process.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            os.kill(self._process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self._process.pid, 0)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            self._returncode = self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._returncode

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stack.enter_context(self._control)
        self._control_fd = theirs.fileno()
        # Only the interpreter's own start can write here: a worker closes it before it takes a program.
        self._stderr = os.memfd_create("worker-stderr", os.MFD_CLOEXEC)
        self._stack.callback(os.close, self._stderr)
        environment = dict(_ENVIRONMENT)
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter from a cluster's module system may need it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        script = str(Path(worker.__file__).resolve())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-S", "-B", script, str(self._control_fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                cwd="/",
                env=environment,
                pass_fds=[self._control_fd],
                start_new_session=True,
            )
        self._stack.callback(self.end)
        self._pidfd: int | None = None
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            if error.errno != errno.ENOSYS:  # Linux before 5.3 has none, and `wait` then looks from time to time
                raise
        else:
            self._stack.callback(os.close, self._pidfd)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_S
        self._control.settimeout(POLL_S)
        while True:
            if self._cancelled.is_set():
                raise RunCancelledError
            try:
                answer = self._control.recv(1)
                break
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self._refusal(f"it was not ready after {START_S:g} s") from None
        self._control.settimeout(START_S)
        if answer != worker.READY:
            raise self._refusal(self._last_words() if answer == worker.REFUSED else "")

    def _is_confined(self) -> bool:
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return False
        return all(line.search(status) for line in _LOCKED)

    def _last_words(self) -> str:
        words = b""
        with suppress(OSError):
            while len(words) < 4096 and (part := self._control.recv(4096)):
                words += part
        return words.removeprefix(worker.REFUSED).decode("utf-8", "replace")

    def _refusal(self, reason: str) -> SandboxError:
        status = self.end()
        said = os.pread(self._stderr, 4096, 0).decode("utf-8", "replace").strip().rpartition("\n")[2]
        reason = harmless(reason or said or f"it ended with exit status {status}")
        return SandboxError(
            f"A sandbox worker did not get ready, so no program was run: {reason}. Check sandbox.extra_modules and "
            "sandbox.memory_mb, that the kernel allows seccomp filters, and that /proc shows one's own processes."
        )
