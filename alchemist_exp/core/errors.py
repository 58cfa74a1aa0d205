"""Errors a person can mend, each one sentence: what came, what would do, the cure.

Anything raised that is not an `AlchemistError` is a fault of the program itself.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AlchemistError(Exception):
    """A mistake or a limit that the user can mend; shown as one sentence, without a traceback."""


class ConfigError(AlchemistError):
    """The configuration asks for something that cannot be."""


class DataError(AlchemistError):
    """A dataset is absent, unreadable or contradicts its description."""


class LLMError(AlchemistError):
    """A reply could not be had."""


class ProgramsError(AlchemistError):
    """There are no programs, or too few of them, to go on with."""


class SandboxError(AlchemistError):
    """Programs cannot be run safely here."""


class StoreError(AlchemistError):
    """Something stored is broken, or could not be stored."""


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM), as a cluster does at a time limit; treated as Ctrl-C is."""


def install_command(extra: str) -> str:
    """Return the command that installs an optional extra of this package from a checkout.

    Args:
        extra: Name of the extra in pyproject.toml, for example "minilm".

    """
    return f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The opening of a sentence about a name nobody knows: says what is known and the likely meaning."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{kind} {name!r} is unknown{guess} Known: {', '.join(names) or 'none'}."
