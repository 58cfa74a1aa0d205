import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox import modes
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.sandbox.bubblewrap import require_namespaces
from alchemist_exp.sandbox.modes import AutoSandbox, BwrapSandbox, SeccompSandbox, UnconfinedSandbox

CONF = Path(__file__).parents[2] / "conf" / "sandbox"
MODES = ("seccomp", "spawn", "bwrap", "none")
"""All but spawn fork their workers from a shared zygote; spawn is seccomp with one interpreter per program."""
LIMITS: dict[str, Any] = dict(OmegaConf.to_container(OmegaConf.load(CONF / "_limits.yaml"))) | {  # type: ignore[arg-type]
    "workers": 2,
    "call_cpu_s": 0.1,
    "init_cpu_s": 0.3,
    "stall_s": 0.6,
    "max_timeouts": 3,
    "max_restarts": 2,
    "memory_mb": 256,
    "program_wall_s": 30.0,
    "determinism_rows": 0,
}


def _make_sandbox(mode: str = "seccomp", **changes: Any) -> Sandbox:
    values = LIMITS | changes
    if mode == "spawn":
        values["zygote"] = False
    if mode == "none":
        return UnconfinedSandbox(name="none", i_accept_untrusted_code=True, **values)
    if mode in ("bwrap", "auto"):
        return {"bwrap": BwrapSandbox, "auto": AutoSandbox}[mode](name=mode, **values)
    return SeccompSandbox(name="seccomp", **values)


@pytest.fixture(scope="session", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each mode; bwrap is skipped, with the reason, where bubblewrap does not work."""
    if request.param == "bwrap":
        try:
            require_namespaces()
        except SandboxError as error:
            pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(scope="session")
def make_sandbox() -> Callable[..., Sandbox]:
    """Makes a sandbox with the values of conf/sandbox, short limits, and the given changes."""
    return _make_sandbox


@pytest.fixture
def sandbox(mode: str) -> Sandbox:
    return _make_sandbox(mode)


@pytest.fixture(autouse=True)
def _checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check in one test is not the check of another one."""
    monkeypatch.setattr(modes, "_passed", set())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test may leave a process or a descriptor."""
    children, before = _children(), _descriptors()
    yield
    assert _children() <= children
    end = time.monotonic() + 5
    # A thread that another test has left to a library may open a file or a socket for a moment.
    while len(after := _descriptors()) > len(before) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(after) <= len(before), set(after) - set(before)


def _descriptors() -> list[str]:
    """Return what each open descriptor of this process refers to."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as the one that lists them
            found.append(str(path.readlink()))
    return found


def _children() -> set[int]:
    # psutil searches all processes of the machine, which takes longer than most of these tests.
    while True:
        lists = list(Path("/proc/self/task").glob("*/children"))
        if not lists:  # a kernel without CONFIG_PROC_CHILDREN
            return {child.pid for child in psutil.Process().children()}
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread has ended; another one has its children now
            return {int(pid) for path in lists for pid in path.read_text().split()}
