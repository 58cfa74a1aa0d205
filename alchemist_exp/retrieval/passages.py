"""Split documents into passages at the ends of paragraphs and sentences. No word is lost or repeated."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.retrieval.documents import Document

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
    """A part of a document that can be found.

    Attributes:
        text: Paragraphs with one empty line between them.
        source: Where a person finds it, such as "guide.pdf, page 3" or "notes.md, line 40".

    """

    text: str
    source: str


def split_document(document: Document, passage_words: int) -> Iterator[Passage]:
    """Split a document into passages.

    Args:
        document: The document; no passage crosses the end of a section.
        passage_words: A passage has half to one and a half times as many words. The last one of a section may have
            fewer. Words are cut only if one is longer than that.

    Yields:
        The passages in order.

    Raises:
        ConfigError: `passage_words` is below 1.

    """
    if passage_words < 1:
        raise ConfigError(f"supplement.passage_words={passage_words}; expected a number of words from 1.")
    for section in document.sections:
        place, line = section.place, section.line
        for text in _join_units(_cut_into_units(section.text, passage_words), passage_words):
            body = text.lstrip()
            if section.line:
                place = f"line {line + text[: len(text) - len(body)].count(chr(10))}"
                line += text.count("\n")
            if body:
                # One space between words, one empty line between paragraphs.
                body = re.sub(r"[^\S\n]+", " ", body).replace(" \n", "\n")
                tidy = re.sub(r"\n\s*\n", "\n\n", body).strip()
                yield Passage(tidy, f"{document.name}, {place}" if place else document.name)


def _join_units(units: Iterable[tuple[str, int]], limit: int) -> Iterator[str]:
    """Join units of a text up to `limit` words; fewer than half of that are joined with the next unit."""
    pieces: list[str] = []
    n_words = 0
    for unit, size in units:
        if n_words + size > limit and 2 * n_words >= limit:
            yield "".join(pieces)
            pieces, n_words = [], 0
        pieces.append(unit)
        n_words += size
    yield "".join(pieces)


def _cut_into_units(text: str, limit: int, level: int = 0) -> Iterator[tuple[str, int]]:
    """Cut `text` at the best borders that leave at most `limit` words per unit; yield each unit and its words."""
    words = list(_COUNTED.finditer(text))
    if len(words) <= limit:
        yield text, len(words)
        return
    if level < len(_BORDERS):
        cuts = [match.end() for match in _BORDERS[level].finditer(text)]
    else:
        cuts = [words[i].start() for i in range(limit, len(words), limit)]
    for start, end in pairwise([0, *cuts, len(text)]):
        if start < end and level < len(_BORDERS):
            yield from _cut_into_units(text[start:end], limit, level + 1)
        elif start < end:
            yield text[start:end], limit
