"""Extracts the program from an LLM's response.

The result is the text of one code block, or the whole response when it is nothing but code. Code is never repaired,
joined or invented.
"""

import re
from collections.abc import Iterator

from alchemist_exp.programs.types import FUNCTION

# Possessive quantifiers: backtracking would read a long line once for every length of each part.
_FENCE = re.compile(r"^ {0,3}+(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+.-]*+)[^\n`]*+$")
_PYTHON = {"python", "py", "python3", "py3", "python-3", "python3.11"}
_DEFINES = re.compile(rf"^(?:async\s+)?def\s+{FUNCTION}\b|^{FUNCTION}\s*=", re.MULTILINE)


def extract_source(response: str) -> str | None:
    """Return the source of the program in a response.

    Of several code blocks the first that defines `label_function` is taken, Python blocks before unmarked ones. When
    none does, the first block is taken, so that vetting can say what is missing. An unclosed last block counts.

    Args:
        response: The text of the response.

    Returns:
        The source, or None when the response has no code.

    """
    blocks = list(_code_blocks(response.replace("\r\n", "\n").replace("\r", "\n")))
    python = [text for language, text in blocks if language.lower() in _PYTHON]
    unmarked = [text for language, text in blocks if not language]
    for text in python + unmarked:
        if _DEFINES.search(text):
            return text
    if python or unmarked:
        return (python or unmarked)[0]
    if not blocks and _DEFINES.search(response):
        return response
    return None


def _code_blocks(response: str) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    mark, language, lines = "", "", list[str]()
    for line in response.split("\n"):
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
