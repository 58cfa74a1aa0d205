"""What an LLM is asked for a supplement, and how what others give is put into words (paper, Section 3.1, Table 7).

The texts are part of the cache key of every reply: changing a character here asks the LLM anew.
"""

from collections.abc import Sequence

from alchemist_exp.core.task import Task

SYSTEM = "You help people who write labeling programs. Answer concisely."

LONGEST_EXEMPLAR = 400
"""Characters of a row that are shown."""


def question(task: Task, instruction: str) -> str:
    """The prompt that asks for a supplement."""
    return f"Task: {task.description}\nClasses: {', '.join(task.classes)}.\n\n{instruction}"


def exemplars(task: Task, rows: Sequence[tuple[str, int]]) -> str:
    """Labeled rows (text, class), one per line."""
    lines = [f'- "{_shortened(text)}" is {task.classes[label]}' for text, label in rows]
    return "\n".join([f"Examples of a {task.subject} and its class:", *lines])


def passages(texts: Sequence[tuple[str, str]]) -> str:
    """Passages of documents (text, source)."""
    parts = [f"[{source}]\n{text}" for text, source in texts]
    return "\n\n".join(["From the documents about this task:", *parts])


def summary_question(task: Task, passages: str, instruction: str) -> str:
    """The prompt that asks what the passages say that helps."""
    return f"{passages}\n\n{question(task, instruction)}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_EXEMPLAR else f"{line[:LONGEST_EXEMPLAR].rstrip()}..."
