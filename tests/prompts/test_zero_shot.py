"""What an answer of an LLM to one row means."""

import pytest

from alchemist_exp.core.values import ABSTAIN
from alchemist_exp.prompts.zero_shot import parse_answer

CLASSES = ("ham", "spam")
MEDICAL = ("neoplasms", "digestive system diseases", "nervous system diseases")


@pytest.mark.parametrize(
    "reply",
    [
        '{"class": "spam"}', ' {"class":"Spam"}\n', '```json\n{"class": "spam"}\n```', "spam", "Spam.", "**spam**",
        '"spam"', "The class is spam", "Category: spam", "Let me see. It sells something.\nAnswer: **spam**",
        'Sure! {"label": "spam"} is my answer.', '{"class": "spam", "confidence": 0.9}',
        '{"class": "spam"}\n{"class": "spam"}', '{"class": "spam"',
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
        '{"class": ["spam"]}', "class " * 20_000,
    ],
)  # fmt: skip
def test_answers_that_name_none_or_leave_doubt(reply: str) -> None:
    assert parse_answer(reply, CLASSES) == ABSTAIN


def test_names_of_several_words() -> None:
    assert parse_answer('{"class": "Digestive  system diseases"}', MEDICAL) == 1
    assert parse_answer("The category is: nervous system diseases.", MEDICAL) == 2
