import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.terminal import MESSAGE_CHARS, escape_controls, sanitize, without_formula


@given(st.text() | st.text(st.sampled_from("\x1b[]m;0\x07\u202ea ")))
def test_sanitized_text_is_one_printable_line(text: str) -> None:
    clean = sanitize(text)
    assert len(clean) <= MESSAGE_CHARS
    assert all(unicodedata.category(character)[0] != "C" for character in clean)
    assert clean == " ".join(clean.split())


def test_terminal_sequences_are_removed_completely() -> None:
    assert sanitize("\x1b]0;title\x07a\x1b[31;1mb\x1b[0m\r\nc\x1bD") == "ab c"


@given(st.text() | st.text(st.sampled_from("\x1b\x9b\r\n\t\u202e\u2028\ud800 a")))
def test_escaped_text_keeps_lines_and_tabs_but_no_control_characters(text: str) -> None:
    clean = escape_controls(text)
    assert all(unicodedata.category(c)[0] != "C" or c in "\n\t" for c in clean)
    assert clean.count("\n") == text.count("\n")
    assert clean.count("\t") == text.count("\t")
    clean.encode("utf-8")


def test_control_characters_are_escaped() -> None:
    assert (
        escape_controls("\x1b[2Ja\r\n\tb\x9b\u202e\u2066\x00\u2028") == "\\x1b[2Ja\n\tb\\x9b\\u202e\\u2066\\x00\\u2028"
    )
    assert escape_controls("Größe\u00a0\u3000漢") == "Größe\u00a0\u3000漢"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        *[(start + "1+1|cmd", "'" + start + "1+1|cmd") for start in ("=", "+", "-", "@", "\t", "\r")],
        *[(text, text) for text in ("", "-", "-1", "+1", "-0.5e-3", "-12%", "spam", "a=b", "'=1")],
    ],
)
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str, safe: str) -> None:
    assert without_formula(text) == safe
