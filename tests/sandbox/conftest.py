from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf

from alchemist_exp.core.errors import SandboxError
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.sandbox.bubblewrap import require_namespaces
from alchemist_exp.sandbox.modes import AutoSandbox, BwrapSandbox, SeccompSandbox, UnconfinedSandbox

CONF = Path(__file__).parents[2] / "conf" / "sandbox"
MODES = ("seccomp", "spawn", "bwrap", "none")
"""All but spawn fork their workers from a zygote; spawn is seccomp with an interpreter for each."""


def _make_sandbox(mode: str = "seccomp", **changes: Any) -> Sandbox:
    values: dict[str, Any] = dict(OmegaConf.to_container(OmegaConf.load(CONF / "_limits.yaml")))
    values |= {"workers": 2, "call_cpu_s": 0.2, "init_cpu_s": 0.5, "stall_s": 1.0, "max_timeouts": 3, "max_restarts": 2}
    values |= {"memory_mb": 256, "program_wall_s": 30.0, "determinism_rows": 0}
    values |= changes
    if mode == "spawn":
        values["zygote"] = False
    if mode == "none":
        return UnconfinedSandbox(name="none", i_accept_untrusted_code=True, **values)
    if mode in ("bwrap", "auto"):
        return {"bwrap": BwrapSandbox, "auto": AutoSandbox}[mode](name=mode, **values)
    return SeccompSandbox(name="seccomp", **values)


def skip_without_bwrap(mode: str) -> None:
    """Skip, with the reason, where bubblewrap does not work."""
    if mode == "bwrap":
        try:
            require_namespaces()
        except SandboxError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    skip_without_bwrap(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def make_sandbox() -> Callable[..., Sandbox]:
    """Makes a sandbox with the values of conf/sandbox, short limits, and the changes asked for."""
    return _make_sandbox


@pytest.fixture
def sandbox(mode: str) -> Sandbox:
    return _make_sandbox(mode)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test may leave a process or a descriptor."""
    this = psutil.Process()
    children, descriptors = set(this.children()), this.num_fds()
    yield
    assert set(this.children()) <= children
    assert this.num_fds() <= descriptors
