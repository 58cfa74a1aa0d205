"""Settings of a run that are no stage: seeds, use of gold labels, directories, and how a sweep is run."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError


@component("seed", "seeds")
@dataclass(kw_only=True)
class Seeds(Component):
    """The seeds of the end model; one job trains all of them."""

    values: list[int] = MISSING

    def __post_init__(self) -> None:
        """Refuse no seeds, equal ones, and numbers outside 0 to 2**32 - 1."""
        values = list(self.values)
        # torch's CPU generator uses the lowest 32 bits only: two larger seeds could be the same.
        if not values or len(set(values)) < len(values) or min(values) < 0 or max(values) >= 2**32:
            raise ConfigError(f"seed.values is {values}; expected different numbers from 0 to 2**32 - 1.")


@component("gold", "gold")
@dataclass(kw_only=True)
class Gold(Component):
    """Which gold labels the stages may use.

    Scores are computed wherever there are labels. No stage uses test labels for anything else.

    Attributes:
        use_valid: Whether stages may use the labels of train and valid.

    """

    use_valid: bool = MISSING


@component("debug", "debug")
@dataclass(kw_only=True)
class Debug(Component):
    """Help for finding errors.

    Attributes:
        trace: Whether an error is shown with a full traceback.

    """

    trace: bool = MISSING


@dataclass(kw_only=True)
class Paths:
    """Directories.

    Attributes:
        outputs: Everything that is written.
        data: Where datasets are that the package does not contain.

    """

    outputs: str = MISSING
    data: str = MISSING

    def __post_init__(self) -> None:
        """Refuse an outputs path that is empty or cannot be a directory."""
        if not self.outputs.strip():
            raise ConfigError("paths.outputs is empty; name a directory.")
        try:
            _ = self.root
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"paths.outputs is {self.outputs!r}, which cannot be a directory: {error}.") from error

    @property
    def root(self) -> Path:
        """The absolute path of everything that is written."""
        return Path(self.outputs).expanduser().resolve()

    @property
    def runs(self) -> Path:
        """One directory per run key."""
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """LLM responses, votes and features."""
        return self.root / "cache"


class OnInterrupt(StrEnum):
    """What Ctrl-C or SIGTERM of a sweep does with its jobs in the queue of Slurm.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    cancel = "cancel"
    leave = "leave"


@dataclass(kw_only=True)
class SweepSettings:
    """How the jobs of a sweep are chosen and ended; no result depends on it, and no record has it.

    Attributes:
        file: A file with the overrides of one job per line.
        skip: Combinations of overrides to leave out.
        fail_fast: Whether no further job is started after a job has failed.
        on_interrupt: What Ctrl-C or SIGTERM does with the jobs that the command has submitted to Slurm.

    """

    file: str | None = MISSING
    skip: list[str] = MISSING
    fail_fast: bool = MISSING
    on_interrupt: OnInterrupt = MISSING
