"""What the commands that run Hydra share: plugins are registered first, and an error is one sentence.

A full traceback appears with debug=trace only.
"""

import argparse
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Never

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from alchemist_exp import config
from alchemist_exp.config_errors import sentence
from alchemist_exp.config_keys import known_keys
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.exit_codes import clean_exit, exit_without_reader, print_error
from alchemist_exp.sweeps.overrides import checked_overrides

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
            config.register(option_parser().parse_known_args()[0].config_dir)
            main()

    return wrapped


def option_parser() -> argparse.ArgumentParser:
    """Return the parser that Hydra itself will use, so that options are read in every spelling that it accepts."""

    def refuse(message: str) -> Never:
        """Raise ConfigError, where argparse would print the usage and end the process."""
        raise ConfigError(f"{message}; see --help.")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """Check the arguments of Hydra, and bring them into the form that it accepts.

    Args:
        arguments: A command line such as ["seed=s0", "--config-dir", "mine", "label_model=glob(*)", "-m"].

    Returns:
        Flags and their values, then overrides, each in the given order; Hydra refuses overrides on both sides of a
        flag. sweep.file=FILE and a sweeper imply --multirun. glob(...) of a group is replaced by its members, because
        Hydra's glob also finds schemas and parts.

    Raises:
        ConfigError: An option is unknown, or an override is not one.

    """
    parser = option_parser()
    chosen, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        name = unknown[0].partition("=")[0]
        if close := get_close_matches(name.lstrip("-"), known_keys("Experiment"), n=1):
            raise ConfigError(f"the option {name!r} is unknown; overrides have no dashes: write {close[0]}=...")
        raise ConfigError(unknown_name("the option", name, [o for a in parser._actions for o in a.option_strings]))
    overrides = checked_overrides(chosen.overrides)
    flags = flags_first(arguments)[: len(arguments) - len(overrides)]
    is_sweep = any(
        text.startswith(("sweep.file=", "hydra/sweeper=")) and text != "sweep.file=null" for text in overrides
    )
    return [*flags, *["--multirun"] * (is_sweep and not chosen.multirun and not chosen.cfg), *overrides]


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of Hydra with its flags before the overrides; Hydra refuses overrides on both sides.

    Args:
        arguments: A command line such as ["seed=s0", "--config-dir", "mine", "label_model=mine"].

    Returns:
        The same arguments: flags and their values, then overrides, each in the given order.

    """
    overrides = option_parser().parse_known_intermixed_args(arguments)[0].overrides
    flags, found = [], 0
    for argument in arguments:
        # Overrides keep their order, so an argument that is not the next override belongs to a flag.
        if overrides[found : found + 1] == [argument]:
            found += 1
        else:
            flags.append(argument)
    return [*flags, *overrides]


def task_overrides() -> list[str]:
    """Return the overrides of the job that Hydra has begun, as they were given: a reference ${...} in one is kept."""
    given: Any = OmegaConf.to_container(HydraConfig.get(), resolve=False)
    return [str(override) for override in given["overrides"]["task"]]


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
        if isinstance(error, BrokenPipeError) and not sweep:
            exit_without_reader()  # Hydra would print a line about any other exception
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
