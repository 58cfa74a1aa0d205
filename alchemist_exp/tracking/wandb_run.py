"""Weights & Biases: one run per job with every launcher, closed in all cases, offline without an API key.

No secret is sent: the configuration contains none, and code, git remotes, console output and command line stay here.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker

_MODES = ("online", "offline", "disabled")
_BAD_IN_PROJECT = "/\\#?%:"

_PER_RUN_VARIABLES = ("WANDB_RUN_ID", "WANDB_RESUME")
"""Of one run: two jobs with the same id would overwrite each other."""

# Where W&B caches artifacts and stages uploads; its default is the home directory.
_DIRECTORY_VARIABLES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")


class Mode(StrEnum):
    """Where W&B stores a run.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    auto = "auto"  # online when WANDB_API_KEY is set, otherwise offline
    offline = "offline"  # files in the run's directory; `wandb sync` uploads them later
    online = "online"  # sent to the server while the run lasts


class _WandbTracker:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values at the step, a chart per name."""
        self._run.log(dict(values), step=step)

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        """Add the values to the run's summary."""
        self._run.summary.update(dict(values))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Log the rows as a W&B table."""
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})


def _run_id(run: RunInfo) -> str:
    """Return the id of a W&B run: the same when a job begins again, as after a requeue by a cluster.

    W&B then replaces what the earlier attempt has logged. The directory is a part of the id, so that two people with
    one W&B project do not replace each other's runs. WANDB_RUN_ID is not used: all jobs of a sweep would share it.
    """
    return key_of("wandb_run", {"run": run.key, "directory": str(run.directory.resolve())})[:16]


@component("logger", "wandb")
@dataclass(kw_only=True)
class WandbLogger(Logger):
    """Logs each run to Weights & Biases.

    Attributes:
        mode: Where the run is stored.
        project: The W&B project, created when it does not exist.
        entity: The W&B user or team; None for the key's default.

    """

    mode: Mode = MISSING
    project: str = MISSING
    entity: str | None = MISSING

    def check(self) -> None:
        """Check the project's name, WANDB_MODE, and that an online run has an API key.

        Raises:
            ConfigError: One of them is missing or invalid.

        """
        if not self.project or len(self.project) > 128 or set(self.project) & set(_BAD_IN_PROJECT):
            raise ConfigError(
                f"logger.project is {self.project!r} (WANDB_PROJECT sets it too); expected 1 to 128 characters without "
                f"{' '.join(_BAD_IN_PROJECT)}."
            )
        mode = os.environ.get("WANDB_MODE", "")
        if self.mode is Mode.auto and mode and mode not in _MODES:
            raise ConfigError(
                f"WANDB_MODE is {mode!r}; expected {', '.join(_MODES)}; correct it, or set logger.mode=offline."
            )
        if self.effective_mode == "online" and not os.environ.get("WANDB_API_KEY"):
            key = "logger.mode=online" if self.mode is Mode.online else "WANDB_MODE=online"
            raise ConfigError(f"{key} needs the environment variable WANDB_API_KEY; set it, or use offline.")

    @property
    def effective_mode(self) -> str:
        """Where this run is stored, online, offline or disabled (nowhere), with `auto` resolved."""
        if self.mode is not Mode.auto:
            return str(self.mode)
        if mode := os.environ.get("WANDB_MODE"):
            return mode
        return "online" if os.environ.get("WANDB_API_KEY") else "offline"

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """Open a W&B run whose files are in the run's directory.

        Args:
            run: The run.

        Yields:
            A tracker; the W&B run is marked as failed when an exception leaves the block.

        Raises:
            ConfigError: W&B refuses the run, for example because the key is wrong.

        """
        import wandb

        # Otherwise W&B advises on standard error to install Weave, when the client of an LLM is imported.
        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_meta=True
        )
        with _environment_directories(run.directory / "wandb"):
            try:
                opened = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    id=_run_id(run),
                    name=run.name or run.key,
                    group=os.environ.get("WANDB_RUN_GROUP") or run.group or None,
                    job_type=run.job_type or None,
                    dir=str(run.directory),
                    mode=self.effective_mode,  # type: ignore[arg-type]
                    config=dict(run.config),
                    tags=list(run.tags),
                    reinit="create_new",
                    settings=settings,
                )
            except wandb.Error as error:
                raise ConfigError(
                    f"W&B cannot start a run ({' '.join(str(error).split())[:300]}); set a valid WANDB_API_KEY, "
                    "correct logger.project and logger.entity, or use logger.mode=offline."
                ) from error
            exit_code = 1  # stays when an exception leaves the block
            try:
                yield _WandbTracker(opened)
                exit_code = 0
            finally:
                opened.finish(exit_code=exit_code)


@contextmanager
def _environment_directories(directory: Path) -> Iterator[None]:
    """Point W&B's caches to a directory, unless the user has set their variables, and undo that afterwards.

    Variables that name a single run are not seen by W&B.
    """
    added = {name: str(directory) for name in _DIRECTORY_VARIABLES if name not in os.environ}
    removed = {name: os.environ.pop(name) for name in _PER_RUN_VARIABLES if name in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        os.environ.update(removed)
