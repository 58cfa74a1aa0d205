"""Puts a zygote into namespaces of its own with bubblewrap: no network, no other process, hardly a file to be seen.

A second wall behind the system call filter, should that have a hole, and one around the loading of modules, which
happens before there is a filter.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import SandboxError

_INSTALL: Final = "sudo apt-get install bubblewrap (or dnf install bubblewrap)"
_ALLOW: Final = (
    "sudo sysctl user.max_user_namespaces=15000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; "
    "in a container, run it with --security-opt seccomp=unconfined"
)
_NOBODY: Final = "65534"
# Everything is unshared; nothing is left of /proc, /dev, /home, /tmp.
_ISOLATION: Final = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--uid", _NOBODY, "--gid", _NOBODY),
    *("--hostname", "sandbox", "--clearenv"),
)
_SYSTEM_FOLDERS: Final = ("/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_PROBE_S: Final = 30.0


def command_in_namespaces(command: Sequence[str], environment: Mapping[str, str], readable: Sequence[str]) -> list[str]:
    """See `zygote.Launcher`."""
    wrapped = [_executable(), *_ISOLATION]
    for name, value in environment.items():
        wrapped += ["--setenv", name, value]
    for path in _shown(environment, readable):
        wrapped += ["--ro-bind", path, path]
    for folder in map(Path, _SYSTEM_FOLDERS):
        if folder.is_symlink():
            wrapped += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.exists():
            wrapped += ["--ro-bind", str(folder), str(folder)]
    return [*wrapped, "--chdir", "/", "--", *command]


def require_namespaces() -> None:
    """Raise SandboxError, with the cure, where bubblewrap is missing or may not make namespaces."""
    if reason := _failure(_executable()):
        raise SandboxError(
            f"sandbox=bwrap needs user namespaces, and bubblewrap cannot make them here ({reason}); allow them with "
            f"{_ALLOW}, or use sandbox=seccomp."
        )


def _executable() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(f"sandbox=bwrap needs bubblewrap; install it with {_INSTALL}, or use sandbox=seccomp.")
    return path


@cache
def _failure(executable: str) -> str:
    """What bubblewrap says when it is run for nothing; empty when it works. Asked once."""
    try:
        command = command_in_namespaces([sys.executable, "-I", "-S", "-c", ""], {}, [])
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    words = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return "" if done.returncode == 0 else words or f"exit status {done.returncode}"


def _shown(environment: Mapping[str, str], readable: Sequence[str]) -> Iterator[str]:
    """Yield what an interpreter needs to start: itself, its library, the linker's list, `readable`."""
    interpreter = Path(sys.executable)
    wanted = ["/usr", "/etc/ld.so.cache", sys.prefix, sys.base_prefix, str(interpreter.parent)]
    wanted += [str(interpreter.resolve().parent), *readable]
    wanted += [folder for folder in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    # os.path.exists says no where Path.exists may not look and raises.
    seen = sorted({path for path in wanted if os.path.exists(path) and path != "/"})  # noqa: PTH110
    # What lies in a folder that is shown is shown with it.
    yield from (path for path in seen if not any(path.startswith(f"{other.rstrip('/')}/") for other in seen))
