"""Verifies in /proc that the kernel confines a worker, because the worker's own report is not enough."""

import os
import re
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Without cgroup, because some kernels do not let users create one.
_NAMESPACES: Final = ("ipc", "mnt", "net", "pid", "user", "uts")


def isolation_failure(pid: int, *, namespaced: bool) -> str:
    """Find out why a process is not confined.

    Args:
        pid: The process.
        namespaced: Whether it must be in other namespaces than this process.

    Returns:
        The reason in a sentence; empty if it is confined.
    """
    try:
        status = _read_fields(_PROC / str(pid) / "status")
        own = _read_fields(_PROC / "self" / "status")
        required = _NAMESPACES if namespaced else ()
        shared = [name for name in required if _namespace(str(pid), name) == _namespace("self", name)]
    except OSError as error:
        return f"the kernel does not show its process ({error.strerror})"
    if status.get("Seccomp") != "2" or status.get("NoNewPrivs") != "1":  # 2: filter mode
        return "the kernel does not show it as confined"
    if int(status.get("CapEff", "0"), 16) or int(status.get("CapPrm", "0"), 16):
        return "the kernel shows it with capabilities"
    # In a container this process already has a filter, which the worker inherits: the worker must have one more.
    if int(status.get("Seccomp_filters", "1")) <= int(own.get("Seccomp_filters", "0")):
        return "the kernel shows no filter on it in addition to this process's filter"
    if shared:
        return f"it shares namespaces with this process: {', '.join(shared)}"
    return ""


def _read_fields(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s+(\S*)", path.read_text(), re.M))


def _namespace(pid: str, name: str) -> str:
    return str((_PROC / pid / "ns" / name).readlink())


def mapped_bytes(pid: int) -> int:
    """Return the size of a process's address space.

    Args:
        pid: The process.

    Returns:
        Mapped bytes.

    Raises:
        OSError: The process is not visible.
    """
    return int((_PROC / str(pid) / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def pid_of_pidfd(pidfd: int) -> int:
    """Return the process ID, in this process's PID namespace, of the process behind a process descriptor.

    The ID that a process has in its own PID namespace is another one, and of no use here.

    Args:
        pidfd: The process descriptor.

    Returns:
        The process ID; 0 if it has none in this namespace.
    """
    match = re.search(r"^Pid:\s+(\d+)$", (_PROC / "self" / "fdinfo" / str(pidfd)).read_text(), re.M)
    return int(match[1]) if match else 0


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended.

    Args:
        pid: The process, a child of another process that has not yet waited for it.

    Returns:
        Whether it is a zombie or gone.
    """
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
