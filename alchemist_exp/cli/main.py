"""The console script `alchemist`: `alchemist run [overrides]` is `python -m alchemist_exp.run [overrides]`."""

import sys

from alchemist_exp import __version__
from alchemist_exp.core.errors import unknown_name

USAGE = """\
alchemist: label datasets with programs an LLM writes, and distil small models from their votes.

  alchemist run [overrides]   run an experiment (alchemist run --help lists groups and keys)
  alchemist plan [overrides]  say what it would ask the LLM and cost; asks nothing
  alchemist status OUTPUTS    how runs stand: done, failed, running, killed, missing (alchemist status --help)
  alchemist compare OUTPUTS   tables of finished runs, the paper's beside (alchemist compare --help)
  alchemist cache COMMAND     list, show, check, delete and export cached replies (alchemist cache --help)
  alchemist programs diff A B  compare the programs, labels and scores of two runs
  alchemist --version
  alchemist --help
"""

COMMANDS = ("run", "plan", "status", "compare", "cache", "programs", "--version", "--help")


def main() -> None:
    """Hands the rest of the command line to the command that is named."""
    match sys.argv[1:]:
        case ["run", *rest]:
            from alchemist_exp.cli import run

            # Hydra reads the command line itself, and a sweep's launchers start it again from there.
            sys.argv = [f"{sys.argv[0]} run", *rest]
            run.main()
        case ["plan", *rest]:
            from alchemist_exp.cli import plan

            sys.argv = [f"{sys.argv[0]} plan", *rest]
            plan.main()
        case ["cache", *rest]:
            from alchemist_exp.cli import cache

            sys.exit(cache.main(rest))
        case ["compare", *rest]:
            from alchemist_exp.cli import compare

            sys.exit(compare.main(rest))
        case ["status", *rest]:
            from alchemist_exp.cli import status

            sys.argv = [f"{sys.argv[0]} status", *rest]
            status.main()
        case ["programs", *rest]:
            from alchemist_exp.cli import programs

            sys.exit(programs.main(rest))
        case ["--version"]:
            print(f"alchemist {__version__}")
        case [] | ["--help"] | ["-h"]:
            print(USAGE, end="")
        case [command, *_]:
            print(
                f"error: {unknown_name('the command', command, COMMANDS)}",
                file=sys.stderr,
            )
            sys.exit(1)
