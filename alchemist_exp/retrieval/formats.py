"""Readers of document formats: the bytes of one document become its sections.

A document that cannot be read raises `UnreadableError` with the reason. No encoding is guessed: a text that is not
UTF-8 and does not declare its encoding is refused. Time and memory are limited in `reader`.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from alchemist_exp.core.terminal import sanitize

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_MARKDOWN = re.compile(
    r"^ {0,3}(?P<fence>```|~~~)(?:.*\n)*?(?: {0,3}(?P=fence)|.*\Z)"  # a fenced block contains no heading
    r"|^(?P<heading> {0,3}#{1,6}(?:[ \t].*)?(?:\n {0,3}(?:=+|-+)[ \t]*)?|(?=.*\S).*+\n {0,3}(?:=+|-+)[ \t]*)$",
    re.MULTILINE,
)

_PAGE_ENCODINGS = re.compile(r"(iso-?8859|latin|windows|cp125|koi8|gb|big5|shift_jis|euc)[\w-]*$", re.IGNORECASE)
"""The encodings that a page may declare; Python's other codecs are not encodings of pages, and some are slow."""

_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|br|button|cite|code|data|del|dfn|em|font|i|img|input|ins|kbd|label|mark|nobr|output|"
    "q|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|td|th|time|tt|u|var|wbr"
)
"""HTML elements inside a line; a paragraph ends before and after every other element."""

_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


class UnreadableError(Exception):
    """A document cannot be read; the message is the end of a sentence about it."""


@dataclass(frozen=True)
class Section:
    """A part of a document that no passage crosses.

    Attributes:
        text: Printable text whose lines end at newlines.
        place: Where a person finds it, such as "page 3"; "" if the format has no places.
        line: The number of its first line, from 1; 0 if the format has no lines.

    """

    text: str
    place: str = ""
    line: int = 0


def read_text(raw: bytes) -> list[Section]:
    """Return plain text as one section with line numbers.

    Raises:
        UnreadableError: The bytes are not text.

    """
    return [Section(_decode(raw), line=1)]


def read_markdown(raw: bytes) -> list[Section]:
    """Split Markdown before its headings.

    Args:
        raw: The document's bytes.

    Returns:
        One section per heading and the text below it. Headings without text between them are in one section.

    Raises:
        UnreadableError: The bytes are not text.

    """
    text = _decode(raw)
    starts, end = [0], 0
    for match in _MARKDOWN.finditer(text):
        if match["heading"]:
            if text[end : match.start()].strip():
                starts.append(match.start())
            end = match.end()
    sections, line = [], 1
    for start, stop in zip(starts, [*starts[1:], len(text) + 1], strict=True):
        sections.append(Section(text[start : stop - 1], line=line))
        line += text.count("\n", start, stop)
    return sections


def read_html(raw: bytes) -> list[Section]:
    """Return the visible text of a page; hidden elements, scripts and styles are not visible.

    Args:
        raw: The page, in UTF-8 or the encoding that it declares.

    Returns:
        One section per heading and the text below it. Headings without text between them are in one section, whose
        place is the last of them.

    Raises:
        UnreadableError: The bytes are not text, or the parser rejects them.

    """
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        soup = BeautifulSoup(_decode(raw, declared=_declared_encoding), "html.parser")
    except ParserRejectedMarkup as error:
        raise UnreadableError(f"it is not HTML ({sanitize(str(error.__context__))})") from error
    hidden = []
    for tag in soup.find_all(True):
        style = str(tag.get("style", ""))
        if tag.name in ("template", "noscript") or tag.has_attr("hidden") or _INVISIBLE.search(style):
            hidden.append(tag)
        elif tag.name in ("td", "th", "br"):
            tag.insert(0, " ")
    # The innermost first: to take out a tag costs as many steps as its last descendants are deep.
    for tag in reversed(hidden):
        tag.extract()
    titles: list[list[str]] = [[]]
    texts: list[list[str]] = [[]]
    paragraph, has_body = None, False
    for string in soup.strings:
        text = re.sub(r"\s+", " ", string)
        element = string.parent
        if element is not None and element.name == "br":
            text = "\n"
        while element is not None and _INLINE.fullmatch(element.name):
            element = element.parent
        is_heading = element is not None and re.fullmatch("h[1-6]", element.name)
        if element is not paragraph:
            paragraph = element
            if is_heading and has_body:
                titles.append([])
                texts.append([])
                has_body = False
            if is_heading:
                titles[-1] = []
            texts[-1].append("\n\n")
        texts[-1].append(text)
        if is_heading:
            titles[-1].append(text)
        else:
            has_body |= not text.isspace()
    names = [sanitize("".join(title))[:80] for title in titles]
    return [
        Section(to_printable("".join(pieces)), place=f"section {name!r}" if name else "")
        for name, pieces in zip(names, texts, strict=True)
    ]


