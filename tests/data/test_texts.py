"""Rows without text, columns that hold no texts, texts that occur again."""

import pytest

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.texts import check_texts, find_repeats, has_text
from tests.support.contexts import text_data

GREETINGS = [f"hello number {i}" for i in range(100)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False), (" \t\r\n", False),
        ("\u200b\u200d\ufeff", False), ("\xa0\u3000\u2028", False), ("\x00\x1f", False),
        ("\u3164\u2800\ufe0f", False), ("a", True), ("\u200b.", True), ("👍", True), ("吗", True), ("\ue000", True),
    ],
)  # fmt: skip
def test_a_text_has_a_visible_character(text: str, expected: bool) -> None:
    assert has_text(text) is expected


@pytest.mark.parametrize(
    ("texts", "n_rows", "problem"),
    [
        ([], 3, "3 of 3 rows have no text"),
        (GREETINGS[:4], 100, "96 of 100 rows have no text"),
        ([str(i) for i in range(50)], 50, "50 of 50 texts are numbers or dates, such as '0'"),
        ([f"2026-01-{i:02d} 10:00" for i in range(20)], 20, "20 of 20 texts are numbers or dates"),
        ([f"{i}e-5" for i in range(20)], 20, "20 of 20 texts are numbers or dates"),
        (["-3,5"] * 97 + GREETINGS[:3], 100, "97 of 100 texts are numbers or dates"),
        (["same"] * 10, 10, "10 of 10 texts are 'same'"),
        (GREETINGS[:4] + ["n/a"] * 96, 100, "96 of 100 texts are 'n/a'"),
    ],
)
def test_a_column_without_texts_is_one_sentence(texts: list[str], n_rows: int, problem: str) -> None:
    with pytest.raises(DataError) as raised:
        check_texts(texts, n_rows, "a.csv")
    assert str(raised.value).startswith(f"a.csv: {problem}")
    assert "set dataset.text_column=NAME" in str(raised.value)


@pytest.mark.parametrize(
    ("texts", "n_rows"),
    [
        (GREETINGS[:5], 100),
        (["7"], 1),
        (["same"] * 9, 9),
        (["same"] * 95 + GREETINGS[:5], 100),
        (["12"] * 40 + GREETINGS[:5], 45),
        (["👍", "😀"] * 10, 20),
        ([f"{i} kg" for i in range(20)], 20),
    ],
)
def test_a_column_of_texts_passes(texts: list[str], n_rows: int) -> None:
    check_texts(texts, n_rows, "a.csv")


def test_rows_without_text_are_left_out_of_every_split() -> None:
    data = text_data({Split.TRAIN: ["", "a", " ", "b"], Split.TEST: ["c", "\u200b"]})
    kept = data.rows_with_text
    assert [kept.texts(split) for split in kept.splits] == [["a", "b"], ["c"]]
    assert kept.rows_of_input(Split.TRAIN).tolist() == [1, 3]
    assert data.has_text(Split.TRAIN).tolist() == [False, True, False, True]


def test_without_such_rows_the_dataset_is_the_same() -> None:
    data = text_data({Split.TRAIN: ["a", "b"]})
    assert data.rows_with_text is data
    assert data.rows_of_input(Split.TRAIN).tolist() == [0, 1]


def test_repeats_are_counted_for_each_pair_of_splits() -> None:
    repeats = find_repeats(
        {Split.TRAIN: ["Win!", "win", "x"], Split.VALID: ["WIN", "y", "???"], Split.TEST: ["y.", "win", "z", "!!!"]}
    )
    assert repeats.within == {Split.TRAIN: 1, Split.VALID: 0, Split.TEST: 0}
    assert repeats.across == {Split.TRAIN: {}, Split.VALID: {"train": 1}, Split.TEST: {"train": 1, "valid": 2}}
    assert repeats.unseen[Split.TEST].tolist() == [False, False, True, True]


def test_the_repeats_of_youtube_are_those_of_its_documentation(composed) -> None:
    from alchemist_exp import config

    repeats = config.build(composed()).dataset.load().repeats
    assert repeats.across == {Split.TRAIN: {}, Split.VALID: {"train": 17}, Split.TEST: {"train": 33, "valid": 40}}
    assert (~repeats.unseen[Split.TEST]).sum() == 61
