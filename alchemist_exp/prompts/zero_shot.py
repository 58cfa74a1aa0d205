"""The question that zero-shot prompting puts to every row (paper, Table 6), and what its answers mean."""

import json
import re
from collections.abc import Sequence
from typing import Any

from alchemist_exp.core.task import Task
from alchemist_exp.core.values import ABSTAIN


def system(task: Task) -> str:
    """What the annotator is told."""
    return (
        f"You are an annotator. Read the text and decide its class. The classes are: {', '.join(task.classes)}. "
        'Answer in JSON of the form {"class": "<name>"}, with the exact name of one class and nothing else.'
    )


def question(task: Task, text: str) -> str:
    """The prompt for one row."""
    return task.zero_shot.replace("[text]", text)


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

    A JSON object, alone or within prose, or a reply that is a class name or ends in one after "class" or the like.
    A name that is merely mentioned does not count: "this is not spam" mentions one.
    """
    indices = {_bare(name): index for index, name in enumerate(classes)}
    answers = {indices[_bare(name)] for name in _named(reply) if _bare(name) in indices}
    return answers.pop() if len(answers) == 1 else ABSTAIN


_OBJECT = re.compile(r"\{[^{}]*\}")
_TOLD = re.compile(r"\b(?:class|category|label|answer)\b[\s\"'*`]*(?:is|:|=)?[\s\"'*`:]*([^\n{}]*)\Z", re.IGNORECASE)
_KEYS = ("class", "label", "category", "answer")


def _named(reply: str) -> list[str]:
    """What the reply gives as its answer; all of them where it gives several."""
    found = []
    for text in _OBJECT.findall(reply):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        found += [value[key] for key in _KEYS if isinstance(value.get(key), str)]
    if found:
        return found
    told = _TOLD.search(reply.strip())
    return [reply] if told is None else [reply, told[1]]


def _bare(name: str) -> str:
    return " ".join(name.strip(" \t\r\n\"'`*.,:;!").casefold().split())
