"""`alchemist cancel`: ends the submitted jobs of a sweep."""

from alchemist_exp.cli.arguments import as_command
from alchemist_exp.cli.wait import parse
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.submissions import active_states

DESCRIPTION = """\
End the jobs that alchemist submit, or alchemist run with the launcher slurm, has given to Slurm.

  alchemist cancel                        the jobs of the last sweep
  alchemist cancel 2026-01-31_12-00-00-0  those of another one, as alchemist submit has named it
  alchemist cancel --outputs DIR          those of another directory of outputs

Finished runs are kept. The same alchemist submit submits the other jobs again.
"""


@as_command
def main() -> int:
    """Run `alchemist cancel` with the arguments in sys.argv.

    Returns:
        The exit code.

    """
    outputs, submissions = parse("alchemist cancel", DESCRIPTION)
    names = {submission.name for submission in submissions}
    left = [state for state in active_states(outputs) if state.submission.name in names]
    slurm.cancel(sorted({state.submission.job_id for state in left}))
    print(f"{len(left):,} job{'s were' if len(left) != 1 else ' was'} cancelled" if left else "no job was in the queue")
    return 0