def _declared_encoding(raw: bytes) -> str:
    """Return the encoding that a page declares, "utf-8" if it declares none that pages have."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(raw, is_html=True) or ""
    try:
        name = codecs.lookup(declared).name if _PAGE_ENCODINGS.match(declared) else "utf-8"
    except LookupError:
        return "utf-8"
    return "cp1252" if name == "iso8859-1" else name  # as browsers read it


def read_pdf(raw: bytes) -> list[Section]:
    """Read the text of a PDF; there is no text recognition, so scanned pages are empty.

    Args:
        raw: The document's bytes.

    Returns:
        One section per page, empty pages included.

    Raises:
        UnreadableError: The document is encrypted or broken, or unpacks to too much.

    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    place = "its start"
    sections: list[Section] = []
    try:
        for number, page in enumerate(PdfReader(io.BytesIO(raw)).pages, start=1):
            place = f"page {number}"
            sections.append(Section(to_printable(page.extract_text()), place=place))
    except (DependencyError, FileNotDecryptedError) as error:
        raise UnreadableError("it is encrypted; save it without a password") from error
    except MemoryError:
        raise
    except Exception as error:  # pypdf documents that a broken file may raise any exception
        raise UnreadableError(f"it is broken at {place} ({sanitize(str(error)) or type(error).__name__})") from error
    return sections


def read_csv(raw: bytes) -> list[Section]:
    """Read a table with a header; columns are separated by commas, or by semicolons if the header has no comma.

    Args:
        raw: The document's bytes.

    Returns:
        One section per row that is not empty: "column: value; column: value".

    Raises:
        UnreadableError: The bytes are not text, or a quote is not closed.

    """
    text = _decode(raw)
    header = text.partition("\n")[0]
    return _read_rows(text, ";" if ";" in header and "," not in header else ",")


def read_tsv(raw: bytes) -> list[Section]:
    """Read a table as `read_csv` does, with tabs between the columns.

    Raises:
        UnreadableError: The bytes are not text, or a quote is not closed.

    """
    return _read_rows(_decode(raw), "\t")


def _read_rows(text: str, separator: str) -> list[Section]:
    csv.field_size_limit(2**31 - 1)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [" ".join(name.split()) for name in next(rows, [])]
        texts = []
        for row in rows:
            names = [name or f"column {i}" for i, name in enumerate([*header, *[""] * len(row)], start=1)]
            values = [" ".join(value.split()) for value in row]
            texts.append("; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=False) if value))
    except csv.Error as error:
        raise UnreadableError(f"line {rows.line_num} is broken ({error}); double a quote inside a value") from error
    return [Section(text, place=f"row {number}") for number, text in enumerate(texts, start=1) if text]


def _decode(raw: bytes, declared: Callable[[bytes], str] = lambda raw: "utf-8") -> str:
    """Return the text of `raw` by its byte order mark, in UTF-8, or in the declared encoding."""
    marked = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = raw.decode(marked)
    except UnicodeDecodeError as error:
        try:
            text = raw.decode(declared(raw))
        except UnicodeDecodeError:
            raise UnreadableError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise UnreadableError(f"it has a NUL at character {text.index(chr(0))} and is not text; save it as UTF-8")
    return to_printable(text)


def to_printable(text: str) -> str:
    r"""Return `text` with \n as its only line end and a space for each character that cannot be printed."""
    return _UNPRINTABLE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True)
class DocumentFormat:
    """How a kind of document is read.

    Attributes:
        read: Returns the sections of a document's bytes; raises UnreadableError.
        package: The import name of the package that `read` needs, "" for none.

    """

    read: Callable[[bytes], list[Section]]
    package: str = ""


FORMATS = {
    ".txt": DocumentFormat(read_text),
    ".md": DocumentFormat(read_markdown),
    ".html": DocumentFormat(read_html, "bs4"),
    ".htm": DocumentFormat(read_html, "bs4"),
    ".pdf": DocumentFormat(read_pdf, "pypdf"),
    ".csv": DocumentFormat(read_csv),
    ".tsv": DocumentFormat(read_tsv),
}
"""The formats by the file name's extension, in lower case."""
