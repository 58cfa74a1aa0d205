"""What every sandbox promises: run each program on each row, and say what became of every row.

A program can spoil its own votes and nothing else: not another program's votes, not a file, not the run. How far that
holds depends on the mode; `modes` says which walls each of them has.
"""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import Final

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import read_only
from alchemist_exp.sandbox.inputs import Inputs, TextInputs
from alchemist_exp.sandbox.worker import IMPORTED_BY_INTERPRETER

_MOST: Final = 1e9
"""Of any limit: more is a slip, or infinite, and timers and the record know no infinity."""

VERSION: Final = 3
"""Raise it when a change to the sandbox can alter votes; it is part of every cache key."""

Progress = Callable[[int], None]
"""Told how many (program, row) pairs were finished since it was last told."""


class Outcome(StrEnum):
    """What became of one row under one program."""

    VOTE = "vote"
    ABSTAIN = "abstain"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    BAD_TYPE = "bad_type"
    OUT_OF_RANGE = "out_of_range"
    CRASH = "crash"
    """The worker's process ended in the middle of this row."""
    VIOLATION = "violation"
    """Void: the program made a forbidden system call, on this row or another."""
    NOT_RUN = "not_run"
    INVALID_OUTPUT = "invalid_output"
    """Void: the program tampered with the memory its votes are kept in."""


