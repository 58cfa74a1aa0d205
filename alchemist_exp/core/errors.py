"""Errors that the user can fix, each one sentence: the key, the value, what is valid, how to fix it.

An exception that is not an `AlchemistError` is a bug in this program.
"""

import importlib.util
from collections.abc import Iterable
from difflib import get_close_matches


class AlchemistError(Exception):
    """An error or a limit that the user can fix; shown as one sentence, without a traceback."""


class ConfigError(AlchemistError):
    """A configuration value is invalid, or two values contradict each other."""


class MissingPackageError(ConfigError):
    """A package of an optional extra is not installed."""


class DataError(AlchemistError):
    """A dataset is missing, unreadable or contradicts its description."""


class LLMError(AlchemistError):
    """An LLM call has failed and will not be retried."""


class ProgramsError(AlchemistError):
    """There are no programs, or fewer than the next stage needs."""


class SandboxError(AlchemistError):
    """Programs cannot be run safely on this machine."""


class StoreError(AlchemistError):
    """A stored file is broken, or a file could not be stored."""


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM, as a cluster sends it to a cancelled job; treated like Ctrl-C."""


class TimeLimitReached(Terminated):
    """Slurm has sent the signal that announces the time limit of the job; the run ends as after SIGTERM."""


def install_command(extra: str) -> str:
    """Return the command that installs an optional extra of this package from a checkout.

    Args:
        extra: Name of the extra in pyproject.toml, for example "minilm".

    """
    return f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"


def require_packages(what: str, extra: str, *modules: str) -> None:
    """Check that the packages of an optional extra are installed.

    Args:
        what: What needs them, for the message.
        extra: Name of the extra in pyproject.toml.
        *modules: Names of modules.

    Raises:
        MissingPackageError: One of them is not installed.

    """
    if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        raise MissingPackageError(f"{what} needs the package {missing[0]}; install it with: {install_command(extra)}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Begin the message about an unknown name: the most similar known name, then all of them.

    Args:
        kind: What the name is a name of ("dataset").
        name: The unknown name.
        known: The valid names, in any order.

    Returns:
        One or two sentences; the caller may add how to fix the error.

    Example:
        >>> unknown_name("dataset", "yotube", ["youtube", "sms"])
        "dataset 'yotube' is unknown; did you mean 'youtube'? Known: sms, youtube."

    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{kind} {name!r} is unknown{guess} Known: {', '.join(names) or 'none'}."
