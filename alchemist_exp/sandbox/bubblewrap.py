"""Starts a zygote in separate namespaces with bubblewrap: no network, no other process, hardly any file.

This is a second barrier behind the system call filter, and the only one around the import of modules, which happens
before the filter is installed.
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
_UNPRIVILEGED_ID: Final = "65534"  # of a user and a group without rights
# All namespaces are new, and the new root holds no /proc, /dev, /home or /tmp.
_ISOLATION: Final = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
    *("--uid", _UNPRIVILEGED_ID, "--gid", _UNPRIVILEGED_ID, "--hostname", "sandbox", "--clearenv"),
)
_SYSTEM_DIRECTORIES: Final = ("/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_PROBE_TIMEOUT_S: Final = 30.0


def command_in_namespaces(command: Sequence[str], environment: Mapping[str, str], readable: Sequence[str]) -> list[str]:
    """Wrap a command with bubblewrap; a `zygote.Launcher`.

    Args:
        command: The interpreter and its arguments.
        environment: The environment variables it sees.
        readable: Paths it can read, in addition to the interpreter and the system libraries.

    Returns:
        The command line.

    Raises:
        SandboxError: bubblewrap is not installed.
    """
    wrapped = [_executable(), *_ISOLATION]
    for name, value in environment.items():
        wrapped += ["--setenv", name, value]
    for path in _visible_paths(environment, readable):
        wrapped += ["--ro-bind", path, path]
    for directory in map(Path, _SYSTEM_DIRECTORIES):
        if directory.is_symlink():
            wrapped += ["--symlink", str(directory.readlink()), str(directory)]
        elif directory.exists():
            wrapped += ["--ro-bind", str(directory), str(directory)]
    return [*wrapped, "--chdir", "/", "--", *command]


def require_namespaces() -> None:
    """Check that bubblewrap is installed and can create namespaces.

    Raises:
        SandboxError: It is not, or cannot; the message says how to fix it.
    """
    if reason := _probe(_executable()):
        raise SandboxError(
            f"sandbox=bwrap needs user namespaces, and bubblewrap cannot create them ({reason}); allow them with "
            f"{_ALLOW}, or use sandbox=seccomp."
        )


def _executable() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(f"sandbox=bwrap needs bubblewrap; install it with {_INSTALL}, or use sandbox=seccomp.")
    return path


@cache
def _probe(executable: str) -> str:
    """Run an empty program with bubblewrap, once; return the error message, empty if it works."""
    try:
        command = command_in_namespaces([sys.executable, "-I", "-S", "-c", ""], {}, [])
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last_line = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return "" if done.returncode == 0 else last_line or f"exit status {done.returncode}"


def _visible_paths(environment: Mapping[str, str], readable: Sequence[str]) -> Iterator[str]:
    """Yield the paths that an interpreter needs to start: itself, its library, the linker's cache, and `readable`."""
    interpreter = Path(sys.executable)
    candidates = ["/usr", "/etc/ld.so.cache", sys.prefix, sys.base_prefix, str(interpreter.parent)]
    candidates += [str(interpreter.resolve().parent), *readable]
    candidates += [path for path in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path]
    # os.path.exists returns False for a path that may not be read, where Path.exists raises.
    paths = sorted({path for path in candidates if os.path.exists(path) and path != "/"})  # noqa: PTH110
    # A directory makes all that it contains visible.
    yield from (path for path in paths if not any(path.startswith(f"{other.rstrip('/')}/") for other in paths))
