"""The prompt that asks for one labeling program.

Its text is part of the cache key of every reply: changing a character here asks the LLM anew.
"""

from collections.abc import Sequence

from alchemist_exp.core.task import Task

SYSTEM = "You write labeling programs in Python. Answer with exactly one Python code block."


def labeling_instructions(task: Task) -> str:
    """One line per class and one for abstaining, naming what the function returns."""
    lines = [
        f"If the {task.subject} {task.relation} {name}, the function returns {index}."
        for index, name in enumerate(task.classes)
    ]
    lines.append(f"If the {task.subject} cannot be determined, the function returns -1.")
    return "\n".join(lines)


def function_signature(task: Task) -> str:
    """The head of the function asked for; its argument is named after the task's subject."""
    return f"def label_function({task.subject}: str) -> int:"


def unlike(prompt: str, written: Sequence[str]) -> str:
    """`prompt`, asking for another approach than the programs that are `written`: for models without a temperature."""
    if not written:
        return prompt
    programs = "\n\n".join(f"```python\n{source.strip()}\n```" for source in written)
    return f"{prompt}\n\nThese programs have been written already:\n\n{programs}\n\nTake a different approach."


def program_prompt(task: Task, supplement: str = "") -> str:
    """Supplement (when there is one), description, instructions and signature, a blank line between each."""
    parts = [supplement.strip(), task.description, labeling_instructions(task), function_signature(task)]
    return "\n\n".join(part for part in parts if part)
