"""Weights & Biases: one run per job on every launcher, closed in all cases, offline unless told otherwise.

Secrets: the configuration it is given holds none, and code, git remotes, console output and command line are not sent.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker

_FOLDERS = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")


class Mode(StrEnum):
    """Where W&B keeps a run. auto: online when WANDB_API_KEY is set, else offline."""

    auto = "auto"
    offline = "offline"
    online = "online"


class _Run:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def log_summary(self, values: Mapping[str, Cell]) -> None:
        self._run.summary.update(dict(values))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})


@component("logger", "wandb")
@dataclass(kw_only=True)
class WandbLogger(Logger):
    """A W&B run per job."""

    mode: Mode = MISSING
    project: str = MISSING
    entity: str | None = MISSING

    def check(self) -> None:
        """ConfigError when online is asked for and no key is there."""
        if self.mode is Mode.online and not os.environ.get("WANDB_API_KEY"):
            raise ConfigError(
                "logger.mode=online needs the environment variable WANDB_API_KEY; set it, or use offline."
            )

    @property
    def effective_mode(self) -> Literal["online", "offline"]:
        """Where this run is kept."""
        if self.mode is Mode.auto:
            return "online" if os.environ.get("WANDB_API_KEY") else "offline"
        return "online" if self.mode is Mode.online else "offline"

    @contextmanager
    def open(self, run: RunInfo) -> Iterator[Tracker]:
        """A W&B run in the run's folder; marked failed when the job fails."""
        import wandb

        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_meta=True
        )
        with _kept_in(run.directory / "wandb"):
            try:
                opened = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    name=run.key,
                    dir=str(run.directory),
                    mode=self.effective_mode,
                    config=dict(run.config),
                    tags=list(run.tags),
                    reinit="create_new",
                    settings=settings,
                )
            except wandb.Error as error:
                raise ConfigError(
                    f"W&B cannot begin a run ({' '.join(str(error).split())[:300]}); set a right WANDB_API_KEY, "
                    "or use logger.mode=offline."
                ) from error
            exit_code = 1
            try:
                yield _Run(opened)
                exit_code = 0
            finally:
                opened.finish(exit_code=exit_code)


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Keeps W&B's caches and logs in `folder` too, not in the home directory, unless the user has said where."""
    ours = {name: str(folder) for name in _FOLDERS if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
