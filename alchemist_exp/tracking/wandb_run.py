"""Weights & Biases: one run per job with every launcher, closed in all cases, offline without an API key.

The id of a W&B run follows from the run key and the run's directory, so a job that begins again replaces its W&B run.
No secret is sent: the configuration contains none, and code, git remotes, console output and command line stay here.
"""

import hashlib
import io
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.tracking.base import Cell, Logger, RunInfo, Tracker

if TYPE_CHECKING:
    import pandas as pd

_MODES = ("online", "offline", "disabled")
_BAD_IN_PROJECT = "/\\#?%:"

_PER_RUN_VARIABLES = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""Of one run: two jobs with the same id would overwrite each other. `wandb agent` sets them for the run it starts."""

OFFLINE_RUNS: Final = "wandb/offline-run-*"
"""The directories of offline runs, next to the record of their run."""

MAX_START_DELAY_S: Final = 3.0
"""Seconds; the jobs of an online sweep that begin at the same time open their W&B runs within this time."""

# Where W&B caches artifacts and stages uploads; its default is the home directory.
_DIRECTORY_VARIABLES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")


class Mode(StrEnum):
    """Where W&B stores a run.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    auto = "auto"  # online when WANDB_API_KEY is set and this is no Slurm job, otherwise offline
    offline = "offline"  # files in the run's directory; `wandb sync` uploads them later
    online = "online"  # sent to the server while the run lasts


class _WandbTracker:
    def __init__(self, run: Any) -> None:
        """Log to `run`, an open W&B run."""
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
        # Compute nodes often have no internet. An agent of W&B has reached the server.
        on_compute_node = "SLURM_JOB_ID" in os.environ and not _started_by_agent()
        return "online" if os.environ.get("WANDB_API_KEY") and not on_compute_node else "offline"

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

        of_agent = _started_by_agent() and not run.group
        mode = self.effective_mode
        if mode == "online" and run.group:
            time.sleep(start_delay_s(run.key))
        # The id is the same when a job begins again, as after a requeue by a cluster: W&B then replaces what the
        # earlier attempt has logged. The directory is a part of it, so that two people with one W&B project do not
        # replace each other's runs. WANDB_RUN_ID is not used: all jobs of a sweep would share it.
        run_id = key_of("wandb_run", {"run": run.key, "directory": str(run.directory.resolve())})[:16]
        with _environment(run.directory / "wandb", keeps_ids=of_agent):
            try:
                opened = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    id=os.environ["WANDB_RUN_ID"] if of_agent else run_id,
                    name=run.name or run.key,
                    group=os.environ.get("WANDB_RUN_GROUP") or run.group or None,
                    job_type=run.job_type or None,
                    dir=str(run.directory),
                    mode=mode,  # type: ignore[arg-type]
                    config=dict(run.config),
                    tags=list(run.tags),
                    reinit="create_new",
                    settings=_settings(),
                )
            except wandb.Error as error:
                raise ConfigError(
                    f"W&B cannot start a run ({' '.join(str(error).split())[:300]}); set a valid WANDB_API_KEY, "
                    "correct logger.project and logger.entity, or use logger.mode=offline. A run that was deleted in "
                    "W&B needs another logger.project."
                ) from error
            exit_code = 1  # stays when an exception leaves the block
            try:
                yield _WandbTracker(opened)
                exit_code = 0
            finally:
                opened.finish(exit_code=exit_code)

    def log_comparison(self, directory: Path, name: str, rows: "pd.DataFrame", picture: bytes | None) -> None:
        """Log a table, and a picture, to a new W&B run.

        Args:
            directory: Where the files of the W&B run are written, under wandb/.
            name: The name of the table.
            rows: The table; its index is left out.
            picture: A PNG file; None for none.

        Raises:
            ConfigError: A setting is wrong, or W&B refuses the run.

        """
        self.check()
        import wandb

        with _environment(directory / "wandb", keeps_ids=False):
            try:
                opened = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    name=f"compare {name}",
                    job_type="compare",
                    dir=str(directory),
                    mode=self.effective_mode,  # type: ignore[arg-type]
                    reinit="create_new",
                    settings=_settings(),
                )
            except wandb.Error as error:
                raise ConfigError(
                    f"W&B cannot start a run ({' '.join(str(error).split())[:300]}); set WANDB_MODE=offline."
                ) from error
            with opened:
                cells = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
                opened.log({name: wandb.Table(columns=[*rows], data=cells, allow_mixed_types=True)})
                if picture is not None:
                    from PIL import Image

                    opened.log({"figure": wandb.Image(Image.open(io.BytesIO(picture)))})


def start_delay_s(run_key: str) -> float:
    """Return the seconds that a job of an online sweep waits before it opens its W&B run.

    Args:
        run_key: The run's key.

    Returns:
        From 0 to `MAX_START_DELAY_S`, always the same for a key.

    """
    number = int.from_bytes(hashlib.sha256(run_key.encode()).digest()[:4], "big")
    return number / 2**32 * MAX_START_DELAY_S


def offline_files(directory: Path) -> str:
    """Return the pattern of the files of offline W&B runs in a directory.

    Args:
        directory: The directory of a run, or of outputs.

    Returns:
        The pattern for `wandb sync` in a shell; "" if there are none.

    """
    return f"{shlex.quote(str(directory))}/{OFFLINE_RUNS}" if any(directory.glob(OFFLINE_RUNS)) else ""


def _settings() -> Any:
    """Return settings that send no code, git remotes, console output or command line."""
    import wandb

    # Otherwise W&B advises on standard error to install Weave, when the client of an LLM is imported.
    os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
    return wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_meta=True
    )


def _started_by_agent() -> bool:
    """Return whether `wandb agent` has started this process, and chosen the id of its run."""
    return bool(os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID"))


@contextmanager
def _environment(directory: Path, *, keeps_ids: bool) -> Iterator[None]:
    """Point W&B's caches to a directory, unless the user has set their variables, and undo that afterwards.

    Variables that name a single run are not seen by W&B, unless `keeps_ids`.
    """
    added = {name: str(directory) for name in _DIRECTORY_VARIABLES if name not in os.environ}
    hidden = () if keeps_ids else _PER_RUN_VARIABLES
    removed = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        os.environ.update(removed)
