"""Takes the program out of an LLM's reply.

Promises the text of one code block, or of the reply itself when it is nothing but code. Never repairs, never joins
blocks, never makes up code: what is not there is None.
"""

import re
from collections.abc import Iterator

from alchemist_exp.programs.types import FUNCTION

# Possessive, so that a line is read once and not once for every length of each part.
_FENCE = re.compile(r"^ {0,3}+(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+.-]*+)[^\n`]*+$")
_PYTHON = {"python", "py", "python3", "py3", "python-3", "python3.11"}
_DEFINES = re.compile(rf"^(?:async\s+)?def\s+{FUNCTION}\b|^{FUNCTION}\s*=", re.MULTILINE)


def extract_source(reply: str) -> str | None:
    """The program's source, None when the reply holds no code.

    Of several blocks the first that defines `label_function` is taken, Python blocks before unmarked ones; if none
    does, the first Python block, so that vetting can say what it lacks. A block that the reply breaks off in counts.
    """
    blocks = list(_code_blocks(reply.replace("\r\n", "\n").replace("\r", "\n")))
    python = [text for language, text in blocks if language.lower() in _PYTHON]
    unmarked = [text for language, text in blocks if not language]
    for text in python + unmarked:
        if _DEFINES.search(text):
            return text
    if python or unmarked:
        return (python or unmarked)[0]
    if not blocks and _DEFINES.search(reply):
        return reply
    return None


def _code_blocks(reply: str) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    mark, language, lines = "", "", list[str]()
    for line in reply.split("\n"):
        fence = _FENCE.match(line)
        if not mark:
            if fence:
                mark, language, lines = fence["mark"], fence["language"], []
        elif fence and fence["mark"].startswith(mark) and not fence["language"]:
            yield language, _text(lines)
            mark = ""
        else:
            lines.append(line)
    if mark and lines:
        yield language, _text(lines)


def _text(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
