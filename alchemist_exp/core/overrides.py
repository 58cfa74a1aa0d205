"""Writes overrides of the command line, quoted for a shell and for Hydra's grammar. Needs neither of them."""

import re
import shlex
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
"""Texts that neither Hydra nor a shell reads in another way, unless they are one of _WORDS."""

_WORDS = re.compile(r"true|false|null|nan|inf", re.IGNORECASE)


def override(key: str, value: object) -> str:
    r"""Return an override for Hydra, as an item of sys.argv or of `alchemist_exp.run`.

    Args:
        key: The configuration key.
        value: A text, number, boolean, None, or a list or mapping of such values. A text may have any characters;
            `${...}` in it stays as it is.

    Returns:
        The override, not quoted for a shell.

    Example:
        >>> print(override("dataset.classes", ["ham", "not spam"]))
        dataset.classes=[ham,"not spam"]

    """
    return f"{key}={_in_grammar(value)}"


def typed(key: str, value: object) -> str:
    r"""Return an override as it must be typed in a shell.

    Args:
        key: The configuration key.
        value: See `override`.

    Returns:
        A word of a command line of bash, zsh or another POSIX shell.

    Example:
        >>> print(typed("dataset.prompt", "Label spam, or ham"))
        'dataset.prompt="Label spam, or ham"'

    """
    return shlex.quote(override(key, value))


def _in_grammar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Mapping():
            return "{" + ",".join(f"{_in_grammar(str(key))}:{_in_grammar(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_in_grammar, value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text):
        return text
    # OmegaConf reads ${ as a reference, unless an odd number of backslashes is before it.
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    # Hydra takes a backslash before a quote as an escape, so those before a quote, or at the end, are doubled.
    return '"' + re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"\\+\Z", lambda last: last[0] * 2, text)) + '"'
