"""Reads documents in a process of its own: a file that is made to keep readers busy is stopped by the kernel.

Bounds processor time per document and memory; the process has the rights of its parent, so it is no sandbox. The
parsers are written in Python and run nothing of what they read.
"""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.retrieval.formats import FORMATS, Part, UnreadableError

FILE_BYTES: Final = 64 * 2**20
"""No larger file is read."""

SECONDS: Final = 60.0
"""Processor time for one document."""

MEMORY_BYTES: Final = 4 * 2**30
"""Address space of the process."""

_OUT_OF_MEMORY: Final = 99
"""Exit status of the process."""

_START: Final = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main()"


@dataclass(frozen=True)
class Reading:
    """What became of one file: its parts and what pypdf warns of, or the reason why it could not be read."""

    parts: tuple[Part, ...] = ()
    warning: str = ""
    unreadable: str = ""


def bytes_of(path: Path) -> bytes:
    """The file's content; waits for no writer of a pipe. DataError when it cannot be read or has over FILE_BYTES."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            has_grown = os.fstat(file.fileno()).st_size > FILE_BYTES
            raw = b"" if has_grown else file.read()
    except OSError as error:
        raise DataError(f"the document {str(path)!r} cannot be read: {error.strerror}; mend or remove it.") from error
    if has_grown:
        raise DataError(f"the document {str(path)!r} grew while it was looked at; run again.")
    return raw


def read_files(paths: Sequence[Path]) -> Iterator[Reading]:
    """Reads files one after another. DataError, naming the file, for one that takes too much time or memory."""
    asked = {"seconds": SECONDS, "memory": MEMORY_BYTES, "paths": [os.fspath(path) for path in paths]}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _START, json.dumps([str(entry) for entry in sys.path])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    with process:
        try:
            process.stdin.write(json.dumps(asked).encode())
            process.stdin.close()
            for path in paths:
                line = process.stdout.readline()
                if not line.endswith(b"\n"):
                    raise DataError(f"the document {str(path)!r} {_ending(process.wait())}; take it out of the folder.")
                answer = json.loads(line)
                if error := answer.get("error"):
                    raise DataError(error)
                yield Reading(tuple(Part(*part) for part in answer["parts"]), answer["warning"], answer["unreadable"])
        finally:
            process.kill()


def _ending(status: int) -> str:
    """Why the process is gone, as what the document did."""
    if status == -signal.SIGPROF:
        return f"takes more than {SECONDS:g} s of processor time to read"
    if status in (_OUT_OF_MEMORY, -signal.SIGKILL):
        return f"takes more memory to read than there is, or than {MEMORY_BYTES / 2**30:g} GiB"
    return f"ended its reader (exit status {status})"


def _read(path: Path) -> dict[str, object]:
    """One file, as the answer that `read_files` expects."""
    warned = _Warnings()
    logging.getLogger("pypdf").handlers = [warned]
    try:
        parts = FORMATS[path.suffix.lower()].read(bytes_of(path))
    except UnreadableError as error:
        return {"parts": [], "warning": "", "unreadable": str(error)}
    except DataError as error:
        return {"error": str(error)}
    shown = [(part.text, part.place, part.line) for part in parts]
    return {"parts": shown, "warning": warned.first, "unreadable": ""}


class _Warnings(logging.Handler):
    """Keeps the first warning."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or sanitize(record.getMessage())


def main() -> None:
    """Reads what stdin names; one line of JSON per file on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (asked["memory"], resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    logging.getLogger("pypdf").propagate = False
    for path in map(Path, asked["paths"]):
        if package := FORMATS[path.suffix.lower()].package:
            import_module(package)
        signal.setitimer(signal.ITIMER_PROF, asked["seconds"])  # its signal ends the process, whatever it does
        try:
            print(json.dumps(_read(path)), flush=True)
        except MemoryError:
            sys.exit(_OUT_OF_MEMORY)
