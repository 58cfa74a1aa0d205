"""Every kind of document: what its parts are, where a person finds them, and what is refused."""

import io
import string
import sys
from contextlib import suppress

import pytest

from alchemist_exp.retrieval.formats import FORMATS, Section, UnreadableError


def sections(suffix: str, content: bytes | str) -> list[Section]:
    return FORMATS[suffix].read(content.encode() if isinstance(content, str) else content)


SAMPLES = {
    ".txt": b"winter tyres",
    ".md": b"# Tyres\n\nwinter tyres",
    ".html": b"<p>winter tyres</p>",
    ".htm": b"<p>winter tyres</p>",
    ".csv": b"item\nwinter tyres\n",
    ".tsv": b"item\tprice\nwinter tyres\t5\n",
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_its_text(suffix: str, pdf_bytes) -> None:
    raw = SAMPLES.get(suffix) or pdf_bytes("winter tyres")
    assert any("winter tyres" in section.text for section in sections(suffix, raw))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "raw", [b"", b"\0\1\2\3", b"\xff\xfe\xfa", b"\xe9t\xe9", bytes(range(256)), b"<" * 50, b'"\n"']
)
def test_every_format_reads_or_refuses_any_bytes(suffix: str, raw: bytes) -> None:
    with suppress(UnreadableError):
        read = sections(suffix, raw)
        assert all(character.isprintable() or character in "\n\t" for section in read for character in section.text)


def test_text_keeps_its_lines_whatever_ends_them() -> None:
    assert sections(".txt", b"\xef\xbb\xbfone\r\ntwo\rthree\x0cfour\x1b[31m\n") == [
        Section("one\ntwo\nthree four [31m\n", line=1)
    ]


def test_text_in_utf_16_is_read_by_its_mark() -> None:
    assert sections(".txt", "déjà vu".encode("utf-16")) == [Section("déjà vu", line=1)]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("été".encode("latin-1"), "it is not UTF-8 text (byte 0); save it as UTF-8"),
        (b"a\0b\0", "it has a NUL at character 1 and is not text; save it as UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        sections(".txt", raw)
    assert str(refused.value) == reason


def test_markdown_keeps_headings_with_their_sections() -> None:
    text = "intro\n\n# One\n## Two\nbody\n```\n# no heading\n---\n```\nTitle\n=====\nend\n- item\n"
    assert [(section.line, section.text.split("\n")[0]) for section in sections(".md", text)] == [
        (1, "intro"),
        (3, "# One"),
        (10, "Title"),
    ]
    assert "\n".join(section.text for section in sections(".md", text)) == text


def test_html_gives_what_a_browser_shows() -> None:
    page = """<!DOCTYPE html><html><head><title>Help &amp; Co</title><style>p {}</style><script>run()</script></head>
    <body><!-- note --><h1>Guide</h1><h2>Re<b>fund</b>s</h2><p>Paid in <i>t</i>en
    days.</p>after<div>one<div>two</div>three</div><p hidden>secret</p><p style="color:red; DISPLAY : none">veiled</p>
    <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>line<br>break<h2>Ship</h2>week</body></html>"""
    found = sections(".html", page)
    assert [section.place for section in found] == ["", "section 'Refunds'", "section 'Ship'"]
    assert " ".join(" ".join(section.text for section in found).split()) == (
        "Help & Co Guide Refunds Paid in ten days. after one two three a b c line break Ship week"
    )


def test_html_is_read_in_the_encoding_it_declares_and_no_other() -> None:
    page = '<meta charset="{}"><p>été</p>'
    assert "今日" in sections(".html", page.format("shift_jis").replace("été", "今日").encode("shift_jis"))[0].text
    assert "été €" in sections(".html", page.format("iso-8859-1").replace("été", "été €").encode("cp1252"))[0].text
    for name in ("", "unicode_escape", "latin-nowhere", "utf-7"):
        with pytest.raises(UnreadableError, match="not UTF-8"):
            sections(".html", page.format(name).encode("latin-1"))


def test_markup_that_the_parser_rejects_is_refused() -> None:
    with pytest.raises(UnreadableError, match="it is not HTML"):
        sections(".html", "<![\x01")


def test_html_may_nest_deeper_than_python_calls() -> None:
    depth = 5 * sys.getrecursionlimit()
    assert "deep" in sections(".html", "<div><span>" * depth + "deep" + "</span></div>" * depth)[0].text
    assert sections(".html", "<div hidden>" * depth + "deep" + "</div>" * depth + "seen")[0].text.strip() == "seen"


def test_pdf_has_a_part_per_page(pdf_bytes) -> None:
    raw = pdf_bytes("first page", b"", "caf\xe9")
    assert sections(".pdf", raw) == [Section("first page", "page 1"), Section("", "page 2"), Section("café", "page 3")]


def test_broken_pdfs_are_refused(pdf_bytes) -> None:
    for raw in (b"", b"no pdf at all", pdf_bytes("cut")[:300]):
        with pytest.raises(UnreadableError, match="it is broken at its start"):
            sections(".pdf", raw)


def test_a_locked_pdf_is_refused(pdf_bytes) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes("secret"))))
    writer.encrypt("key", algorithm="RC4-128")
    locked = io.BytesIO()
    writer.write(locked)
    with pytest.raises(UnreadableError, match="it is encrypted; save it without a password"):
        sections(".pdf", locked.getvalue())


def test_a_pdf_that_unpacks_to_much_is_refused(pdf_bytes) -> None:
    bomb = pdf_bytes(b" " * 80_000_000, compressed=True)
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableError, match=r"it is broken at page 1 .*[Ll]imit"):
        sections(".pdf", bomb)


def test_csv_rows_are_records() -> None:
    table = 'question,answer,\n"Why, so?","It ""is""\nso",x\n,,\nWhat?,That,y,z\n'
    assert sections(".csv", table) == [
        Section('question: Why, so?; answer: It "is" so; column 3: x', "row 1"),
        Section("question: What?; answer: That; column 3: y; column 4: z", "row 3"),
    ]


def test_csv_may_be_parted_by_semicolons_and_tsv_by_tabs() -> None:
    assert sections(".csv", "a;b\n1,5;2\n") == [Section("a: 1,5; b: 2", "row 1")]
    assert sections(".tsv", "a\tb\n1,5\t2;3\n") == [Section("a: 1,5; b: 2;3", "row 1")]


def test_an_open_quote_is_named_by_its_line() -> None:
    with pytest.raises(UnreadableError, match="line 3 is broken"):
        sections(".csv", 'a,b\n1,2\n"open,3\n')


def test_a_cell_may_be_long() -> None:
    long = " ".join(string.ascii_lowercase * 10_000)
    assert sections(".csv", f"a\n{long}\n")[0].text == f"a: {long}"
