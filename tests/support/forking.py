"""Runs commands in children of one process that has imported the heavy libraries, which saves seconds per command.

Each child has its own command line, directory, environment and output files, as a command in a shell has. What depends
on a new interpreter (start-up, imports, signals of a terminal) is tested with `subprocess` instead.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, NoReturn

from hydra.core.plugins import Plugins

from tests.support.paths import REPOSITORY
from tests.support.remembered_groups import remember_groups

TIMEOUT_S = 300
FLAGS = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)


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
        files = [f"{directory}/{name}" for name in ("stdin", "stdout", "stderr")]
        Path(files[0]).write_bytes(stdin.encode())
        job = {
            "command": [command, *arguments],
            "cwd": str(cwd),
            "files": files,
            "environment": {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        }
        requests, returncodes = _server()
        print(json.dumps(job), file=requests, flush=True)
        returncode = int(returncodes.readline())
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


@cache
def _server() -> tuple[IO[str], IO[str]]:
    """Start the process; it ends with its standard input."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forking"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.communicate)
    return server.stdin, server.stdout


def _serve() -> None:
    """Run one job per line of standard input, and print its exit code."""
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
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(job: Mapping[str, Any]) -> NoReturn:
    """Turn this child into the command of a job, and end it.

    Unless an exception ends it, it ends as children of `multiprocessing` do: the usual end of an interpreter deletes
    every object of the libraries, and so copies their memory first, which takes 0.5 s.
    """
    signal.alarm(TIMEOUT_S)
    os.setsid()
    for number, (file, flags) in enumerate(zip(job["files"], FLAGS, strict=True)):
        os.dup2(os.open(file, flags), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(job["environment"])
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
