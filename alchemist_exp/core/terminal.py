"""Makes text from other sources safe to print on a terminal, or to open in a spreadsheet.

Only control characters are handled: the words may still be meant to mislead a person or an LLM.
"""

import re
import unicodedata
from typing import Final

MESSAGE_CHARS: Final = 300
"""Longest text of others that a message quotes."""

_ANSI_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")

_UNUSABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?|-")


def sanitize(text: str) -> str:
    r"""Shorten a text to one line without terminal sequences and unprintable characters.

    Args:
        text: Any text, such as a program's exception message.

    Returns:
        At most `MESSAGE_CHARS` characters, each run of whitespace replaced by one space.

    Example:
        >>> sanitize("\x1b[31mred\x1b[0m\nand   more")
        'red and more'

    """
    printable = "".join(
        # Unicode categories C (control, format, surrogate, unassigned) and Z (separators).
        " " if unicodedata.category(character)[0] in "CZ" else character
        for character in _ANSI_SEQUENCE.sub("", text)
    )
    return " ".join(printable.split())[:MESSAGE_CHARS].rstrip()


def escape_controls(text: str) -> str:
    r"""Replace characters that cannot be printed, or change the direction of writing, by their escapes.

    Args:
        text: Any text, of any length and number of lines.

    Returns:
        The text; newlines, tabs and spaces of any width are unchanged, "\r\n" becomes "\n".

    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) == "Zs" or character.isprintable()
        else ascii(character)[1:-1]
        for character in text.replace("\r\n", "\n")
    )


def single_line(text: str) -> str:
    r"""Escape newlines and tabs too, so that a quoted text cannot imitate a line of this program.

    Args:
        text: Any text.

    Returns:
        The text on one line, see `escape_controls`.

    Example:
        >>> print(single_line("first\nsecond"))
        first\nsecond

    """
    return escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")


def is_writable(text: str) -> bool:
    r"""Return whether a text can be a name in files and on terminals.

    Args:
        text: Any text.

    Returns:
        Whether it has no control characters except newlines and tabs, no embeddings, overrides or isolates of the
        direction of writing, and no lone surrogates, which UTF-8 cannot encode.

    Example:
        >>> is_writable("spam"), is_writable("\x1b[2J"), is_writable("\ud800")
        (True, False, False)

    """
    return _UNUSABLE.search(text) is None


def without_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula.

    Args:
        text: A cell of a CSV file.

    Returns:
        The text; one that begins with =, +, -, @, a tab or a carriage return, and is no number, begins with '.

    Example:
        >>> without_formula("=1+1"), without_formula("-1"), without_formula("spam")
        ("'=1+1", '-1', 'spam')

    """
    if text[:1] not in _FORMULA_STARTS or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"
