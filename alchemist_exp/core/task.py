"""The description of a labeling task that its prompts are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Task:
    """The description of one labeling task (paper, Tables 6 and 7).

    Attributes:
        name: The dataset's name.
        description: The sentence that asks for the program.
        classes: Class names, in the order of their indices.
        subject: The noun for one row ("comment").
        relation: The words between the subject and a class name ("is", "is about").
        zero_shot_prompt: The question about one row, with "[text]" in place of the row.

    """

    name: str
    description: str
    classes: tuple[str, ...]
    subject: str
    relation: str
    zero_shot_prompt: str
