"""The question that zero-shot prompting would put to every row (paper, Table 6)."""

from alchemist_exp.core.task import Task


def system(task: Task) -> str:
    """What the annotator is told."""
    return (
        f"You are an annotator. Read the text and decide its class. The classes are: {', '.join(task.classes)}. "
        'Answer in JSON of the form {"class": "<name>"}, with the exact name of one class and nothing else.'
    )


def question(task: Task, text: str) -> str:
    """The prompt for one row."""
    return task.zero_shot.replace("[text]", text)
