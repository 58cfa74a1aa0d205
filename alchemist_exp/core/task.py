"""What a labeling task is, in the words its prompts are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Task:
    """The description of one labeling task (paper, Tables 6 and 7).

    name: the dataset's name. description: the sentence that asks for the program. classes: names in the order of
    their indices. subject: what one row is called ("comment"). relation: how the subject and a class are joined
    ("is", "is about"). zero_shot_prompt: the question asked about each row, with "[text]" for the row.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    subject: str
    relation: str
    zero_shot_prompt: str
