"""Composes, checks, runs and records one experiment, or each of a sweep: `alchemist run [overrides]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from alchemist_exp import config
from alchemist_exp.cli.arguments import apply_command, show_command
from alchemist_exp.cli.hydra_command import exits_cleanly, hydra_arguments, option_parser, shown, task_overrides
from alchemist_exp.cli.sweep_screen import SweepScreen, sweep_name
from alchemist_exp.results.console import show
from alchemist_exp.results.progress import RichProgress

if TYPE_CHECKING:
    from alchemist_exp.pipeline.run import RunResult

HELP = """\
alchemist run: label a dataset with programs written by an LLM, and train a small model on their votes.

  alchemist run                                   run the default: YouTube spam, ten recorded programs
  alchemist run dataset=sms label_model=majority  select other members of two groups
  alchemist run -m dataset=youtube,sms seed=s0,s1 run a sweep: every combination
  alchemist run --cfg job                         print the whole configuration; conf/ explains each key

== Groups and their members (group=member) ==
{members}
== Configuration (key=value) ==
{configuration}
Also: --cfg job|hydra|all, --multirun (-m), --config-dir DIR (your own members), --hydra-help.
"""


@hydra.main(version_base="1.3", config_path=config.config_dir(), config_name="config")
def job(cfg: DictConfig) -> "RunResult":
    """Run one experiment. A single run is shown; those of a sweep have the sweep's screen.

    Args:
        cfg: The composed configuration.

    Returns:
        The result, which Hydra gives to the screen.

    """
    from alchemist_exp.pipeline.run import run

    overrides = task_overrides()
    with shown(overrides):
        config.check_interpolated_overrides(cfg, overrides)
        experiment = config.build(cfg)
        sweep = sweep_name(HydraConfig.get())
        result = run(experiment, config.to_container(cfg), overrides, RichProgress(), sweep=sweep)
        if not sweep:
            show(result.record, str(result.directory), reused=result.reused, logger=experiment.logger.name)
            print(next_steps(result.directory))
        return result


def next_steps(directory: Path) -> str:
    """Return what to do after a run, one line each.

    Args:
        directory: The run's directory.

    """
    from alchemist_exp.pipeline.artifacts import LABELS

    labels = f"in Python: pandas.read_parquet({str(directory / LABELS)!r})"
    again, new_rows = show_command(directory), apply_command(directory)
    return f"this screen again  {again}\nthe labels         {labels}\nlabel new rows     {new_rows}\n"


@exits_cleanly
def main() -> None:
    """Run the experiment or sweep of the command line in sys.argv, or print the help."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(help_text(sys.argv[1:]), end="")
        return
    sys.argv[1:] = hydra_arguments(sys.argv[1:])
    try:
        job()
    finally:
        screen, SweepScreen.current = SweepScreen.current, None
        if screen:
            screen.close()
    if screen and screen.failed:
        sys.exit(1)


def help_text(arguments: Sequence[str]) -> str:
    """Return the help of `alchemist run`.

    Hydra's own help would copy its whole store of schemas once per group, which takes two seconds.

    Args:
        arguments: The command line; its overrides are part of the configuration that is shown.

    Returns:
        The groups, their members and the configuration.

    """
    parsed, _ = option_parser().parse_known_intermixed_args(arguments)
    configuration = OmegaConf.to_yaml(config.compose(parsed.overrides, parsed.config_dir))
    return HELP.format(members=config.describe_members(), configuration=configuration)
