"""`alchemist submit`: shows what the jobs of a run or sweep may cost, submits them to Slurm, and returns.

`alchemist run` with the launcher slurm does the same and waits.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.cli import run
from alchemist_exp.cli.arguments import OUTPUTS, Parser
from alchemist_exp.cli.hydra_command import exits_cleanly, flags_first, hydra_arguments, option_parser
from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.core.errors import ConfigError, MissingPackageError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.record import RunRecord, RunStatus
from alchemist_exp.results.report import SHOWN_KEY_DIGITS, usd_text
from alchemist_exp.sweeps.cluster_settings import SlurmSettings, check_resources, settings_of
from alchemist_exp.sweeps.first_job import submit_command, wait_for_job
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.run_keys import RunKeys, refuse_missing_packages
from alchemist_exp.sweeps.submissions import TaskState, active_states, read_submissions

if TYPE_CHECKING:
    from alchemist_exp.pipeline.experiment import Experiment
    from alchemist_exp.pipeline.plan import Plan

USAGE = """\
alchemist submit [overrides] [--yes] [--ask-here | --ask-first]: submit a run, or the jobs of a sweep (-m), to Slurm,
and return.

  alchemist submit dataset=sms                     one run
  alchemist submit -m dataset=youtube,sms --yes    a sweep, without a question
  alchemist submit +experiment=table8 hydra.launcher.time_min=120 hydra.launcher.partition=cpu

It prints which jobs are done, which are in the queue and which are submitted, the most that they may cost in dollars
and core hours, and asks; --yes does not ask. Jobs with a finished run and jobs in the queue are not submitted.
--ask-here makes the LLM calls of all jobs in this process first, for compute nodes without internet; the jobs use the
cached responses. --ask-first makes them in a job of Slurm, and the other jobs start when it has ended.
hydra.launcher.KEY=VALUE: the keys of conf/hydra/launcher/slurm.yaml. Afterwards: alchemist status, wait, cancel, retry.
"""

_FAILED = "nothing was submitted"

ASK_ONLY = "--ask-only"
"""Make the LLM calls of all jobs in this process and submit nothing: what the first job of --ask-first does."""

_THIS_COMMAND = (sys.executable, "-m", "alchemist_exp", "submit")


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One job of the sweep.

    Attributes:
        experiment: Its experiment.
        name: Its overrides as one text.
        key: The key of its run.
        done: Whether it has a finished run.
        queued: Its job in the queue of Slurm; None where there is none.
        plan: What it will ask the LLM; None for one that is not submitted.

    """

    experiment: "Experiment"
    name: str
    key: str
    done: bool
    queued: TaskState | None
    plan: "Plan | None"

    @property
    def state(self) -> str:
        """What becomes of the job."""
        return "done" if self.done else "in the queue" if self.queued else "to submit"