class ProgramStatus(StrEnum):
    """What became of one program."""

    OK = "ok"
    LOAD_ERROR = "load_error"
    """It could not be loaded, so no row was run."""
    VIOLATION = "violation"
    """It made a forbidden system call; all its votes are void."""
    QUARANTINED = "quarantined"
    """Too many rows ran out of time, or too many workers ended; the votes up to there stand."""
    WALL_LIMIT = "wall_limit"
    """It ran too long; the votes up to there stand."""
    INVALID_OUTPUT = "invalid_output"
    """It tampered with the memory its votes are kept in; all its votes are void."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramRun:
    """What one program answered over n texts.

    votes: int8 (n,), a class or `ABSTAIN` where there is no valid vote; read-only.
    outcomes: rows by outcome; they sum to n.
    messages: the first message of each kind; written by the program, so hostile as a prompt, but free of control codes.
    detail: why the status is not ok, in a sentence; empty when it is.
    restarts: workers started anew after one ended in the middle of a row.
    cpu_seconds: user and system time of all the program's workers, without the loading of modules that they share.
    nondeterministic: whether some rows were not answered alike when they were given in reverse order to a fresh worker.
    repeatable: whether all of it is the program's own doing; what else ends a worker may be the machine's.
    """

    votes: npt.NDArray[np.int8]
    status: ProgramStatus
    outcomes: dict[Outcome, int]
    messages: dict[Outcome, str]
    detail: str
    restarts: int
    cpu_seconds: float | None
    nondeterministic: bool = False
    repeatable: bool = True

    def __post_init__(self) -> None:
        votes = read_only(self.votes, np.int8)
        if votes.ndim != 1 or sum(self.outcomes.values()) != len(votes):
            raise ValueError(
                f"votes {votes.shape} and outcomes {self.outcomes} do not fit; (n,) and a sum of n are needed"
            )
        object.__setattr__(self, "votes", votes)


@dataclass(kw_only=True)
class Sandbox(Component, ABC):
    """Limits on programs, and a way to run them. The YAML files in conf/sandbox hold the values and explain each."""

    call_cpu_s: float = MISSING
    init_cpu_s: float = MISSING
    stall_s: float = MISSING
    program_wall_s: float = MISSING
    memory_mb: int = MISSING
    max_timeouts: int = MISSING
    max_restarts: int = MISSING
    max_source_bytes: int = MISSING
    chunk_rows: int = MISSING
    chunk_mb: int = MISSING
    zygote: bool = MISSING
    determinism_rows: int = MISSING
    workers: int | None = MISSING
    allowed_modules: list[str] = MISSING
    extra_modules: list[str] = MISSING

    def __post_init__(self) -> None:
        # Below these floors a limit would be about the clock's grain or the interpreter's size, not about the program.
        self._require_at_least("call_cpu_s", 0.05)
        self._require_at_least("init_cpu_s", 0.05)
        self._require_at_least("program_wall_s", 1.0)
        self._require_at_least("memory_mb", 64)
        self._require_at_least("max_timeouts", 1)
        self._require_at_least("max_restarts", 0)
        self._require_at_least("max_source_bytes", 1)
        self._require_at_least("chunk_rows", 1)
        self._require_at_least("chunk_mb", 1)
        self._require_at_least("determinism_rows", 0)
        # A row is timed out after at most 1.25 call_cpu_s of CPU; the watchdog must not be quicker on a busy machine.
        self._require_at_least("stall_s", 2 * self.call_cpu_s, "twice sandbox.call_cpu_s")
        if not isinstance(self.zygote, bool):
            raise ConfigError(f"sandbox.zygote is {self.zygote!r}; true or false is needed.")
        if self.workers is not None:
            self._require_at_least("workers", 1)
        self._require_modules()

    @abstractmethod
    def check(self) -> None:
        """Run a trivial program for real. Raises SandboxError, with the cure, where that cannot be done safely."""

    @abstractmethod
    def execute(
        self,
        sources: Sequence[str],
        inputs: Sequence[str] | Inputs,
        n_classes: int,
        *,
        on_progress: Progress | None = None,
    ) -> list[ProgramRun]:
        """Run every program on every row; one result per source, in their order.

        inputs: texts, or what `inputs` makes of texts, score vectors or images.

        A program's own faults end in its result. Raises SandboxError when workers cannot be started or confined, and
        ValueError when `n_classes` is not in 1..MAX_CLASSES. `on_progress` is called from the calling thread.
        """

    def cache_key(self, inputs: type[Inputs] = TextInputs) -> dict[str, object]:
        """All that can alter votes on such inputs, as JSON. Not `workers` and `zygote`: programs share nothing."""
        return {
            "version": VERSION,
            "mode": self.effective,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "call_cpu_s": self.call_cpu_s,
            "init_cpu_s": self.init_cpu_s,
            "stall_s": self.stall_s,
            "program_wall_s": self.program_wall_s,
            "memory_mb": self.memory_mb,
            "max_timeouts": self.max_timeouts,
            "max_restarts": self.max_restarts,
            "max_source_bytes": self.max_source_bytes,
            "chunk_rows": self.chunk_rows,
            "chunk_mb": self.chunk_mb,
            "determinism_rows": self.determinism_rows,
            "allowed_modules": sorted(self.allowed_modules),
            "extra_modules": {name: _version_of(name) for name in sorted({*self.extra_modules, *inputs.modules})},
        }

    @property
    def importable(self) -> tuple[str, ...]:
        """The modules that a program may import."""
        return (*self.allowed_modules, *self.extra_modules, *IMPORTED_BY_INTERPRETER)

    @property
    def effective(self) -> str:
        """The mode that programs are really run in; stamped on results."""
        return self.name

    @property
    def n_workers(self) -> int:
        """Programs run at once: `workers`, or the cores given to this job when that is null."""
        return self.workers if self.workers is not None else _cores_given()

    def _require_at_least(self, key: str, least: float, why: str = "") -> None:
        value = getattr(self, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= _MOST:
            lowest = f"{least:g} ({why})" if why else f"{least:g}"
            raise ConfigError(f"sandbox.{key} is {value!r}; a number from {lowest} to {_MOST:g} is needed.")

    def _require_modules(self) -> None:
        for key in ("allowed_modules", "extra_modules"):
            names = getattr(self, key)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ConfigError(f"sandbox.{key} is {names!r}; a list of module names is needed.")
            for name in names:
                if not all(part.isidentifier() for part in name.split(".")):
                    raise ConfigError(f"sandbox.{key} has {name!r}; a module's name such as 're' is needed.")
        for name in self.allowed_modules:
            if name.split(".")[0] not in sys.stdlib_module_names:
                raise ConfigError(
                    f"sandbox.allowed_modules has {name!r}, which is not in the standard library; "
                    "if you trust that package, put it in sandbox.extra_modules."
                )


def _cores_given() -> int:
    """Cores this process may use, and no more than Slurm gave to the task."""
    cores = len(os.sched_getaffinity(0))
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(slurm)) if slurm.isdecimal() and int(slurm) > 0 else cores


def _version_of(module: str) -> str | None:
    """Version of the package a module comes from; None when it carries none (standard library, loose file)."""
    try:
        return metadata.version(module.split(".")[0])
    except metadata.PackageNotFoundError:
        return None
