"""The question of zero-shot prompting (paper, Table 6), and how its responses are read."""

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from alchemist_exp.core.task import Task
from alchemist_exp.core.types import ABSTAIN


def question(task: Task, text: str) -> str:
    """Return the prompt that asks for the class of one row (paper, Table 6).

    Args:
        task: The labeling task.
        text: The row.

    Returns:
        The task's question with the row in it.

    """
    return task.zero_shot_prompt.replace("[text]", text)


def schema(task: Task) -> dict[str, Any]:
    """Return the JSON schema of an answer, for models with structured output.

    Args:
        task: The labeling task.

    Returns:
        A schema whose only property `class` is one of the class names.

    """
    return {
        "type": "object",
        "properties": {"class": {"type": "string", "enum": list(task.classes)}},
        "required": ["class"],
        "additionalProperties": False,
    }


def parse_answer(response: str, classes: Sequence[str]) -> int:
    """Return the class that a response names.

    A response names a class by being its name, by ending in a line such as "Class: spam", or by ending in a JSON object
    that holds it. A name that is only mentioned does not count: "this is not spam" mentions one.

    Args:
        response: The text of the response; reasoning up to `</think>` is passed over.
        classes: The class names, in the order of their indices.

    Returns:
        The class index, or `ABSTAIN` when the response names no class or more than one.

    """
    text = response.rpartition("</think>")[2].strip()
    answers = {_index(name, classes) for name in _answers(text)}
    return answers.pop() if len(answers) == 1 else ABSTAIN


_KEYS = ("class", "category", "label", "answer")
_STATED = re.compile(r"(?:(?:the|my|final) )*(?:class|category|label|answer)(?: is ?:?| ?[:=]) ?(?P<name>.+)")
_LONGEST_LINE = 200
"""Characters at the end of a line that are read as an answer in words."""

_MOST_OBJECTS = 20
_DECODER = json.JSONDecoder()


def _answers(text: str) -> list[str]:
    """The answers that a response gives; more than one when it contradicts itself."""
    if answers := _json_answers(text):
        return answers
    line = _normalize(text.rpartition("\n")[2][-_LONGEST_LINE:])
    match = _STATED.fullmatch(line)
    return [text if match is None else match["name"]]


def _json_answers(text: str) -> list[str]:
    """The answers in the JSON objects of `text`; none when the text does not end in an object."""
    body = text.removesuffix("```").rstrip()
    found, at, end = list[str](), body.find("{"), -1
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            break
        try:
            value, end = _DECODER.raw_decode(body, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found += [_spelled(answer) for key, answer in value.items() if key.casefold() in _KEYS]
        at = body.find("{", end)
    return found if end == len(body) else []


def _spelled(answer: object) -> str:
    """The name in a JSON value: a string, a number, or a list of one."""
    match answer:
        case [one]:
            return _spelled(one) if not isinstance(one, list) else ""
        case str() | int():
            return str(answer)
        case _:
            return ""


def _index(name: str, classes: Sequence[str]) -> int:
    """The class of that name, else the only class that differs in case, Unicode form, blanks and quotes."""
    if name in classes:
        return classes.index(name)
    equal = [index for index, known in enumerate(classes) if _normalize(known) == _normalize(name)]
    return equal[0] if len(equal) == 1 else ABSTAIN


def _normalize(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).translate(_MARKS).casefold()
    return " ".join(plain.split()).strip(" .,;!")


_MARKS = dict.fromkeys(map(ord, "\"'`*_"))
