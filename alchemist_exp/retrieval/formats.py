"""Reads the bytes of one document into its parts, by the ending of its name.

What cannot be read raises `UnreadableError` with the reason. No encoding is guessed: a text that is neither UTF-8 nor
declares what it is gets refused, not garbled. Work and memory are not bounded here but by `reader`.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from alchemist_exp.core.terminal import sanitize

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")

_HTML_ENCODING = re.compile(r"(iso-?8859|latin|windows|cp125|koi8|gb|big5|shift_jis|euc)[\w-]*$", re.IGNORECASE)
"""Encodings that a page may declare; other codecs of Python are no encodings of pages, and some are slow."""

_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|br|button|cite|code|data|del|dfn|em|font|i|img|input|ins|kbd|label|mark|nobr|output|"
    "q|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|td|th|time|tt|u|var|wbr"
)
"""Elements of HTML that stand within a line; before and after every other one a paragraph ends."""

_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


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


def read_html(raw: bytes) -> list[Part]:
    """What a browser would show, one part per heading; hidden elements, scripts and styles are no text."""
    from bs4 import BeautifulSoup, Tag
    from bs4.exceptions import ParserRejectedMarkup

    try:
        soup = BeautifulSoup(_decoded(raw, declared=_declared_encoding), "html.parser")
    except ParserRejectedMarkup as error:
        raise UnreadableError(f"it is no HTML ({sanitize(str(error.__context__))})") from error
    sections = [_Section()]
    block_of = {id(soup): id(soup)}
    hidden: set[int] = set()
    for node in soup.descendants:  # parents come before their children
        around = id(node.parent)
        if isinstance(node, Tag):
            block_of[id(node)] = block_of[around] if _INLINE.fullmatch(node.name) else id(node)
            if around in hidden or _is_hidden(node):
                hidden.add(id(node))
            elif re.fullmatch("h[1-6]", node.name):
                if sections[-1].has_body:
                    sections.append(_Section())
                sections[-1].begin(id(node))
            elif node.name in ("td", "th", "br"):
                sections[-1].pieces.append("\n" if node.name == "br" else " ")
        elif around not in hidden and type(node).__name__ == "NavigableString":  # its subclasses are not shown
            sections[-1].add(str(node), block_of[around])
    return [section.part() for section in sections]


class _Section:
    """A heading of a page and what follows it."""

    def __init__(self) -> None:
        self.heading = 0
        self.has_body = False
        self.pieces: list[str] = []
        self._title: list[str] = []
        self._block = 0

    def begin(self, heading: int) -> None:
        """The section is called as this heading, the innermost of those that follow one another."""
        self.heading, self._title = heading, []

    def add(self, text: str, block: int) -> None:
        """The next text; `block` is the element that makes its paragraph."""
        text = re.sub(r"\s+", " ", text)
        if block != self._block:
            self.pieces.append("\n\n")
            self._block = block
        self.pieces.append(text)
        if block == self.heading:
            self._title.append(text)
        else:
            self.has_body |= bool(text.strip())

    def part(self) -> Part:
        """The section's text and the name of its heading."""
        title = sanitize("".join(self._title))[:80]
        return Part(printable("".join(self.pieces)), place=f"section {title!r}" if title else "")


def _is_hidden(tag: Any) -> bool:
    return (
        tag.name in ("template", "noscript") or tag.has_attr("hidden") or bool(_INVISIBLE.search(tag.get("style", "")))
    )


def _declared_encoding(raw: bytes) -> str:
    """The encoding that a page says it has, "utf-8" when it says none that pages have."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(raw, is_html=True) or ""
    try:
        name = codecs.lookup(declared).name if _HTML_ENCODING.match(declared) else "utf-8"
    except LookupError:
        return "utf-8"
    return "cp1252" if name == "iso8859-1" else name  # what browsers take it for, and most pages mean


def read_pdf(raw: bytes) -> list[Part]:
    """One part per page, one without a text included. Scanned pages have none: nothing is recognized."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    place = "its start"
    parts: list[Part] = []
    try:
        for number, page in enumerate(PdfReader(io.BytesIO(raw)).pages, start=1):
            place = f"page {number}"
            parts.append(Part(printable(page.extract_text()), place=place))
    except (DependencyError, FileNotDecryptedError) as error:
        raise UnreadableError("it is encrypted; save it without a password") from error
    except MemoryError:
        raise
    except Exception as error:  # pypdf says that a broken file may raise anything
        raise UnreadableError(f"it is broken at {place} ({sanitize(str(error)) or type(error).__name__})") from error
    return parts


def read_csv(raw: bytes) -> list[Part]:
    """One part per row, "column: value; column: value"; the first line names the columns.

    Values are parted by commas, or by semicolons where only they give more than one column.
    """
    text = _decoded(raw)
    first = text.partition("\n")[0]
    return _records(text, ";" if ";" in first and "," not in first else ",")


def read_tsv(raw: bytes) -> list[Part]:
    """As `read_csv`, the values parted by tabs."""
    return _records(_decoded(raw), "\t")


def _records(text: str, separator: str) -> list[Part]:
    csv.field_size_limit(2**31 - 1)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [" ".join(name.split()) for name in next(rows, [])]
        records = [_record(header, row) for row in rows]
    except csv.Error as error:
        raise UnreadableError(
            f"line {rows.line_num} is broken ({error}); write a quote inside a value twice"
        ) from error
    return [Part(record, place=f"row {number}") for number, record in enumerate(records, start=1) if record]


def _record(header: list[str], row: Iterable[str]) -> str:
    """The values of a row that are not empty, each after its column's name or, beyond the header, its number."""
    named = ((header[i] if i < len(header) else "") or f"column {i + 1}" for i, _ in enumerate(row))
    return "; ".join(
        f"{name}: {' '.join(value.split())}" for name, value in zip(named, row, strict=True) if value.strip()
    )


def _decoded(raw: bytes, declared: Callable[[bytes], str] = lambda raw: "utf-8") -> str:
    """The text of `raw` by its byte order mark, in UTF-8 or as `declared` says. UnreadableError when it is none."""
    marked = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = raw.decode(marked)
    except UnicodeDecodeError as error:
        try:
            text = raw.decode(declared(raw))
        except UnicodeDecodeError:
            raise UnreadableError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise UnreadableError(f"it has a NUL at character {text.index(chr(0))} and is no text; save it as UTF-8")
    return printable(text)


def printable(text: str) -> str:
    """`text` with one kind of line end; what cannot be printed becomes a space."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True)
class Format:
    """How a kind of document is read, and the package that this needs (import name), "" for none."""

    read: Callable[[bytes], list[Part]]
    package: str = ""


FORMATS = {
    ".txt": Format(read_text),
    ".md": Format(read_markdown),
    ".html": Format(read_html, "bs4"),
    ".htm": Format(read_html, "bs4"),
    ".pdf": Format(read_pdf, "pypdf"),
    ".csv": Format(read_csv),
    ".tsv": Format(read_tsv),
}
"""By the ending of the file's name, in lower case."""
