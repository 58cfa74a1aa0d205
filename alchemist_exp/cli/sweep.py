"""Composes the jobs of a sweep in this process, for commands that look at jobs and run none."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Final

import hydra
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.cli.hydra_command import hydra_arguments, task_overrides
from alchemist_exp.core.errors import ConfigError

SEARCH: Final = "hydra/sweeper=optuna"


def visit_jobs(
    arguments: Sequence[str], visit: Callable[[DictConfig, list[str]], None], *, list_jobs: bool = True
) -> None:
    """Compose each job of a command line of `alchemist run`, for any launcher, also those with a finished run.

    Args:
        arguments: The command line: overrides and -m.
        visit: Is called with each job's configuration and overrides.
        list_jobs: Whether Hydra prints the number and the overrides of each job.

    Raises:
        ConfigError: The jobs are the trials of a search.

    """
    if SEARCH in arguments:
        raise ConfigError(
            f"the jobs of {SEARCH} depend on the scores of earlier ones, so they cannot be listed; leave it out, and "
            "give one value for each key."
        )

    @hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
    def _job(cfg: DictConfig) -> None:
        visit(cfg, task_overrides())

    of_launcher = ("hydra/launcher=", "hydra.launcher.")
    kept = [argument for argument in arguments if not argument.lstrip("+~").startswith(of_launcher)]
    quiet = ["~hydra.callbacks.screen", *([] if list_jobs else ["hydra/hydra_logging=disabled"])]
    if not any(argument.startswith("hydra/sweeper=") for argument in arguments):
        quiet.append("hydra.sweeper.resume=false")
    with tempfile.TemporaryDirectory() as scratch:
        sys.argv[1:] = hydra_arguments([*kept, "hydra/launcher=basic", *quiet, f"hydra.sweep.dir={scratch}"])
        _job()
