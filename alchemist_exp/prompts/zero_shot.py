"""The question that zero-shot prompting puts to every row (paper, Table 6), and what its answers mean."""

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from alchemist_exp.core.task import Task
from alchemist_exp.core.types import ABSTAIN


def system(task: Task) -> str:
    """What the annotator is told."""
    return (
        f"You are an annotator. Read the text and decide its class. The classes are: {', '.join(task.classes)}. "
        'Answer in JSON of the form {"class": "<name>"}, with the exact name of one class and nothing else.'
    )


def question(task: Task, text: str) -> str:
    """The prompt for one row."""
    return task.zero_shot_prompt.replace("[text]", text)


def schema(task: Task) -> dict[str, Any]:
    """The JSON schema of an answer, for models that can be held to one."""
    return {
        "type": "object",
        "properties": {"class": {"type": "string", "enum": list(task.classes)}},
        "required": ["class"],
        "additionalProperties": False,
    }


def parse_answer(reply: str, classes: Sequence[str]) -> int:
    """The class that `reply` names, `ABSTAIN` where it names none or leaves doubt.

    It names one by being that name, by ending in a line like "Class: spam", or by ending in a JSON object that holds
    it. A name that is merely mentioned does not count: "this is not spam" mentions one.
    """
    text = reply.rpartition("</think>")[2].strip()
    answers = {_index(name, classes) for name in _named(text)}
    return answers.pop() if len(answers) == 1 else ABSTAIN


_KEYS = ("class", "category", "label", "answer")
_TOLD = re.compile(r"(?:(?:the|my|final) )*(?:class|category|label|answer)(?: is ?:?| ?[:=]) ?(?P<name>.+)")
_LONGEST_LINE = 200
"""Characters of a line that can be an answer in words."""

_MOST_OBJECTS = 20
_DECODER = json.JSONDecoder()


def _named(text: str) -> list[str]:
    """What the reply gives as its answer; all of them where it gives several."""
    if values := _values(text):
        return values
    line = _bare(text.rpartition("\n")[2][-_LONGEST_LINE:])
    told = _TOLD.fullmatch(line)
    return [text if told is None else told["name"]]


def _values(text: str) -> list[str]:
    """What the JSON objects in `text` give as the answer; none where it does not end in one."""
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
    """The class of that name, else the only one that differs from it in case, accents' form, blanks and quotes."""
    if name in classes:
        return classes.index(name)
    alike = [index for index, known in enumerate(classes) if _bare(known) == _bare(name)]
    return alike[0] if len(alike) == 1 else ABSTAIN


def _bare(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).translate(_MARKS).casefold()
    return " ".join(plain.split()).strip(" .,;!")


_MARKS = dict.fromkeys(map(ord, "\"'`*_"))
