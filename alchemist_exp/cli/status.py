"""`alchemist status`: lists the runs of an outputs directory; for a sweep also the jobs that have no run.

It reads records and tests locks. A run's key depends on its data, so a sweep's datasets are loaded; nothing is run.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.live import Live
from rich.text import Text

from alchemist_exp.cli.arguments import OUTPUTS, Parser, positive
from alchemist_exp.cli.hydra_command import exits_cleanly, option_parser
from alchemist_exp.cli.sweep import visit_jobs
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.results.layout import new_console
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.run_keys import RunKeys
from alchemist_exp.sweeps.status import MISSING, PENDING, Status, StatusLine, status, status_rows

USAGE = """\
alchemist status [OUTPUTS] [overrides]: the runs of an outputs directory and what has become of them. Runs nothing.

  alchemist status                                 every run of the directory outputs
  alchemist status elsewhere                       every run of another directory
  alchemist status +experiment=table8              the jobs of that sweep, and which of them have no run
  alchemist status -m dataset=youtube,sms          any overrides of alchemist run
  alchemist status --watch [SECONDS]               refresh (every 2 seconds) until no run is running or pending

done: finished. failed: ended by an error. interrupted: ended by Ctrl-C or SIGTERM; run it again. running: has begun,
and a process holds its lock; with the time since then and its stage. killed: has begun, and no process holds its lock;
run it again. pending: in the queue of Slurm, with Slurm's reason. missing: a job of the sweep that has no run by this
version of the program on the current data. Exit code: 0 when all are done, else 1. --outputs DIR names the directory
too, as in the other commands. In a pipe, --watch prints the table once per change. alchemist retry runs the failed,
interrupted and killed ones again.
"""

EVERY_S = 2


@exits_cleanly
def main() -> None:
    """Print the runs, or the sweep's jobs, of the command line in sys.argv; end with 1 when one is not done."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(USAGE, end="")
        return
    parser = Parser(prog="alchemist status", add_help=False)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--watch", nargs="?", const=EVERY_S, default=None)
    chosen, overrides = parser.parse_known_args(sys.argv[1:])
    every_s = chosen.watch
    if isinstance(every_s, str):
        if every_s.isdecimal():
            every_s = positive(every_s)
        else:  # the word after --watch is an override
            overrides.insert(0, every_s)
            every_s = EVERY_S
    directory = outputs_directory(chosen.outputs, overrides)
    found = status(directory)  # refuses a directory without runs before the sweep's datasets are loaded
    jobs = jobs_without_runs(overrides) if overrides else None
    if every_s is not None:
        found = _watch(directory, jobs, every_s)
    else:
        found = found if jobs is None else status(directory, jobs)
        print("\n".join(status_rows(found, directory)))
    for sentence in found.errors:
        print_error(sentence)
    if not found.complete:
        sys.stdout.flush()
        sys.exit(1)


def outputs_directory(given: Path | None, overrides: list[str]) -> Path:
    """Return the directory of outputs that a command line names.

    Args:
        given: The value of --outputs.
        overrides: The rest of the command line; the word that names the directory is removed.

    Returns:
        The directory; the default one where none is named.

    """
    for text in option_parser().parse_known_intermixed_args(overrides)[0].overrides:
        key, equals, value = text.partition("=")
        if key == "paths.outputs" or (not equals and not text.startswith("~")):
            overrides.remove(text)
            return Path(value if equals else text)
    return given or OUTPUTS


def jobs_without_runs(overrides: Sequence[str]) -> list[StatusLine]:
    """Return a line for each job of a sweep, as if it had no run.

    Args:
        overrides: The command line of a sweep.

    Returns:
        The jobs in their order.

    """
    jobs: list[StatusLine] = []
    keys = RunKeys()

    def _visit(cfg: DictConfig, task: list[str]) -> None:
        key, error = "", ""
        try:
            _, key = keys.build(cfg, task)
        except AlchemistError as refusal:
            error = str(refusal)
        task = without_sweep_keys(task)
        jobs.append(StatusLine(state=MISSING, key=key, name=" ".join(task), overrides=tuple(task), detail=error))

    visit_jobs(overrides, _visit, list_jobs=False)
    return jobs


def _watch(directory: Path, jobs: Sequence[StatusLine] | None, every_s: int) -> Status:
    """Print the table again and again until no run is running, or Ctrl-C; return the last state."""
    console = new_console()
    found, printed = status(directory, jobs), list[str]()
    with Live(console=console, auto_refresh=False) if console.is_terminal else _NoLive() as live:
        try:
            while True:
                live.update(Text("\n".join(status_rows(found, directory))), refresh=True)
                rows = status_rows(found, directory, times=False)
                if not console.is_terminal and rows != printed:
                    print("\n".join(rows), flush=True)
                printed = rows
                if not found.counts["running"] and not found.counts[PENDING]:
                    return found
                time.sleep(every_s)
                found = status(directory, jobs)
        except KeyboardInterrupt:
            return found


class _NoLive:
    """Stands for `Live` where there is no terminal."""

    def __enter__(self) -> "_NoLive":
        """Return this object, since there is nothing to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing, so that an error goes on."""

    def update(self, shown: Text, *, refresh: bool) -> None:
        """Show nothing, for a command without progress."""
