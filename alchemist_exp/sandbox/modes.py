"""The modes of the sandbox.

seccomp: the kernel restricts each program to memory, clocks and its own end. It can open no file and no socket and
    start no process, and it inherits no descriptor. Not covered: a kernel bug behind the few calls that are left, what
    the processor's caches reveal, and memory beyond `workers` times `memory_mb`.
bwrap: the same in separate namespaces, without capabilities, where little but the interpreter is visible. A second
    barrier.
auto: bwrap if it works, else seccomp; nothing weaker. `effective_mode` says which.
none: limits on time and memory, and no file descriptors. A program can delete files, end processes, start others
    (unless RLIMIT_NPROC stops it, which it does not for root) and run machine code.
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
from alchemist_exp.sandbox.base import ProgramRun, ProgramStatus, ProgressCallback, Sandbox
from alchemist_exp.sandbox.bubblewrap import command_in_namespaces, require_namespaces
from alchemist_exp.sandbox.inputs import Inputs, as_inputs
from alchemist_exp.sandbox.seccomp_filter import ARCHITECTURES
from alchemist_exp.sandbox.zygote import IsolationPolicy

_log = logging.getLogger(__name__)

_PROBE = "def label_function(text):\n    return int(text == 'probe')\n"
_SECCOMP_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")

_passed: set[str] = set()
"""The sandboxes, with their values, in which the trivial program has run in this process."""


@dataclass(kw_only=True)
class _WorkerSandbox(Sandbox):
    """A sandbox with one process per program and chunk; the modes differ in what the kernel denies that process."""

    def check(self) -> None:
        """Run a trivial program in this mode, once for all jobs of a process; see `Sandbox.check`."""
        self._require_support()
        if repr(self) in _passed:
            return
        run = self.execute([_PROBE], ["probe"], 2)[0]
        if run.status is not ProgramStatus.OK or run.votes[0] != 1:
            reason = run.detail or next(iter(run.messages.values()), "it gave the wrong vote")
            raise SandboxError(
                f"A trivial program fails in sandbox {self.name!r} ({reason}); raise the limits under sandbox."
            )
        _passed.add(repr(self))

    def execute(
        self,
        sources: Sequence[str],
        inputs: Sequence[str] | Inputs,
        n_classes: int,
        *,
        used_wall_s: Sequence[float] | None = None,
        on_progress: ProgressCallback | None = None,
        multi_label: bool = False,
    ) -> list[ProgramRun]:
        """Run every program on every row; see `Sandbox.execute`."""
        self._require_support()
        # Imported here, because it needs modules that only Linux has, and `_require_support` reports that clearly.
        from alchemist_exp.sandbox.execution import run_programs

        return run_programs(
            self,
            sources,
            as_inputs(inputs),
            n_classes,
            self._isolation(),
            used_wall_s=used_wall_s,
            on_progress=on_progress,
            multi_label=multi_label,
        )

    def execute_traced(
        self, sources: Sequence[str], inputs: Sequence[str] | Inputs, n_classes: int
    ) -> list[ProgramRun]:
        """Run every program on a few rows and trace it; see `Sandbox.execute_traced`."""
        self._require_support()
        from alchemist_exp.sandbox.execution import run_programs

        return run_programs(self, sources, as_inputs(inputs), n_classes, self._isolation(), trace=True)

    @abstractmethod
    def _isolation(self) -> IsolationPolicy:
        """What the kernel must deny workers."""

    def _require_support(self) -> None:
        """Raise SandboxError if this machine cannot run this mode."""
        if sys.platform != "linux":
            raise SandboxError(f"The sandbox needs Linux, and this is {sys.platform}; run in a Linux container.")


@component("sandbox", "seccomp")
@dataclass(kw_only=True)
class SeccompSandbox(_WorkerSandbox):
    """Confines programs with a system call filter in the kernel; needs no root rights and no package."""

    def __post_init__(self) -> None:
        """Check the limits and the name of the mode."""
        super().__post_init__()
        _require_name(self.name, "seccomp")

    def _isolation(self) -> IsolationPolicy:
        return IsolationPolicy(confined=True)

    def _require_support(self) -> None:
        super()._require_support()
        machine = os.uname().machine
        if machine not in ARCHITECTURES or sys.maxsize <= 1 << 32:
            known = " and ".join(ARCHITECTURES)
            raise SandboxError(
                f"sandbox={self.name} supports 64-bit {known}, and this is {machine}; run on one of those."
            )
        try:
            actions = _SECCOMP_ACTIONS.read_text().split()
        except OSError:
            actions = []
        if "kill_process" not in actions:
            raise SandboxError(
                f"sandbox={self.name} needs Linux 4.14 or later with seccomp filters, which this kernel does not list "
                f"in {_SECCOMP_ACTIONS}; run on another kernel."
            )


@component("sandbox", "bwrap")
@dataclass(kw_only=True)
class BwrapSandbox(SeccompSandbox):
    """Confines programs with a system call filter, in namespaces that bubblewrap creates."""

    def __post_init__(self) -> None:
        """Check the limits and the name of the mode."""
        Sandbox.__post_init__(self)
        _require_name(self.name, "bwrap")

    def _isolation(self) -> IsolationPolicy:
        return IsolationPolicy(confined=True, launcher=command_in_namespaces)

    def _require_support(self) -> None:
        super()._require_support()
        require_namespaces()


@component("sandbox", "auto")
@dataclass(kw_only=True)
class AutoSandbox(SeccompSandbox):
    """Uses bwrap if it works on this machine, else seccomp; chosen once and logged."""

    def __post_init__(self) -> None:
        """Check the limits and the name of the mode."""
        Sandbox.__post_init__(self)
        _require_name(self.name, "auto")
        self._chosen = ""

    @property
    def effective_mode(self) -> str:
        """The mode that was chosen. Raises SandboxError if neither works."""
        if not self._chosen:
            super()._require_support()
            try:
                require_namespaces()
            except SandboxError as error:
                self._chosen = "seccomp"
                _log.warning("sandbox=auto uses seccomp, because bwrap does not work. %s", error)
            else:
                self._chosen = "bwrap"
                _log.info("sandbox=auto uses bwrap.")
        return self._chosen

    def _isolation(self) -> IsolationPolicy:
        launcher = command_in_namespaces if self.effective_mode == "bwrap" else None
        return IsolationPolicy(confined=True, launcher=launcher)

    def _require_support(self) -> None:
        super()._require_support()
        # bwrap has worked before. If it does not any more, that is an error: a run must not become weaker half-way.
        if self.effective_mode == "bwrap":
            require_namespaces()


@component("sandbox", "none")
@dataclass(kw_only=True)
class UnconfinedSandbox(_WorkerSandbox):
    """Limits time and memory only; does not stop a hostile program. Used only with explicit consent."""

    i_accept_untrusted_code: bool = MISSING

    def __post_init__(self) -> None:
        """Check the limits and the name of the mode."""
        super().__post_init__()
        _require_name(self.name, "none")

    def check(self) -> None:
        """Run a trivial program, and warn that hostile programs are not stopped; see `Sandbox.check`."""
        super().check()
        _log.warning("sandbox=none: programs written by an LLM run with your rights; they can delete your files.")

    def _isolation(self) -> IsolationPolicy:
        return IsolationPolicy(confined=False)

    def _require_support(self) -> None:
        super()._require_support()
        if self.i_accept_untrusted_code is not True:
            raise SandboxError(
                "sandbox=none lets programs written by an LLM run with your rights; use sandbox=seccomp, or accept it "
                "with sandbox.i_accept_untrusted_code=true."
            )


def _require_name(name: str, expected: str) -> None:
    # The record names the mode by this name, so a configuration must not be able to set another one.
    if name != expected:
        raise ConfigError(f"sandbox.name is {name!r}; expected {expected!r}, the name of this mode.")
