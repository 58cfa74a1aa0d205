"""Splits documents into passages at the borders of paragraphs and sentences. Loses and repeats no word."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.retrieval.documents import Document
from alchemist_exp.retrieval.formats import Part

UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts written without spaces between words (Thai, Lao, kana, Han), as a range of a regular expression."""

_COUNTED = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]{{1,24}}")
"""What counts as a word: a run without spaces; every 24 characters of a longer one; two of an unspaced script."""

_BORDERS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])"),
    re.compile(r"\n"),
    re.compile(r"\s+"),
)
"""Where a text may be cut, the best place first: after paragraphs, sentences, lines, words."""


@dataclass(frozen=True)
class Passage:
    """A stretch of a document. source: where a person finds it, as "guide.pdf, page 3" or "notes.md, line 40"."""

    text: str
    source: str


def split(document: Document, passage_words: int) -> list[Passage]:
    """The passages of a document, in order.

    Each has passage_words / 2 to passage_words * 3 / 2 words; the last of a part may have fewer. Only a run of
    characters without any space that alone is longer than that is cut inside.
    """
    if passage_words < 1:
        raise ConfigError(f"passage_words is {passage_words}; a passage has 1 word or more.")
    return [passage for part in document.parts for passage in _passages(document.name, part, passage_words)]


def _passages(name: str, part: Part, limit: int) -> Iterator[Passage]:
    line = part.line
    for text in _packed(part.text, limit):
        bare = text.lstrip()
        if part.line:
            line += text[: len(text) - len(bare)].count("\n")
            place = f"line {line}"
            line += bare.count("\n")
        else:
            place = part.place
        if bare:
            yield Passage(_tidy(bare), f"{name}, {place}" if place else name)


def _tidy(text: str) -> str:
    """One space between words and one empty line between paragraphs."""
    return re.sub(r"\n\s*\n", "\n\n", re.sub(r"[^\S\n]+", " ", text).replace(" \n", "\n")).strip()


def _packed(text: str, limit: int) -> Iterator[str]:
    """Units joined up to `limit` words; half of that is too little to stand alone. Joined they are `text`."""
    pieces: list[str] = []
    words = 0
    for unit, size in _units(text, limit):
        if words + size > limit and 2 * words >= limit:
            yield "".join(pieces)
            pieces, words = [], 0
        pieces.append(unit)
        words += size
    yield "".join(pieces)


def _units(text: str, limit: int, level: int = 0) -> Iterator[tuple[str, int]]:
    """`text` cut at the best borders that leave no unit of more than `limit` words, and the words of each."""
    words = list(_COUNTED.finditer(text))
    if len(words) <= limit:
        yield text, len(words)
    elif level < len(_BORDERS):
        for piece in _cut(text, [match.end() for match in _BORDERS[level].finditer(text)]):
            yield from _units(piece, limit, level + 1)
    else:
        for piece in _cut(text, [words[i].start() for i in range(limit, len(words), limit)]):
            yield piece, limit


def _cut(text: str, at: list[int]) -> Iterator[str]:
    for start, end in zip([0, *at], [*at, len(text)], strict=True):
        if start < end:
            yield text[start:end]
