"""What the commands that run Hydra share: plugins are registered first, and an error is one sentence.

A full traceback appears with debug=trace only.
"""

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from alchemist_exp import config
from alchemist_exp.config_errors import sentence
from alchemist_exp.core.exit_codes import clean_exit, print_error

_shown: set[int] = set()
"""The ids of the errors of a sweep's jobs that have been shown."""


def exits_cleanly(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a command that composes configurations, so that an error is one sentence and has the right exit code.

    Args:
        main: The command. It reads sys.argv.

    Returns:
        The command, which first registers the components, those of --config-dir included.

    """

    @functools.wraps(main)
    def wrapped() -> None:
        """Register the components, then run the command."""
        # Without this Hydra prints an error in several lines and ends the process.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        with clean_exit(_show_once):
            # The parser that Hydra itself will use, so that --config-dir is read in every spelling that it accepts.
            config.register(get_args_parser().parse_known_args()[0].config_dir)
            config.refuse_lists_of_members(sys.argv[1:])
            main()

    return wrapped


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of Hydra with its flags before the overrides; Hydra refuses overrides on both sides.

    Args:
        arguments: A command line such as ["seed=s0", "--config-dir", "mine", "label_model=mine"].

    Returns:
        The same arguments: flags and their values, then overrides, each in the given order.

    """
    overrides = get_args_parser().parse_known_intermixed_args(arguments)[0].overrides
    flags, found = [], 0
    for argument in arguments:
        # Overrides keep their order, so an argument that is not the next override belongs to a flag.
        if overrides[found : found + 1] == [argument]:
            found += 1
        else:
            flags.append(argument)
    return [*flags, *overrides]


def _show_once(error: Exception) -> None:
    if id(error) not in _shown:
        _show(error, where="")


@contextmanager
def shown(overrides: Sequence[str]) -> Iterator[None]:
    """Show the error that stops a job. In a sweep the job is named, because the next one follows.

    Args:
        overrides: The job's overrides.

    """
    try:
        yield
    except Exception as error:
        sweep = HydraConfig.get().mode is RunMode.MULTIRUN
        _show(error, where=f"{' '.join(overrides)}: " if sweep else "")
        if not sweep:
            sys.exit(1)
        _shown.add(id(error))
        raise


def _show(error: Exception, where: str) -> None:
    if "debug=trace" in sys.argv:
        traceback.print_exception(error)
    else:
        print_error(where + sentence(error))
