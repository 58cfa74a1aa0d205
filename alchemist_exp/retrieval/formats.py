"""Reads the bytes of one document into its parts, by the ending of its name.

What cannot be read raises `UnreadableError` with the reason. Nothing is guessed: a text whose encoding is neither UTF-8 nor
declared is refused, not garbled.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")


class UnreadableError(Exception):
    """A document cannot be read; the message says why, as the end of a sentence about it."""


@dataclass(frozen=True)
class Part:
    """A stretch of a document that no passage crosses.

    place: what a person looks for, as "page 3"; "" when the document has no places. line: the number of its first
    line, from 1; 0 when lines mean nothing in this kind of document.
    """

    text: str
    place: str = ""
    line: int = 0


def read_text(raw: bytes) -> list[Part]:
    """Plain text: one part, found again by its lines."""
    return [Part(_decoded(raw), line=1)]


def read_markdown(raw: bytes) -> list[Part]:
    """One part per heading with what follows it; headings without a text of their own go with the next."""
    lines = _decoded(raw).split("\n")
    starts = [0]
    has_body = False
    for number, (line, is_heading) in enumerate(zip(lines, _headings(lines), strict=True)):
        if is_heading and has_body:
            starts.append(number)
            has_body = False
        has_body |= bool(line.strip()) and not is_heading
    ends = [*starts[1:], len(lines)]
    return [Part("\n".join(lines[a:b]), line=a + 1) for a, b in zip(starts, ends, strict=True)]


def _headings(lines: list[str]) -> Iterator[bool]:
    """Per line whether it is a heading or the underline of one; a fenced block has none."""
    fence = ""
    underlined = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if mark := _FENCE.match(line):
            fence = mark[1] if not fence else "" if mark[1] == fence else fence
        if fence or mark:
            underlined = False
            yield False
            continue
        is_underline, underlined = underlined, bool(line.strip() and _UNDERLINE.match(following)) and not underlined
        yield is_underline or underlined or bool(_HEADING.match(line))


def _decoded(raw: bytes, encoding: str = "utf-8-sig") -> str:
    """The text, a space for every control character. UnreadableError when it is no text."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise UnreadableError(f"it has a NUL at character {text.index(chr(0))} and is no text; save it as UTF-8")
    return printable(text)


def printable(text: str) -> str:
    """`text` with one kind of line end; what cannot be printed becomes a space."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True)
class Format:
    """How a kind of document is read, and the package that it needs (import name), "" for none."""

    read: Callable[[bytes], list[Part]]
    package: str = ""


FORMATS = {
    ".txt": Format(read_text),
    ".md": Format(read_markdown),
}
"""By the ending of the file's name, in lower case."""
