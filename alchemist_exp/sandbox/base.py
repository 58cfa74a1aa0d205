"""What every sandbox does: run each program on each row, and report the outcome of every row.

A program can spoil its own votes and nothing else: not another program's votes, not a file, not the run. How far that
holds depends on the mode; `modes` lists what each of them isolates.
"""

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
from alchemist_exp.core.parallel import available_cores
from alchemist_exp.core.types import read_only
from alchemist_exp.sandbox.inputs import Inputs, TextInputs
from alchemist_exp.sandbox.worker.protocol import IMPORTED_BY_INTERPRETER

_MAX_LIMIT: Final = 1e9
"""Upper bound of every limit. A larger value is a typing error, or infinity, which timers and JSON cannot hold."""

VERSION: Final = 3
"""Raise it when a change to the sandbox can alter votes; it is part of every cache key."""

ProgressCallback = Callable[[int], None]
"""Receives the number of (program, row) pairs that were finished since its last call."""


class Outcome(StrEnum):
    """The outcome of one row under one program."""

    VOTE = "vote"
    ABSTAIN = "abstain"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    BAD_TYPE = "bad_type"  # the vote is not an integer
    OUT_OF_RANGE = "out_of_range"  # the vote is not a class
    CRASH = "crash"  # the worker's process ended in the middle of this row
    VIOLATION = "violation"  # void: the program made a forbidden system call, on this row or another
    NOT_RUN = "not_run"
    INVALID_OUTPUT = "invalid_output"  # void: the program tampered with the memory that holds its votes


