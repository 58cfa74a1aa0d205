"""Fills templates, and words what they are filled with: classes, shares and rows."""

import re
from collections.abc import Sequence
from typing import Final

from alchemist_exp.core.task import Task

MAX_EXEMPLAR_CHARACTERS: Final = 400
"""Characters of a row that an exemplar shows."""

_PLACEHOLDER: Final = re.compile(r"\[([a-z_]+)\]")


def fill(template: str, values: dict[str, str]) -> str:
    """Replace the placeholders of a template in one pass.

    Args:
        template: A text with placeholders such as `[subject]`.
        values: The text for each placeholder; a bracketed word that is not one of them stays as it is.

    Returns:
        The filled text.

    """
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def task_words(task: Task) -> dict[str, str]:
    """Return the placeholders that every template knows, with their texts.

    Args:
        task: The labeling task.

    """
    return {
        "task": task.description,
        "classes": ", ".join(task.classes),
        "subject": task.subject,
        "relation": task.relation,
        "quoted_classes": listed([f'"{name}"' for name in task.classes]),
        "plural_classes": listed([name if name.endswith("s") else f"{name}s" for name in task.classes]),
    }


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a", "a and b", "a, b and c".

    Args:
        words: One or more words.

    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def share_text(share: float) -> str:
    """Return a share in whole percent; neither none nor all by rounding only.

    Args:
        share: A share from 0 to 1.

    """
    percent = round(100 * share)
    return (
        "less than 1%" if share and not percent else "more than 99%" if share < 1 and percent == 100 else f"{percent}%"
    )


def shorten(text: str) -> str:
    """Return a row on one line, at most `MAX_EXEMPLAR_CHARACTERS` characters of it."""
    line = " ".join(text.split())
    if len(line) <= MAX_EXEMPLAR_CHARACTERS:
        return line
    return f"{line[:MAX_EXEMPLAR_CHARACTERS].rstrip()}..."
