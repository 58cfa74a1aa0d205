"""Composes, checks, runs and records one experiment, or each of a sweep: `alchemist run [overrides]`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from alchemist_exp import config
from alchemist_exp.cli.arguments import apply_command, report_command, show_command
from alchemist_exp.cli.hydra_command import exits_cleanly, hydra_arguments, option_parser, shown, task_overrides
from alchemist_exp.cli.sweep_screen import SweepScreen, sweep_name
from alchemist_exp.config_checks import check_interpolated_overrides
from alchemist_exp.config_errors import sentence
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.results.console import show
from alchemist_exp.results.progress import RichProgress
from alchemist_exp.results.record import REPORT
from alchemist_exp.sweeps.fail_fast import NotStartedError, stop_jobs, stopped
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.process import prepare_process

if TYPE_CHECKING:
    from alchemist_exp.pipeline.run import RunResult

HELP = """\
alchemist run: label a dataset with programs written by an LLM, and train a small model on their votes.

  alchemist run                                   run the default: YouTube spam, ten recorded programs
  alchemist run dataset=sms label_model=majority  select other members of two groups
  alchemist run -m dataset=youtube,sms seed=s0,s1 run a sweep: every combination without a finished run
  alchemist run sweep.file=jobs.txt               run a sweep: the overrides in each line of a file
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
    hydra_config = HydraConfig.get()
    sweep, sweep_directory = sweep_name(hydra_config), Path(hydra_config.sweep.dir)
    if sweep and cfg.sweep.fail_fast and stopped(sweep_directory):
        raise NotStartedError("another job has failed, and sweep.fail_fast is true.")
    from alchemist_exp.pipeline.run import run

    in_launched_process = bool(sweep) and SweepScreen.current is None
    if in_launched_process:
        prepare_process(ends_with_parent="joblib" in str(hydra_config.launcher._target_))
    overrides = without_sweep_keys(task_overrides())
    stops_others = bool(sweep) and cfg.sweep.fail_fast
    with _errors_for_sweep(sweep_directory if stops_others else None, in_launched_process), shown(overrides):
        check_interpolated_overrides(cfg, overrides)
        experiment = config.build(cfg)
        # The bars of parallel processes would overwrite each other.
        progress = RichProgress(bars=not in_launched_process)
        result = run(experiment, config.to_container(cfg), overrides, progress, sweep=sweep)
        if not sweep:
            show(result.record, str(result.directory), reused=result.reused, logger=experiment.logger.name)
            if experiment.report and not result.reused:
                from alchemist_exp.cli.report import try_run_report

                try_run_report(result.directory)
            print(next_steps(result.directory))
        return result


@contextmanager
def _errors_for_sweep(stopped_sweep: Path | None, in_launched_process: bool) -> Iterator[None]:
    """Pass on the error of a job, after no further job of `stopped_sweep` can start."""
    try:
        yield
    except Exception as error:
        if stopped_sweep is not None:
            stop_jobs(stopped_sweep)
        if in_launched_process:
            # The process of the sweep could not unpickle every class of errors.
            raise AlchemistError(sentence(error)) from None
        raise


def next_steps(directory: Path) -> str:
    """Return what to do after a run, one line each.

    Args:
        directory: The run's directory.

    """
    from alchemist_exp.pipeline.artifacts import LABELS
    from alchemist_exp.tracking.wandb_run import offline_files

    labels = f"in Python: pandas.read_parquet({str(directory / LABELS)!r})"
    again, new_rows = show_command(directory), apply_command(directory)
    files = offline_files(directory)
    upload = f"upload to W&B      wandb sync {files}\n" if files else ""
    report = directory / REPORT
    seen = str(report) if report.exists() else report_command(directory)
    lines = {"this screen again": again, "the report": seen, "the labels": labels, "label new rows": new_rows}
    return "".join(f"{what:<19}{how}\n" for what, how in lines.items()) + upload


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
    if screen and screen.incomplete:
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
