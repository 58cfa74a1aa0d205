"""The description of a labeling task that its prompts are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    """A named column of records.

    Attributes:
        name: The key of its values in a record.
        type: The type of its values in a program: str, int, float or bool. A missing value is None.
        category: Whether its strings name categories: few different ones, as features are made of them.
        missing: The share of missing values on train.
        examples: Values that the prompt may show; none if no row may be shown.

    """

    name: str
    type: str
    category: bool = False
    missing: float = 0.0
    examples: tuple[str, ...] = ()


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
        parameter: The name of a program's parameter; None for the subject.
        annotation: The type of a row in a program; "" for none.
        columns: The columns of the rows, if rows are records.
        multi_label: Whether several classes, or none, may hold for a row.

    """

    name: str
    description: str
    classes: tuple[str, ...]
    subject: str
    relation: str
    zero_shot_prompt: str
    parameter: str | None = None
    annotation: str = "str"
    columns: tuple[Column, ...] = ()
    multi_label: bool = False

    @property
    def describes_image(self) -> bool:
        """Whether programs get the pixels of an image, which the prompt then describes."""
        return self.parameter == "image"
