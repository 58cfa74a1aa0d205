"""Concepts: for each, one description per class, which an image-text encoder compares with images."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A visual concept by which the classes differ (paper, Section 3.3).

    Attributes:
        name: What is compared ("foot type").
        descriptions: What is typical of each class ("A bird's foot type is webbed"), in the order of the classes.

    """

    name: str
    descriptions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ConceptSet:
    """The concepts of a task.

    Attributes:
        concepts: The concepts; each has one description per class.

    Example:
        >>> bill = Concept(name="bill", descriptions=("A pointed bill", "A flat bill"))
        >>> feet = Concept(name="feet", descriptions=("Toed feet", "Webbed feet"))
        >>> concepts = ConceptSet(concepts=(bill, feet))
        >>> concepts.descriptions
        ('A pointed bill', 'A flat bill', 'Toed feet', 'Webbed feet')
        >>> concepts.by_class(["landbird", "waterbird"])["feet"]
        {'landbird': 'Toed feet', 'waterbird': 'Webbed feet'}

    """

    concepts: tuple[Concept, ...]

    @property
    def descriptions(self) -> tuple[str, ...]:
        """All descriptions, concept by concept and within a concept in class order: the order of a program's scores."""
        return tuple(text for concept in self.concepts for text in concept.descriptions)

    def by_class(self, classes: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the concepts in the layout of a file of concepts.

        Args:
            classes: The class names, in class order.

        Returns:
            For each concept's name the description of each class.

        """
        return {concept.name: dict(zip(classes, concept.descriptions, strict=True)) for concept in self.concepts}
