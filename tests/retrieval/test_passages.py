"""The splitter: no word is lost, moved or repeated, and a source says where to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.retrieval.documents import Document
from alchemist_exp.retrieval.formats import Section, read_markdown
from alchemist_exp.retrieval.passages import Passage, split_document

TEXTS = st.lists(st.sampled_from([*"ab.!? \n\té手\x1f\u2003", "\n\n", "word", "x" * 30]), max_size=200).map("".join)


def passages(text: str, words: int) -> list[Passage]:
    return list(split_document(Document("notes.txt", (Section(text, line=1),)), words))


@given(TEXTS, st.integers(1, 30))
def test_every_character_is_kept_in_order(text: str, words: int) -> None:
    assert "".join("".join(p.text.split()) for p in passages(text, words)) == "".join(text.split())


@given(
    st.lists(st.sampled_from(["one", "two.", "three!\n", "\n\n", "fünf", "six\n\n"]), max_size=120), st.integers(1, 30)
)
def test_words_stay_whole_and_passages_near_their_size(pieces: list[str], words: int) -> None:
    text = " ".join(pieces)
    found = [passage.text.split() for passage in passages(text, words)]
    assert [word for passage in found for word in passage] == text.split()
    assert all(words / 2 <= len(passage) <= 1.5 * words for passage in found[:-1])
    assert all(0 < len(passage) <= 1.5 * words for passage in found)


@given(TEXTS, st.integers(1, 30))
def test_the_line_of_a_source_holds_the_first_word(text: str, words: int) -> None:
    lines = text.split("\n")
    for passage in passages(text, words):
        line = lines[int(passage.source.rpartition(" ")[2]) - 1]
        assert passage.text.split("\n")[0].split()[0] in line


def test_paragraphs_are_kept_together_before_sentences_before_lines() -> None:
    text = "One two. Three\nfour.\n\nFive six seven.\n\nEight nine. Ten eleven\ntwelve thirteen fourteen."
    assert [p.text for p in passages(text, 4)] == [
        "One two. Three\nfour.",
        "Five six seven.",
        "Eight nine. Ten eleven",
        "twelve thirteen fourteen.",
    ]


def test_a_heading_is_never_alone() -> None:
    text = "# Refunds\n\n" + "word " * 10 + "\n\n# Shipping\n\nend"
    found = list(split_document(Document("faq.md", tuple(read_markdown(text.encode()))), 10))
    assert [(p.text.split("\n")[0], p.source) for p in found] == [
        ("# Refunds", "faq.md, line 1"),
        ("# Shipping", "faq.md, line 5"),
    ]


def test_scripts_without_spaces_and_endless_runs_are_cut_too() -> None:
    assert [len(p.text) for p in passages("手" * 100, 10)] == [20] * 5
    assert [len(p.text) for p in passages("x" * 1000, 10)] == [240, 240, 240, 240, 40]
    assert [p.text for p in passages("今日は晴れ。明日は雨。", 4)] == ["今日は晴れ。", "明日は雨。"]


def test_no_passage_crosses_a_section_and_each_says_where_it_is() -> None:
    sections = (Section("one", "page 1"), Section("two", "page 3"), Section("three"))
    assert list(split_document(Document("a/guide.pdf", sections), 100)) == [
        Passage("one", "a/guide.pdf, page 1"),
        Passage("two", "a/guide.pdf, page 3"),
        Passage("three", "a/guide.pdf"),
    ]


def test_spaces_are_tidied() -> None:
    assert passages("a \t  b  \n \n\n\n  c\n  d", 10) == [Passage("a b\n\n c\n d", "notes.txt, line 1")]


def test_a_passage_needs_a_word() -> None:
    with pytest.raises(ConfigError, match="passage_words=0"):
        passages("one", 0)
