"""Runs commands in children of one process that has imported the heavy libraries, which saves seconds per command.

Each child has its own command line, directory, environment and output files, as a command in a shell has. What depends
on a new interpreter (start-up, imports, signals of a terminal) is tested with `subprocess` instead. All processes of
the tests share the one that forks: it ends when the last of them has ended.
"""

import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NoReturn

from filelock import FileLock
from hydra.core.plugins import Plugins

from tests.support.paths import REPOSITORY
from tests.support.remembered_groups import DIRECTORY_VARIABLE, remember_groups
from tests.support.shared_stages import VARIABLE, use_shared_stages

TIMEOUT_S = 300
ACCEPTED = b"accepted\n"
FLAGS = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class ForkedProcess:
    """A command that runs, with the methods of `subprocess.Popen` that tests need.

    Args:
        command: A module, such as alchemist_exp.run, or the path of a script.
        arguments: The command line.
        cwd: The directory that it runs in.
        files: The files for standard input, output and errors.
        environment: Variables in addition to those of this process.

    Attributes:
        pid: Its process, which leads a session of its own.
        returncode: Its exit code (negative: a signal); None before `wait` has returned.

    """

    def __init__(
        self, command: str, *arguments: str, cwd: Path, files: tuple[str, str, str], environment: Mapping[str, str] = {}
    ) -> None:
        job = {
            "command": [command, *arguments],
            "cwd": str(cwd),
            "files": files,
            "environment": {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        }
        _keep_server()
        self._connection = _connect()
        self._lines: BinaryIO = self._connection.makefile("rb")
        self._connection.sendall(json.dumps(job).encode() + b"\n")
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Args:
            timeout: Seconds.

        Returns:
            The exit code.

        Raises:
            TimeoutError: It has not ended.

        """
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it is known to have ended."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    command: str, *arguments: str, cwd: Path, stdin: str = "", environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run a module or a script as a command.

    Args:
        command: A module, such as alchemist_exp.run, or the path of a script.
        arguments: The command line.
        cwd: The directory that it runs in.
        stdin: What it reads.
        environment: Variables in addition to those of this process.

    Returns:
        Exit code (negative: a signal) and output.

    """
    with TemporaryDirectory() as directory:
        files = (f"{directory}/stdin", f"{directory}/stdout", f"{directory}/stderr")
        Path(files[0]).write_bytes(stdin.encode())
        returncode = ForkedProcess(command, *arguments, cwd=cwd, files=files, environment=environment).wait()
        stdout, stderr = (Path(file).read_bytes().decode() for file in files[1:])
    return subprocess.CompletedProcess([command, *arguments], returncode, stdout, stderr)


def run_alchemist(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the console script `alchemist`.

    Args:
        arguments: The command line.
        cwd: The directory that it runs in.

    Returns:
        Exit code and output.

    """
    return run_forked("tests.support.console_script", *arguments, cwd=cwd)


def _address() -> str:
    """Return the name of the server's socket, which is not a file (see unix(7), "abstract")."""
    return f"\0{Path(os.environ[DIRECTORY_VARIABLE]).name}"


def _connect() -> socket.socket:
    """Connect to the server; an OSError if there is none, or one that ends."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(_address())
        if connection.recv(len(ACCEPTED)) != ACCEPTED:
            raise ConnectionResetError
    except OSError:
        connection.close()
        raise
    return connection


@cache
def _keep_server() -> socket.socket:
    """Start the process if no other process of the tests has, and keep it until this one ends."""
    with FileLock(Path(os.environ[DIRECTORY_VARIABLE], "forking.lock")):
        try:
            return _connect()
        except OSError:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking"],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            server.stdout.close()
            server.returncode = 0  # nothing waits for it
            return _connect()


def _serve() -> None:
    """Run the command of each line that a connection sends, and answer with its process and its exit code."""
    gc.disable()  # until the imports are done, as in conftest.py
    import datasets  # noqa: F401
    import sklearn.feature_extraction.text  # noqa: F401
    import snorkel.labeling.model  # noqa: F401

    import alchemist_exp.cli.run
    import alchemist_exp.end_model.training
    import alchemist_exp.pipeline.run
    import alchemist_exp.sandbox.execution  # noqa: F401
    from alchemist_exp import config
    from alchemist_exp.llm.tokens import count_tokens

    config.register()
    Plugins.instance()  # of Hydra
    remember_groups()
    for overrides in ([], ["sandbox.determinism_rows=0"]):
        config.build(config.compose(overrides)).sandbox.check()  # once for all children
    count_tokens("", "cl100k_base")  # loads the tokenizer
    # Objects of the libraries stay shared with the children: a child would copy their pages to count references.
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)  # as in conftest.py
    gc.enable()
    os.fsync = lambda fd: None  # as in this process's tests
    selector = selectors.DefaultSelector()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(_address())
    listener.listen()
    selector.register(listener, selectors.EVENT_READ)
    os.write(sys.stdout.fileno(), b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    connections = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.sendall(ACCEPTED)
                selector.register(connection, selectors.EVENT_READ)
                connections += 1
            elif isinstance(key.fileobj, socket.socket):
                if line := _read_line(key.fileobj):
                    _start(line, key.fileobj, selector)
                else:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    connections -= 1
            else:
                key.data()
        if connections == 0:
            return


def _read_line(connection: socket.socket) -> bytes:
    """Return a line, or nothing where the other side has ended."""
    line = b""
    while not line.endswith(b"\n"):
        if not (part := connection.recv(1 << 20)):
            return b""
        line += part
    return line


def _start(line: bytes, connection: socket.socket, selector: selectors.BaseSelector) -> None:
    """Fork the command of a line, and send its process and, at its end, its exit code."""
    child = os.fork()
    if child == 0:
        # Inherited connections would not end with the process at their other side.
        for key in [*selector.get_map().values()]:
            key.fileobj.close() if isinstance(key.fileobj, socket.socket) else os.close(key.fd)
        _become(json.loads(line))
    with suppress(OSError):  # as below
        connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)

    def answer() -> None:
        selector.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(child, 0)
        with suppress(OSError):  # the test may have ended without waiting for it
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())

    selector.register(ended, selectors.EVENT_READ, answer)


def _become(job: Mapping[str, Any]) -> NoReturn:
    """Turn this child into the command of a job, and end it.

    Unless an exception ends it, it ends as children of `multiprocessing` do: the usual end of an interpreter deletes
    every object of the libraries, and so copies their memory first, which takes 0.5 s.
    """
    signal.alarm(TIMEOUT_S)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests were started
    os.setsid()
    for number, (file, flags) in enumerate(zip(job["files"], FLAGS, strict=True)):
        os.dup2(os.open(file, flags), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(job["environment"])
    if VARIABLE in os.environ:
        use_shared_stages()
    os.chdir(job["cwd"])
    sys.argv = job["command"]
    returncode = 0
    try:
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        returncode = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
        if isinstance(stopped.code, str):
            print(stopped.code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as multiprocessing does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(returncode)


if __name__ == "__main__":
    _serve()
