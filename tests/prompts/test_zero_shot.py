"""What an answer of an LLM to one row means."""

import pytest

from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.prompts.zero_shot import parse_answer

CLASSES = ("ham", "spam")
MEDICAL = ("neoplasms", "digestive system diseases", "nervous system diseases")


@pytest.mark.parametrize(
    "reply",
    [
        '{"class": "spam"}', ' {"class":"Spam"}\n', '```json\n{"class": "spam"}\n```', "spam", "Spam.", "**spam**",
        '"spam"', "The class is spam", "Category: spam", "Let me see. It sells something.\nAnswer: **spam**",
        '{"class": "spam", "confidence": 0.9}',
        '{"class": "spam"}\n{"class": "spam"}', '{"Class": ["spam"], "confidence": {"of": 1}}',
        '<think>ham? {"class": "ham"}</think>\nspam', 'I think {"class": "spam"}',
    ],
)  # fmt: skip
def test_answers_that_name_one_class(reply: str) -> None:
    assert parse_answer(reply, CLASSES) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "", "{}", "[]", '{"class": 1}', '{"class": "other"}', '{"class": "ham"} or {"class": "spam"}', "ham or spam",
        "this is not spam", "It is hard to say whether this is spam", "null",
        "{" * 5000, "\0\ud800",
        '{"class": "spam"', "It does not belong to the class spam", "I would not put this in category spam.",
        "not class spam", "This is anything but class: spam", "I would never answer spam",
        "There is no reason for the label spam", "ham - it is not in the category spam",
        "I cannot decide between ham and the class spam", "Category: ham\nNot label: spam",
        'The format is {"class": "spam"}. I refuse to say.', '{"class": ' + "[" * 5000, "class" + " " * 100_000 + "{x",
        '{"class": ["spam", "ham"]}', "{" * 100_000, "class " * 20_000,
    ],
)  # fmt: skip
def test_answers_that_name_none_or_leave_doubt(reply: str) -> None:
    assert parse_answer(reply, CLASSES) == ABSTAIN


def test_names_of_several_words() -> None:
    assert parse_answer('{"class": "Digestive  system diseases"}', MEDICAL) == 1
    assert parse_answer("The category is: nervous system diseases.", MEDICAL) == 2


def test_names_that_are_alike_must_be_spelled_out() -> None:
    assert [parse_answer(reply, ("ham", "HAM!")) for reply in ("ham", "HAM!", "Ham")] == [0, 1, ABSTAIN]
    assert parse_answer('{"class": 1}', ("0", "1")) == 1
