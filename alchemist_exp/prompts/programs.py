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


ADVICE = (
    "The function is called on many rows: compile regular expressions and build sets of words once, at module level, "
    "and lower-case the text once."
)


def program_prompt(task: Task, supplement: str = "", *, performance_hint: bool = False) -> str:
    """Supplement (when there is one), description, instructions and signature, a blank line between each.

    performance_hint: whether to add, before the signature, how to write a program that runs fast.
    """
    instructions = [labeling_instructions(task), ADVICE if performance_hint else ""]
    parts = [supplement.strip(), task.description, *instructions, function_signature(task)]
    return "\n\n".join(part for part in parts if part)


def repair_prompt(prompt: str, source: str, reason: str) -> str:
    """`prompt`, with the program that was written for it and why it cannot be used."""
    return (
        f"{prompt}\n\nThis program was written:\n\n```python\n{source.strip()}\n```\n\n"
        f"It cannot be used: {reason}\n\nWrite the whole program anew, without this fault."
    )
