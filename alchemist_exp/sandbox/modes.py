"""The modes of the sandbox.

seccomp: the kernel holds each program to memory, clocks and its own end. It can open no file, socket or process, with
    no descriptor to start from. Not held: a hole in the kernel behind the few calls left, what the processor's caches
    tell, and memory beyond `workers` times `memory_mb`.
bwrap: the same inside namespaces, without capabilities, with little but the interpreter to be seen. A second wall.
auto: bwrap where it works, else seccomp; never less. `effective` says which.
none: limits on time and memory, and no file descriptors. A program can delete files, end processes, start others
    (unless RLIMIT_NPROC holds: not for root) and run machine code.
"""

import logging
import os
import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, SandboxError
from alchemist_exp.sandbox.base import ProgramRun, ProgramStatus, Progress, Sandbox
from alchemist_exp.sandbox.bubblewrap import command_in_namespaces, require_namespaces
from alchemist_exp.sandbox.inputs import Inputs, as_inputs
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES
from alchemist_exp.sandbox.zygote import IsolationPolicy

_log = logging.getLogger(__name__)

_PROBE = "def label_function(text):\n    return int(text == 'probe')\n"
_SECCOMP_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")


@dataclass(kw_only=True)
class _WorkerSandbox(Sandbox):
    """A sandbox of one process per program and chunk; the modes differ in what the kernel denies that process."""

    def check(self) -> None:
        """See `Sandbox.check`."""
        self._require_support()
        run = self.execute([_PROBE], ["probe"], 2)[0]
        if run.status is not ProgramStatus.OK or run.votes[0] != 1:
            reason = run.detail or next(iter(run.messages.values()), "it gave the wrong vote")
            raise SandboxError(
                f"A trivial program fails in sandbox {self.name!r} ({reason}); raise the sandbox's limits."
            )

    def execute(
        self,
        sources: Sequence[str],
        inputs: Sequence[str] | Inputs,
        n_classes: int,
        *,
        on_progress: Progress | None = None,
    ) -> list[ProgramRun]:
        """See `Sandbox.execute`."""
        self._require_support()
        # Here, because it needs modules that only Linux has, and saying so is `_require_support`'s task.
        from alchemist_exp.sandbox.execution import run_programs

        return run_programs(self, sources, as_inputs(inputs), n_classes, self._walls(), on_progress=on_progress)

    @abstractmethod
    def _walls(self) -> IsolationPolicy:
        """What the kernel must deny workers."""

    def _require_support(self) -> None:
        """Raise SandboxError where this mode cannot be."""
        if sys.platform != "linux":
            raise SandboxError(f"The sandbox needs Linux, and this is {sys.platform}; run in a Linux container.")


@component("sandbox", "seccomp")
@dataclass(kw_only=True)
class SeccompSandbox(_WorkerSandbox):
    """Confined by the kernel's system call filter; needs no root and no package."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_name(self.name, "seccomp")

    def _walls(self) -> IsolationPolicy:
        return IsolationPolicy(confined=True)

    def _require_support(self) -> None:
        super()._require_support()
        machine = os.uname().machine
        if machine not in ARCHITECTURES or sys.maxsize <= 1 << 32:
            known = " and ".join(ARCHITECTURES)
            raise SandboxError(f"sandbox={self.name} knows 64-bit {known}, and this is {machine}; run on one of those.")
        try:
            actions = _SECCOMP_ACTIONS.read_text().split()
        except OSError:
            actions = []
        if "kill_process" not in actions:
            raise SandboxError(
                f"sandbox={self.name} needs Linux 4.14 or later with seccomp filters, which this kernel does not show "
                f"in {_SECCOMP_ACTIONS}; run on another kernel."
            )


@component("sandbox", "bwrap")
@dataclass(kw_only=True)
class BwrapSandbox(SeccompSandbox):
    """Confined by the system call filter, inside namespaces that bubblewrap makes."""

    def __post_init__(self) -> None:
        Sandbox.__post_init__(self)
        _require_name(self.name, "bwrap")

    def _walls(self) -> IsolationPolicy:
        return IsolationPolicy(confined=True, launcher=command_in_namespaces)

    def _require_support(self) -> None:
        super()._require_support()
        require_namespaces()


@component("sandbox", "auto")
@dataclass(kw_only=True)
class AutoSandbox(SeccompSandbox):
    """The best of bwrap and seccomp that works here; looked up once, and said."""

    def __post_init__(self) -> None:
        Sandbox.__post_init__(self)
        _require_name(self.name, "auto")
        self._chosen = ""

    @property
    def effective(self) -> str:
        """See `Sandbox.effective`. Raises SandboxError where neither works."""
        if not self._chosen:
            super()._require_support()
            try:
                require_namespaces()
            except SandboxError as error:
                self._chosen = "seccomp"
                _log.warning("sandbox=auto: seccomp, since bwrap does not work. %s", error)
            else:
                self._chosen = "bwrap"
                _log.info("sandbox=auto: bwrap.")
        return self._chosen

    def _walls(self) -> IsolationPolicy:
        return IsolationPolicy(confined=True, launcher=command_in_namespaces if self.effective == "bwrap" else None)

    def _require_support(self) -> None:
        super()._require_support()
        if self.effective == "bwrap":  # it worked before; if it has stopped, that is an error and not a downgrade
            require_namespaces()


@component("sandbox", "none")
@dataclass(kw_only=True)
class UnconfinedSandbox(_WorkerSandbox):
    """Limits on time and memory alone: no wall against a program that means harm. Never chosen in silence."""

    i_accept_untrusted_code: bool = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_name(self.name, "none")

    def check(self) -> None:
        """See `Sandbox.check`. Warns that nothing holds a hostile program."""
        super().check()
        _log.warning("sandbox=none: programs written by an LLM run with your rights; they can delete your files.")

    def _walls(self) -> IsolationPolicy:
        return IsolationPolicy(confined=False)

    def _require_support(self) -> None:
        super()._require_support()
        if self.i_accept_untrusted_code is not True:
            raise SandboxError(
                "sandbox=none lets programs written by an LLM run with your rights; use sandbox=seccomp, or accept it "
                "with sandbox.i_accept_untrusted_code=true."
            )


def _require_name(name: str, needed: str) -> None:
    # The name is stamped on every result, so it must not be able to lie about the mode.
    if name != needed:
        raise ConfigError(f"sandbox.name is {name!r}; this mode's name is {needed!r}.")
