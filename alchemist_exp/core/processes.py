"""The identity of a process, written to a file so that others can tell whether it is still alive."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """A process on one of the hosts that share a directory.

    Attributes:
        host: The name of its host.
        pid: Its process id on that host.
        start: When it started, in clock ticks since the host booted, since a pid is used again for another process;
            None if unknown.

    """

    host: str
    pid: int
    start: int | None

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Return the identity of this process."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), pid=pid, start=_start_of(pid))

    def is_alive(self) -> bool | None:
        """Return whether the process is alive; None if it is on another host, which cannot be checked.

        A process that is not visible, such as one in another container, counts as dead. So does a zombie.
        """
        if self.host != socket.gethostname():
            return None
        return self.start is not None and _start_of(self.pid) == self.start


def _start_of(pid: int) -> int | None:
    try:
        # The process name, in brackets, may itself contain blanks and brackets, so split after the last bracket.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])