class ProgramStatus(StrEnum):
    """The state in which a program ended."""

    OK = "ok"
    LOAD_ERROR = "load_error"  # it could not be loaded, so no row was run
    VIOLATION = "violation"  # it made a forbidden system call; all its votes are void
    QUARANTINED = "quarantined"  # too many timeouts or early ends of workers; the votes up to there are kept
    WALL_LIMIT = "wall_limit"  # it ran too long; the votes up to there are kept
    INVALID_OUTPUT = "invalid_output"  # it tampered with the memory that holds its votes; all its votes are void


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgramRun:
    """The result of one program over n rows.

    Attributes:
        votes: int8 array of shape (n,), a class, or ABSTAIN (-1) where there is no valid vote; read-only. With
            `multi_label` int64 masks of classes (see `core.label_sets`), or ABSTAIN.
        status: State in which the program ended.
        outcomes: Number of rows by outcome; the numbers sum to n.
        messages: First message of each outcome. The program may have written it, so it may try to mislead a reader or
            an LLM, but it holds no control characters.
        detail: One sentence on why the status is not OK; empty if it is.
        restarts: Number of workers started after another one ended in the middle of a row.
        cpu_seconds: User and system time of all the program's workers in seconds, without the shared import of modules.
        wall_seconds: Wall time of all the program's workers in seconds, which sandbox.program_wall_s limits.
        lines: int32 array of shape (n,), from 1: the line at which the program ended on each row; 0 where it is not
            known; None if the program was not traced. A hostile program may report another of its lines.
        nondeterministic: Whether some votes differ when the first rows are labeled again in reverse order.
        multi_label: Whether a vote is for several classes (dataset.multi_label).
        repeatable: Whether the result depends on the program alone; False after a stall or a crash, whose cause may be
            the machine.

    Raises:
        ValueError: `votes` is not one-dimensional, or `outcomes` do not sum to its length.
    """

    votes: npt.NDArray[np.int8] | npt.NDArray[np.int64]
    status: ProgramStatus
    outcomes: dict[Outcome, int]
    messages: dict[Outcome, str]
    detail: str
    restarts: int
    cpu_seconds: float | None
    wall_seconds: float = 0.0
    lines: npt.NDArray[np.int32] | None = None
    nondeterministic: bool = False
    repeatable: bool = True
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Check the shapes and make the votes read-only."""
        votes = read_only(self.votes, np.int64 if self.multi_label else np.int8)
        if votes.ndim != 1 or sum(self.outcomes.values()) != len(votes):
            raise ValueError(
                f"votes of shape {votes.shape} do not fit outcomes {self.outcomes}; expected votes of shape (n,) and "
                "outcomes that sum to n"
            )
        object.__setattr__(self, "votes", votes)


@dataclass(kw_only=True)
class Sandbox(Component, ABC):
    r"""Limits on programs, and a way to run them. The YAML files in conf/sandbox hold the values and explain each.

    Raises:
        ConfigError: A value is missing or invalid.

    Example:
        A sandbox without isolation, for programs that are trusted:

        >>> @dataclass(kw_only=True)
        ... class TrustingSandbox(Sandbox):
        ...     def check(self):
        ...         pass
        ...
        ...     def execute(self, sources, inputs, n_classes, *, used_wall_s=None, on_progress=None):
        ...         runs = []
        ...         for source in sources:
        ...             module = {}
        ...             exec(source, module)
        ...             votes = np.array([module["label_function"](text) for text in inputs], dtype=np.int8)
        ...             outcomes = {Outcome.VOTE: len(votes)}
        ...             runs.append(ProgramRun(votes=votes, status=ProgramStatus.OK, outcomes=outcomes, messages={},
        ...                                    detail="", restarts=0, cpu_seconds=None))
        ...         return runs
        >>> limits = dict(call_cpu_s=1.0, init_cpu_s=5.0, stall_s=10.0, program_wall_s=900.0, memory_mb=1024,
        ...               max_timeouts=20, max_restarts=3, max_source_bytes=65536, chunk_rows=100000, chunk_mb=64,
        ...               zygote=True, determinism_rows=0, workers=1, allowed_modules=["re"], extra_modules=[])
        >>> program = "def label_function(text):\n    return int('free' in text)\n"
        >>> (run,) = TrustingSandbox(name="trusting", **limits).execute([program], ["free money", "see you"], 2)
        >>> run.votes
        array([1, 0], dtype=int8)
    """

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
        """Check every limit and module name."""
        # Below these values a limit would measure the clock's resolution or the interpreter's size, not the program.
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
        # A row times out after at most 1.25 call_cpu_s of CPU time. The stall limit is wall time: on a busy machine it
        # must not stop a row before its CPU time is used up.
        self._require_at_least("stall_s", 2 * self.call_cpu_s, "twice sandbox.call_cpu_s")
        if not isinstance(self.zygote, bool):
            raise ConfigError(f"sandbox.zygote is {self.zygote!r}; expected true or false.")
        if self.workers is not None:
            self._require_at_least("workers", 1)
        for key in ("allowed_modules", "extra_modules"):
            names = getattr(self, key)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ConfigError(f"sandbox.{key} is {names!r}; expected a list of module names.")
            for name in names:
                if not all(part.isidentifier() for part in name.split(".")):
                    raise ConfigError(f"sandbox.{key} contains {name!r}; expected a module name such as 're'.")
        for name in self.allowed_modules:
            if name.split(".")[0] not in sys.stdlib_module_names:
                raise ConfigError(
                    f"sandbox.allowed_modules contains {name!r}, which is not in the standard library; "
                    "if you trust that package, move it to sandbox.extra_modules."
                )

    @abstractmethod
    def check(self) -> None:
        """Run a trivial program in this mode.

        Raises:
            SandboxError: The mode does not work on this machine; the message says how to fix it.
        """

    @abstractmethod
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
        """Run every program on every row. Errors of a program are part of its result.

        Args:
            sources: Python source of each program.
            inputs: Texts, or one of the classes in `inputs` for texts, score vectors or images.
            n_classes: Number of classes, 1..MAX_CLASSES.
            used_wall_s: Seconds of `program_wall_s` that each program has used before, on other rows; None for 0.
            on_progress: Called from the calling thread with the number of rows finished since its last call.
            multi_label: Whether a program returns a list of classes, of which there are at most `MAX_SET_CLASSES`. It
                is passed only if it is true.

        Returns:
            One result per program, in the order of `sources`.

        Raises:
            SandboxError: Workers cannot be started or isolated.
            ValueError: `n_classes` is out of range.
        """

    def execute_traced(
        self, sources: Sequence[str], inputs: Sequence[str] | Inputs, n_classes: int
    ) -> list[ProgramRun]:
        """Run every program on a few rows, slower, to learn at which of its lines each program ended.

        Args:
            sources: See `execute`.
            inputs: See `execute`.
            n_classes: See `execute`.

        Returns:
            One result per program, with `lines` if the sandbox can trace.
        """
        return self.execute(sources, inputs, n_classes)

    def cache_key(self, inputs: type[Inputs] = TextInputs) -> dict[str, object]:
        """Return all that can alter votes, as JSON. `workers` and `zygote` cannot, as programs share nothing.

        Args:
            inputs: Class of the rows.

        Returns:
            Values by name.
        """
        packages: dict[str, str | None] = {}
        for name in sorted({*self.extra_modules, *inputs.modules}):
            try:
                packages[name] = metadata.version(name.split(".")[0])
            except metadata.PackageNotFoundError:  # the standard library, or a single file
                packages[name] = None
        return {
            "version": VERSION,
            "mode": self.effective_mode,
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
            "extra_modules": packages,
        }

    @property
    def importable(self) -> tuple[str, ...]:
        """The modules that a program may import."""
        return (*self.allowed_modules, *self.extra_modules, *IMPORTED_BY_INTERPRETER)

    @property
    def effective_mode(self) -> str:
        """The mode in which programs actually run; part of the record and the cache key."""
        return self.name

    @property
    def n_workers(self) -> int:
        """Number of programs run at once: `workers`, or if that is null the CPU cores available to this job."""
        return available_cores() if self.workers is None else self.workers

    def _require_at_least(self, key: str, minimum: float, reason: str = "") -> None:
        value = getattr(self, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= _MAX_LIMIT:
            lowest = f"{minimum:g} ({reason})" if reason else f"{minimum:g}"
            raise ConfigError(f"sandbox.{key} is {value!r}; expected a number from {lowest} to {_MAX_LIMIT:g}.")


def source_lines(source: str) -> list[str]:
    r"""Return the lines of a program, numbered as Python does, which does not end lines at other separators.

    Args:
        source: The program.

    Returns:
        Its lines without their ends.

    Example:
        >>> source_lines("a = 1\r\nb = 2\n")
        ['a = 1', 'b = 2', '']
    """
    return source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
