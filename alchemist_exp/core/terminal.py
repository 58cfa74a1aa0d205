"""Texts of others, made fit for a terminal. What they say may still be meant to mislead a person or an LLM."""

import re
import unicodedata
from typing import Final

MESSAGE_CHARS: Final = 300

_ANSI_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


def sanitize(text: str) -> str:
    """`text` on one line, without terminal sequences and unprintable characters, at most MESSAGE_CHARS long."""
    printable = "".join(
        " " if unicodedata.category(character)[0] in "CZ" else character for character in _ANSI_SEQUENCE.sub("", text)
    )
    return " ".join(printable.split())[:MESSAGE_CHARS].rstrip()


def escape_controls(text: str) -> str:
    """All of `text`; what is unprintable, or turns the direction of writing, is spelled as its escape.

    Newlines, tabs and spaces of any width stay.
    """
    return "".join(map(_spelled, text.replace("\r\n", "\n")))


def single_line(text: str) -> str:
    """As `visible`, and newlines and tabs are spelled too: what is quoted cannot pass for a line of ours."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")


def _spelled(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) == "Zs" or character.isprintable():
        return character
    return ascii(character)[1:-1]
