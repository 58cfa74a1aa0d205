"""The question of zero-shot prompting (paper, Table 6), and how its responses are read."""

import ast
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from alchemist_exp.core.reasoning import without_reasoning
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

    A response names a class by being its name, by a line such as "Class: spam" at its end, or by a JSON object that
    holds it at its end. A name, a line or an object at the beginning counts too if only an explanation follows. A name
    that is only mentioned does not count: "this is not spam" mentions one.

    Args:
        response: The text of the response; reasoning is passed over.
        classes: The class names, in the order of their indices.

    Returns:
        The class index, or `ABSTAIN` when the response names no class or more than one.

    """
    text = _BOXED.sub(r"\g<name>", without_reasoning(response))
    text = "".join(c for c in text if unicodedata.category(c) != "Cf").strip()
    answers = {_index(name, classes) for name in _answers(text, classes)}
    return answers.pop() if len(answers) == 1 else ABSTAIN


_NOUNS = (
    "class|category|label|answer|output|prediction|classification|sentiment|result|verdict|topic|intent|emotion|choice"
)
_KEYS = {*_NOUNS.split("|"), "predicted class", "predicted label", "predicted category", "final answer", "class name"}
_STATED = re.compile(
    rf"(?:(?:the|my|final|correct|predicted|best) )*(?:{_NOUNS})(?: is ?:?| ?[:=]) ?(?P<name>.+)"
    rf"|<(?P<tag>{_NOUNS})> ?(?P<tagged>[^<]+?) ?</(?P=tag)>"
)
_SAID = re.compile(
    r"(?:it|this|(?:this|the) (?:message|text|comment|review|e-?mail|post|tweet|sentence|document|article|row|one)) is "
    r"(?:clearly |definitely )?(?P<name>.+)"
)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?(?P<name>[^{}]{1,200})\}{1,2}")
_FLAT_OBJECT = re.compile(r"\{[^{}]{1,300}\}")
_LONGEST_LINE = 200
"""Characters of a line that are read as an answer in words."""

_MOST_OBJECTS = 20
_DECODER = json.JSONDecoder()

_LONGEST_EXPLANATION = 10_000
_DOUBT = re.compile(
    r"\b(?:actually|wait|instead|correction|mistaken?|wrong|incorrect|second thought|i mean|sorry|unsure|uncertain|"
    r"not sure|ambiguous|hard to say|could be|might be|may be|maybe|perhaps|possibly|unless|never|example|format)\b"
)
_CONTINUES = re.compile(r"\W*(?:no|nope|not|or|and|is|isn|was|would|may|might|versus|vs|just kidding)\b")
_NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|none|hardly|cannot|non|anything but)\b|n['’]?t\b")


def _answers(text: str, classes: Sequence[str]) -> list[str]:
    """The answers that a response gives; more than one when it contradicts itself."""
    answers, rest = _json_answers(text)
    if answers:
        return answers if _only_explains(rest, answers, classes) else []
    *before, last = text[-_LONGEST_EXPLANATION:].split("\n")
    if (name := _stated(last[-_LONGEST_LINE:])) is not None:
        earlier = [stated for line in before if (stated := _stated(line)) and _index(stated, classes) != ABSTAIN]
        return [name] if last.strip(" *#").casefold().startswith("final") else [*earlier, name]
    line, _, rest = text.partition("\n")
    if rest:
        name = _stated(line) or line
        return [name] if _only_explains(rest, [name], classes) else []
    match = _SAID.fullmatch(_normalize(text[:_LONGEST_LINE]))
    return [text if match is None or _index(text, classes) != ABSTAIN else match["name"]]


def _stated(line: str) -> str | None:
    """The name in a line such as "Class: spam"; None in another line."""
    match = _STATED.fullmatch(_normalize(line[:_LONGEST_LINE]))
    return None if match is None else match["name"] or match["tagged"]


def _json_answers(text: str) -> tuple[list[str], str]:
    """The answers in the JSON objects of `text`, and what follows the last object when the text begins with one.

    No answers when the text neither begins nor ends with an object.
    """
    body = text.removesuffix("```").rstrip().removesuffix("]").rstrip()
    found, at, end = list[str](), body.find("{"), -1
    first = not body[: max(at, 0)].strip().strip("`[").removeprefix("json").strip("`[ \n")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            break
        value, end = _object(body, at)
        first = first and end > at + 1  # else the object is broken, and may be cut off
        keys = [key for key in value if isinstance(key, str) and key.casefold().replace("_", " ") in _KEYS]
        found += [_spelled(value[key]) for key in keys]
        at = body.find("{", end)
    if end == len(body):
        return found, ""
    return (found, body[end:].lstrip("`] \n")) if first and end > 0 and at < 0 else ([], "")


def _object(body: str, at: int) -> tuple[Mapping[object, object], int]:
    """The object that begins at a position, and the position of its end; empty when there is none."""
    try:
        value, end = _DECODER.raw_decode(body, at)
        return value, end
    except (ValueError, RecursionError):
        pass
    if flat := _FLAT_OBJECT.match(body, at):
        try:
            value = ast.literal_eval(flat.group())  # with single quotes, as Python writes it
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value, flat.end()
    return {}, at + 1


def _only_explains(rest: str, answers: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether the text after an answer neither withdraws it nor names another class."""
    if len(rest) > _LONGEST_EXPLANATION:
        return False
    rest = unicodedata.normalize("NFC", rest).casefold()
    if _DOUBT.search(rest) or _CONTINUES.match(rest):
        return False
    named = {_index(answer, classes) for answer in answers}
    for index, name in enumerate(classes):
        mentioned = re.compile(rf"(?<!\w){re.escape(_normalize(name))}(?!\w)")
        sentences = [s for s in re.split(r"[.!?;\n]", rest) if mentioned.search(_normalize(s))]
        if sentences and (index not in named or any(map(_NEGATION.search, sentences))):
            return False
    return True


def _spelled(answer: object) -> str:
    """The name in a JSON value: a string, a number, or a list of one."""
    match answer:
        case [one]:
            return _spelled(one) if not isinstance(one, list) else ""
        case float() if answer.is_integer():
            return str(int(answer))
        case str() | int():
            return str(answer)
        case _:
            return ""


def _index(name: str, classes: Sequence[str]) -> int:
    """The class of that name, else the only class that differs in case, Unicode form, blanks, hyphens and quotes."""
    if name in classes:
        return classes.index(name)
    for normalize in (_normalize, _normalize_more):
        equal = [index for index, known in enumerate(classes) if normalize(known) == normalize(name)]
        if equal:
            return equal[0] if len(equal) == 1 else ABSTAIN
    return ABSTAIN


def _normalize(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).translate(_MARKS).casefold()
    return " ".join(plain.removeprefix("- ").removeprefix("• ").split()).lstrip(" .,;").rstrip(" .,;!")


def _normalize_more(name: str) -> str:
    """Also read full-width letters, hyphens and underscores between words, and brackets around a name."""
    return _normalize(_JOINT.sub(" ", unicodedata.normalize("NFKC", name)).strip(" \n.").strip("[]()<>"))


_JOINT = re.compile(r"(?<=\w)[-_]+(?=\w)")
_MARKS = dict.fromkeys(map(ord, "\"'`*_"))
