"""Sees for itself, in /proc, that the kernel confines a worker; the worker's own word is not enough."""

import os
import re
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# cgroup is left out: not every kernel gives one to users.
_NAMESPACES: Final = ("ipc", "mnt", "net", "pid", "user", "uts")


def unconfined_reason(pid: int, *, namespaced: bool) -> str:
    """Why the process `pid` is not confined as it must be, in a sentence; empty when it is.

    namespaced: whether it must have namespaces of its own too.
    """
    try:
        status = _fields(_PROC / str(pid) / "status")
        own = _fields(_PROC / "self" / "status")
        wanted = _NAMESPACES if namespaced else ()
        shared = [name for name in wanted if _namespace(str(pid), name) == _namespace("self", name)]
    except OSError as error:
        return f"the kernel does not show it ({error.strerror})"
    if status.get("Seccomp") != "2" or status.get("NoNewPrivs") != "1":
        return "the kernel does not show it as confined"
    if int(status.get("CapEff", "0"), 16) or int(status.get("CapPrm", "0"), 16):
        return "the kernel shows it with capabilities"
    # In a container this process has a filter of its own, and a worker inherits it: there must be one more.
    if int(status.get("Seccomp_filters", "1")) <= int(own.get("Seccomp_filters", "0")):
        return "the kernel shows no filter of its own on it"
    if shared:
        return f"it shares namespaces with this process: {', '.join(shared)}"
    return ""


def _fields(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s+(\S*)", path.read_text(), re.M))


def _namespace(pid: str, name: str) -> str:
    return str((_PROC / pid / "ns" / name).readlink())


def mapped_bytes(pid: int) -> int:
    """Bytes of address space the process has mapped. Raises OSError when it cannot be seen."""
    return int((_PROC / str(pid) / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def process_of(pidfd: int) -> int:
    """The number, as /proc gives it, of the process behind a process descriptor; 0 when it has none here.

    In a process namespace a process gives itself another number.
    """
    found = re.search(r"^Pid:\s+(\d+)$", (_PROC / "self" / "fdinfo" / str(pidfd)).read_text(), re.M)
    return int(found[1]) if found else 0


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits to be looked at, or is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
