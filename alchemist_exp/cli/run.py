"""Composes, checks, runs and records one experiment, or each of a sweep: `alchemist run [overrides]`."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.cli.hydra_command import exits_cleanly, flags_first, shown
from alchemist_exp.results.console import show
from alchemist_exp.results.progress import RichProgress


@hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
def job(cfg: DictConfig) -> None:
    """Run one experiment and show its record.

    Args:
        cfg: The composed configuration.

    """
    from alchemist_exp.pipeline.run import run

    overrides = list(HydraConfig.get().overrides.task)
    with shown(overrides):
        config.check_interpolated_overrides(cfg, overrides)
        experiment = config.build(cfg)
        result = run(experiment, config.to_container(cfg), overrides, RichProgress())
        show(result.record, str(result.directory), reused=result.reused)


@exits_cleanly
def main() -> None:
    """Run the experiment or sweep of the command line in sys.argv."""
    sys.argv[1:] = flags_first(sys.argv[1:])
    job()
