"""`alchemist retry`: runs again what failed, was interrupted or killed.

The overrides are those in the records, or those of a sweep's jobs. They become the lines of a file of jobs, and
`alchemist run sweep.file=FILE` runs them.
"""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.cli import run
from alchemist_exp.cli.arguments import Parser
from alchemist_exp.cli.confirm import may_send_calls
from alchemist_exp.cli.hydra_command import exits_cleanly, flags_first, option_parser
from alchemist_exp.cli.status import jobs_without_runs, outputs_directory
from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.core.overrides import override
from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.report import SHOWN_KEY_DIGITS
from alchemist_exp.sweeps.overrides import key_of_override, without_sweep_keys
from alchemist_exp.sweeps.status import StatusLine, status

USAGE = """\
alchemist retry [OUTPUTS] [overrides] [--yes]: run again what failed, was interrupted or killed.

  alchemist retry                                  the runs of the directory outputs, by their recorded overrides
  alchemist retry elsewhere                        those of another directory
  alchemist retry -m dataset=youtube,sms           the jobs of that sweep; jobs without a run are left out
  alchemist retry +experiment=table8 --yes         do not ask before an LLM is paid

It prints the runs, and asks before it sends calls to an LLM that has to be paid. Cached responses, votes and features
are used again. hydra/launcher=NAME and hydra.launcher.KEY=VALUE choose the launcher. The exit code is that of alchemist
run: 0 when all have finished, 1 when one has failed; 0 when there is nothing to run again.
"""


@exits_cleanly
def main() -> None:
    """Print and run again the runs that the command line in sys.argv names."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    parser = Parser(prog="alchemist retry", add_help=False)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--yes", action="store_true")
    chosen, arguments = parser.parse_known_args(sys.argv[1:])
    directory = outputs_directory(chosen.outputs, arguments)
    given = option_parser().parse_known_intermixed_args(arguments)[0].overrides
    flags = flags_first(arguments)[: len(arguments) - len(given)]
    of_hydra = [text for text in given if text.lstrip("+~").startswith(("hydra.", "hydra/"))]
    of_sweep = [text for text in given if text not in of_hydra]
    found = status(directory)
    if of_sweep:
        found = status(directory, jobs_without_runs([*flags, *of_sweep]))
    for sentence in found.errors:
        print_error(sentence)
    # One directory holds a run under one key for each version of the code; the overrides are run once.
    lines = {}
    for line in found.lines:
        # The command below names the directory of outputs and chooses the jobs.
        kept = [text for text in without_sweep_keys(line.overrides) if key_of_override(text) != "paths.outputs"]
        if line.to_retry:
            lines[tuple(kept)] = replace(line, overrides=tuple(kept))
    if not lines:
        print("no run has failed, was interrupted or killed: there is nothing to run again")
        return
    _show([*lines.values()])
    # Microseconds, as in the names of the directories of sweeps.
    path = directory.resolve() / "multirun" / f"retry_{datetime.now():%Y-%m-%d_%H-%M-%S-%f}.txt"
    # A line without overrides would be no job.
    text = "".join(f"{shlex.join(overrides) or 'force=false'}\n" for overrides in lines)
    write_bytes(path, text.encode("utf-8"))
    only_flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    kept = [text for text in of_sweep if key_of_override(text) in ("sweep.fail_fast", "sweep.on_interrupt")]
    command = [*only_flags, override("sweep.file", str(path)), override("paths.outputs", str(directory)), *kept]
    if not _agreed(command, yes=chosen.yes):
        print("nothing was sent and nothing was run")
        sys.exit(1)
    sys.argv[1:] = [*command, *of_hydra]
    run.main()


def _show(lines: Sequence[StatusLine]) -> None:
    """Print what is run again."""
    counts = Counter(line.state for line in lines)
    print(f"run again: {', '.join(f'{count:,} {state}' for state, count in counts.items())}")
    for line in lines:
        reason = f"  ({line.detail})" if line.detail else ""
        shown = shlex.join(line.overrides) or "the default run"
        print(single_line(f"  {line.state:<13}{line.key[:SHOWN_KEY_DIGITS]}  {shown}{reason}"))


def _agreed(command: Sequence[str], *, yes: bool) -> bool:
    """Ask before runs that have to be paid."""
    from alchemist_exp.pipeline.experiment import Experiment
    from alchemist_exp.pipeline.plan import Plan, plan

    planned: list[tuple[Experiment, Plan]] = []

    def _visit(cfg: DictConfig, overrides: list[str]) -> None:
        experiment = config.build(cfg)
        if experiment.uses("llm") and not experiment.llm.replays:
            asked_before = frozenset[str]().union(*(earlier.asked for _, earlier in planned))
            planned.append((experiment, plan(experiment, experiment.dataset.load(), asked_before)))

    if not yes:
        visit_jobs(command, _visit, list_jobs=False)
    return may_send_calls(planned, yes=yes)
