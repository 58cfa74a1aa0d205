"""The console script `alchemist`: it hands the command line to the command that is named."""

import sys
from importlib import import_module

from alchemist_exp import __version__
from alchemist_exp.core.errors import unknown_name
from alchemist_exp.core.exit_codes import clean_exit, print_error

COMMANDS = {
    "label": ("FILE", "label the rows of a CSV, JSONL or Parquet file and write them as a table"),
    "apply": ("RUN [FILE]", "label new rows with a finished run: lines, or the rows of a file"),
    "export": ("RUN -o DIR", "write labels, programs and model of a run for use without Alchemist"),
    "run": ("[overrides]", "run an experiment, or a sweep (-m)"),
    "plan": ("[overrides]", "show what a run would ask the LLM and cost, without asking"),
    "show": ("[KEY]", "print a finished run again, the last one without KEY"),
    "status": ("[OUTPUTS]", "list runs: done, failed, running, killed, pending, missing"),
    "retry": ("[OUTPUTS]", "run again what failed, was interrupted or killed"),
    "submit": ("[overrides]", "submit a run, or a sweep (-m), to a Slurm cluster"),
    "wait": ("[SWEEP]", "wait until the submitted jobs of a sweep have ended"),
    "cancel": ("[SWEEP]", "end the submitted jobs of a sweep"),
    "compare": ("[OUTPUTS]", "make tables of finished runs, next to the paper's numbers"),
    "report": ("[RUN|OUTPUTS]", "write the report of a run or a sweep as one HTML file"),
    "cache": ("COMMAND", "list, show, check, delete and export cached LLM responses"),
    "clean": ("[OUTPUTS]", "list what is in a directory of outputs, with sizes, and delete parts of it"),
    "review": ("[RUN]", "write the rows of a run that are most worth labeling by hand"),
    "explain": ("RUN --row N", "show why a row has its label: votes, weights, lines of programs"),
    "worth": ("[RUN]", "tell how many hand labels give the scores of a run's distilled model"),
    "programs": ("diff | edit", "compare the programs, labels and scores of two runs; change a program"),
    "completion": ("SHELL", "print the script that completes words in bash, zsh or fish"),
}
"""Each command is the module of its name, whose `main` reads sys.argv."""

USAGE = f"""\
alchemist: label datasets with programs that an LLM writes, and distil small models from their votes.

{"".join(f"  alchemist {f'{name} {arguments}':<25}{text}{chr(10)}" for name, (arguments, text) in COMMANDS.items())}
  alchemist COMMAND --help    show the arguments of a command
  alchemist --version
"""


def main() -> None:
    """Run the command that sys.argv names; end the process with its exit code."""
    match sys.argv[1:]:
        case [command, *rest] if command in COMMANDS:
            # Hydra reads sys.argv itself, and the launchers of a sweep start processes with it.
            sys.argv = [f"{sys.argv[0]} {command}", *rest]
            with clean_exit():  # Ctrl-C during the imports of the command
                sys.exit(import_module(f"alchemist_exp.cli.{command}").main())
        case ["--version"]:
            print(f"alchemist {__version__}")
        case [] | ["--help" | "-h"]:
            print(USAGE, end="")
        case [command, *_]:
            print_error(unknown_name("the command", command, [*COMMANDS, "--version", "--help"]))
            sys.exit(1)