@exits_cleanly
def main() -> None:
    """Submit the jobs of the command line in sys.argv."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    parser = Parser(prog="alchemist submit", add_help=False)
    parser.add_argument("--yes", action="store_true")
    asking = parser.add_mutually_exclusive_group()
    asking.add_argument("--ask-here", action="store_true")
    asking.add_argument("--ask-first", action="store_true")
    asking.add_argument(ASK_ONLY, action="store_true")
    chosen, arguments = parser.parse_known_args(sys.argv[1:])
    command, settings = _command(arguments)
    if chosen.ask_only:
        _make_llm_calls(_planned(command, find_queued=False))
        return
    check_resources(settings)
    jobs = _planned(command)
    submitted = [job for job in jobs if job.state == "to submit"]
    _show(jobs, submitted, settings)
    if not submitted:
        print("there is nothing to submit")
        return
    if not chosen.yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"{_FAILED}: there is no terminal to ask at; add --yes.")
        question = f"Submit {len(submitted):,} job{'s' * (len(submitted) != 1)}? [y/N] "
        print(question, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print(_FAILED)
            sys.exit(1)
    outputs = jobs[0].experiment.paths.root
    if chosen.ask_here:
        _make_llm_calls(submitted)
    elif chosen.ask_first and any(map(_calls_llm, submitted)):
        asking_job = submit_command([*_THIS_COMMAND, ASK_ONLY, *arguments], settings, outputs)
        command.append(wait_for_job(asking_job, settings))
        print(f"the LLM calls are made by Slurm job {asking_job}, and the other jobs start when it has ended")
    known = {submission.name for submission in read_submissions(outputs)}
    # Without the screen, which shows results.
    sys.argv[1:] = [*command, "hydra.launcher.wait=false", "~hydra.callbacks.screen"]
    run.main()
    new = [submission for submission in read_submissions(outputs) if submission.name not in known]
    if new:
        _show_commands(arguments, outputs, new[-1].sweep)


def _command(arguments: Sequence[str]) -> tuple[list[str], SlurmSettings]:
    """Return the command line of alchemist run, and the resources of a job."""
    hydra_arguments(arguments)  # refuses unknown options, before anything is asked or submitted
    given = option_parser().parse_known_intermixed_args(arguments)[0]
    command = flags_first(arguments)
    if not given.multirun:
        command.insert(0, "-m")
    launchers = [text for text in given.overrides if text.startswith("hydra/launcher=")]
    if not launchers:
        launchers = ["hydra/launcher=slurm"]
        command += launchers
    of_launcher = [text for text in given.overrides if text.lstrip("+~").startswith("hydra.launcher.")]
    composed = config.compose([*launchers, *of_launcher], given.config_dir, with_hydra=True).hydra.launcher
    values: dict[str, Any] = {str(key): composed[key] for key in composed}
    if not str(values.pop("_target_", "")).endswith(".SlurmLauncher"):
        raise ConfigError(f"{launchers[-1]} does not submit to Slurm; use alchemist run with it.")
    return command, settings_of(SlurmSettings, values)


def _planned(command: Sequence[str], *, find_queued: bool = True) -> list[PlannedJob]:
    """Return the jobs of the sweep with what is known of their runs; refuse them if one needs a missing package.

    find_queued: whether jobs in the queue of Slurm are found; they need no plan.
    """
    from alchemist_exp.pipeline.plan import plan

    jobs: list[PlannedJob] = []
    missing: list[str] = []
    keys = RunKeys()
    queued: dict[str, TaskState] = {}

    def _visit(cfg: DictConfig, overrides: list[str]) -> None:
        try:
            experiment, key = keys.build(cfg, overrides)
        except MissingPackageError as error:
            missing.append(str(error))
            return
        if find_queued and not jobs:
            queued.update({state.task.run_key: state for state in active_states(experiment.paths.root)})
        record = RunRecord.read_current(experiment.paths.runs / key)
        done = record is not None and record.status is RunStatus.FINISHED and not experiment.runs_again_after(record)
        planned = None
        if not done and key not in queued:
            missing.extend(experiment.missing_packages())
            asked = frozenset[str]().union(*(job.plan.asked for job in jobs if job.plan))
            planned = plan(experiment, experiment.dataset.load(), asked)
        name = " ".join(without_sweep_keys(overrides))
        job = PlannedJob(experiment=experiment, name=name, key=key, done=done, queued=queued.get(key), plan=planned)
        jobs.append(job)

    visit_jobs(command, _visit, list_jobs=False)
    refuse_missing_packages(missing)
    return jobs


def _show(jobs: Sequence[PlannedJob], submitted: Sequence[PlannedJob], settings: SlurmSettings) -> None:
    """Print each job, and the most that they may cost."""
    for job in jobs:
        where = f"  (Slurm job {job.queued.job.job_id})" if job.queued and job.queued.job and not job.done else ""
        print(single_line(f"  {job.state:<14}{job.key[:SHOWN_KEY_DIGITS]}  {job.name or 'the default run'}{where}"))
    if not submitted:
        return
    paid = [job for job in submitted if job.plan and job.experiment.uses("llm") and not job.experiment.llm.replays]
    calls = sum(job.plan.max_calls for job in paid if job.plan)
    costs = [job.plan.max_usd for job in paid if job.plan]
    known = None if None in costs else sum(cost for cost in costs if cost is not None)
    limits = [] if known is None else [known]
    if paid and (budget := paid[0].experiment.budget.usd) is not None:
        limits.append(max(0.0, budget - paid[0].experiment.llm_client().spent_usd))
    dollars = usd_text(min(limits)) if limits else "an unknown amount: the price of the model is not known"
    hours = settings.cpus * settings.time_min * len(submitted) / 60
    print(f"LLM        at most {calls:,} calls, {dollars}" if calls else "LLM        no calls to pay for")
    size = f"{len(submitted):,} x {settings.cpus} cores x {settings.time_min} min"
    print(
        f"cluster    at most {hours:,.1f} core hours ({size})" + (f", {settings.gpus} GPUs each" * bool(settings.gpus))
    )
    print(f"outputs    {jobs[0].experiment.paths.root} (must be the same directory on the compute nodes)")


def _calls_llm(job: PlannedJob) -> bool:
    uses_llm = job.experiment.uses("llm") and not job.experiment.llm.replays
    return uses_llm and bool(job.plan and job.plan.max_calls)


def _make_llm_calls(jobs: Sequence[PlannedJob]) -> None:
    """Make the LLM calls of jobs in this process; the jobs find the responses in the cache."""
    from alchemist_exp.core.progress import StageProgress
    from alchemist_exp.pipeline.compatibility import check_experiment, check_with_data
    from alchemist_exp.pipeline.run import label_rows
    from alchemist_exp.pipeline.stages import make_context
    from alchemist_exp.results.progress import RichProgress

    for job in jobs:
        experiment = job.experiment
        if not _calls_llm(job):
            continue
        check_experiment(experiment)
        data = experiment.dataset.load()
        check_with_data(experiment, data.rows_with_text)
        context, _ = make_context(experiment, data.rows_with_text, StageProgress(RichProgress()))
        label_rows(experiment, context)
        print(f"the LLM calls of {single_line(job.name) or 'the run'} are made", file=sys.stderr)


def _show_commands(arguments: Sequence[str], outputs: Path, sweep: str) -> None:
    """Print the commands that follow."""
    option = [] if outputs == OUTPUTS.resolve() else ["--outputs", str(outputs)]
    same = [text for text in arguments if not text.startswith(("hydra.launcher.", "hydra/launcher="))]
    print(f"state      {shlex.join(['alchemist', 'status', *same])}")
    print(f"wait       {shlex.join(['alchemist', 'wait', sweep, *option])}")
    print(f"cancel     {shlex.join(['alchemist', 'cancel', sweep, *option])}")
    print(f"try again  {shlex.join(['alchemist', 'submit', *arguments])}")
    print(f"compare    {shlex.join(['alchemist', 'compare', str(outputs if option else OUTPUTS)])}")
