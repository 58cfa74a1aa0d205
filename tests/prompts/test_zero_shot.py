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
        "spam\n\nThis message offers a prize.", "Class: spam\nReason: it offers a prize.", '[{"class":"spam"}]',
        '{"class": "spam"}\n\nExplanation: it offers a prize.', "{'class': 'spam'}", '{"sentiment": "spam"}',
        "The answer is \\boxed{spam}", "spam\u200b", "Output: spam", "Prediction: spam", "- spam", '["spam"]',
        "<|channel|>analysis<|message|>ham?<|end|><|start|>assistant<|channel|>final<|message|>spam",
        "<answer>spam</answer>", "This message is spam.", "Class: spam\nClass: spam",
        "Answer: ham\n\nFinal answer: spam", "spam\n\nIt is spam because it offers a prize.",
        '{"class": "spam"}\n```\nThe text offers a prize.', "Class: spam\nConfidence: 0.9",
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
        "<think>spam", "spam\n\nActually, it offers nothing.", "spam\nNo, this is ham.", "spam\nham",
        "spam\n\nOr rather: it is not spam.", '{"class": "spam"}\n\nSorry, I misread the text.', "!spam", "non-spam",
        '{"class": "spam"}\nOn second thought: {"class', '{"class": "spam"} would be wrong.', '{"not": "spam"}',
        "Answer: spam\nAnswer: ham", "spam\n\nis not how I would classify it", "spam\nNo!", "spam\n\nJust kidding.",
        '{"class": "spam"} is what a naive reader would say', "The answer is not: spam", "The opposite of spam",
        "spam?", "Class: spam or ham", "Class: not spam", '{"class":"spam"}{"class":"ham"}', "spam ham", "1",
        "I would not classify this as spam.", "It is spam, not ham.", "spam\nis what some would say. Maybe.",
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


def test_a_class_may_be_the_negation_of_another() -> None:
    responses = ("not spam", "Not spam.", "spam", "this is not spam", '{"class":"not_spam"}', "Not-spam")
    assert [parse_answer(text, ("not spam", "spam")) for text in responses] == [0, 0, 1, 0, 0, 0]
    assert [parse_answer(text, ("positive", "very positive")) for text in ("positive", "It is very positive")] == [0, 1]
    assert parse_answer("positive\n\nAlmost very positive.", ("positive", "very positive")) == ABSTAIN


def test_numbers_as_classes() -> None:
    classes = ("1", "2", "3", "4", "5")
    responses = ("4", '{"class": 4}', '{"class": "4"}', '{"class": 4.0}', "4/5", "Class: 4.", "-4")
    assert [parse_answer(text, classes) for text in responses] == [3, 3, 3, 3, ABSTAIN, 3, ABSTAIN]
    assert [parse_answer(text, ("False", "True")) for text in ('{"class": true}', "true")] == [1, 1]
