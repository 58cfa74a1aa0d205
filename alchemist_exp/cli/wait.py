"""`alchemist wait`: waits until the submitted jobs of a sweep have ended, and prints what came of them."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.exit_codes import print_error
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.slurm import SlurmError
from alchemist_exp.sweeps.status import MISSING, StatusLine, status, status_rows
from alchemist_exp.sweeps.submissions import Submission, active_states, read_submissions

DESCRIPTION = """\
Wait until the jobs that alchemist submit has given to Slurm have ended, and print their runs.

  alchemist wait                        the jobs of the last sweep
  alchemist wait 2026-01-31_12-00-00-0  those of another one, as alchemist submit has named it
  alchemist wait --outputs DIR          those of another directory of outputs

The exit code is 0 when all runs are done, else 1. Ctrl-C ends the waiting; the jobs go on.
"""

_POLL_S = 5


@as_command
def main() -> int:
    """Run `alchemist wait` with the arguments in sys.argv.

    Returns:
        The exit code.

    """
    outputs, submissions = parse("alchemist wait", DESCRIPTION)
    names = {submission.name for submission in submissions}
    shown = ""
    while True:
        try:
            left = [state for state in active_states(outputs) if state.submission.name in names]
        except SlurmError as error:
            text = f"{error} Waiting goes on."
        else:
            if not left:
                break
            pending = sum(state.job is not None and state.job.state == "PENDING" for state in left)
            text = f"{len(left) - pending:,} running, {pending:,} pending"
        if text != shown:
            print(text, file=sys.stderr, flush=True)
            shown = text
        time.sleep(_POLL_S)
    jobs = []
    for task in (task for submission in submissions for task in submission.tasks):
        overrides = tuple(without_sweep_keys(task.overrides))
        jobs.append(StatusLine(state=MISSING, key=task.run_key, name=" ".join(overrides), overrides=overrides))
    found = status(outputs, jobs)
    print("\n".join(status_rows(found, outputs)))
    for sentence in found.errors:
        print_error(sentence)
    return 0 if found.complete else 1


def parse(prog: str, description: str, arguments: Sequence[str] | None = None) -> tuple[Path, list[Submission]]:
    """Read the arguments of a command on a sweep in the queue.

    Args:
        prog: The name of the command.
        description: Its help.
        arguments: The command line; None takes it from sys.argv.

    Returns:
        The directory of outputs, and the submissions of the sweep.

    Raises:
        ConfigError: There is no such sweep.

    """
    parser = Parser(prog=prog, description=description)
    parser.add_argument("sweep", nargs="?", help="its name, or the beginning of it; the last sweep by default")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS, help="the directory of outputs")
    chosen = parser.parse_args(arguments)
    outputs = chosen.outputs.expanduser().resolve()
    submissions = read_submissions(outputs)
    if not submissions:
        raise ConfigError(f"no job of {chosen.outputs} was submitted to Slurm.")
    wanted = submissions[-1].sweep if chosen.sweep is None else chosen.sweep
    names = {submission.sweep for submission in submissions if submission.sweep.startswith(wanted)}
    if len(names) != 1:
        known = ", ".join(dict.fromkeys(submission.sweep for submission in reversed(submissions)))
        raise ConfigError(f"{'no sweep is' if not names else 'several sweeps are'} named {wanted!r}; known: {known}.")
    return outputs, [submission for submission in submissions if submission.sweep in names]
