"""Read documents in a separate process, so that a hostile file cannot stop the run.

The kernel limits the process's CPU time per document and its memory. It has the rights of its parent, so it is not a
sandbox: the parsers are Python code and run nothing that a document contains.
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
from typing import Any, Final

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.retrieval.formats import FORMATS, Section, UnreadableError

FILE_BYTES: Final = 64 * 2**20
"""Larger files are not read."""

SECONDS: Final = 60.0
"""CPU time for one document."""

MEMORY_BYTES: Final = 4 * 2**30
"""Address space of the process."""

_OUT_OF_MEMORY: Final = 99
"""Exit status of the process."""

_START: Final = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main()"


@dataclass(frozen=True)
class ReadResult:
    """What the process says about one document.

    Attributes:
        sections: Its sections; none if it could not be read.
        warning: The first warning of pypdf, "" for none.
        unreadable: Why it could not be read, as the end of a sentence about it, "" if it could.

    """

    sections: tuple[Section, ...] = ()
    warning: str = ""
    unreadable: str = ""


def read_bytes(path: Path) -> bytes:
    """Return a file's content, without waiting if it has become a pipe.

    Args:
        path: A regular file.

    Returns:
        At most FILE_BYTES bytes.

    Raises:
        DataError: The file cannot be read, or has become larger than FILE_BYTES.

    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if os.fstat(file.fileno()).st_size <= FILE_BYTES:
                return file.read()
    except OSError as error:
        raise DataError(f"the document {str(path)!r} cannot be read: {error.strerror}; fix or remove it.") from error
    raise DataError(f"the document {str(path)!r} has grown since it was listed; run again.")


def read_files(paths: Sequence[Path]) -> Iterator[ReadResult]:
    """Read documents one after another.

    Args:
        paths: Files with an extension in FORMATS.

    Yields:
        One result per path, in order.

    Raises:
        DataError: A document, which the message names, takes more time or memory than it may.

    """
    request = {"seconds": SECONDS, "memory": MEMORY_BYTES, "paths": [os.fspath(path) for path in paths]}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _START, json.dumps([str(entry) for entry in sys.path])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
            for path in paths:
                line = process.stdout.readline()
                if not line.endswith(b"\n"):
                    status = process.wait()
                    if status == -signal.SIGPROF:
                        problem = f"takes more than {SECONDS:g} s of CPU time to read"
                    elif status in (_OUT_OF_MEMORY, -signal.SIGKILL):
                        problem = f"takes more memory to read than there is, or more than {MEMORY_BYTES / 2**30:g} GiB"
                    else:
                        problem = f"ended the process that read it (exit status {status})"
                    raise DataError(f"the document {str(path)!r} {problem}; remove it from the directory.")
                result: dict[str, Any] = json.loads(line)
                yield ReadResult(**result | {"sections": tuple(Section(*section) for section in result["sections"])})
        finally:
            process.kill()


class _FirstWarning(logging.Handler):
    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's message if it is the first one."""
        self.text = self.text or sanitize(record.getMessage())


def _read(path: Path) -> dict[str, Any]:
    """Return the fields of a document's `ReadResult`."""
    warning = _FirstWarning()
    logging.getLogger("pypdf").handlers = [warning]
    try:
        sections = FORMATS[path.suffix.lower()].read(read_bytes(path))
    except (UnreadableError, DataError) as error:
        return {"sections": [], "unreadable": str(error)}
    return {"sections": [(s.text, s.place, s.line) for s in sections], "warning": warning.text}


def main() -> None:
    """Read the documents that the request on standard input names; write one line of JSON per document."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    logging.getLogger("pypdf").propagate = False
    for path in map(Path, request["paths"]):
        if package := FORMATS[path.suffix.lower()].package:
            import_module(package)  # its import time does not count
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])  # SIGPROF then ends the process, whatever it does
        try:
            print(json.dumps(_read(path)), flush=True)
        except MemoryError:
            sys.exit(_OUT_OF_MEMORY)
