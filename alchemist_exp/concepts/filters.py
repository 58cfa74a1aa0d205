"""Drop concepts that programs cannot use, with filters similar to those of label-free CBM (Oikarinen et al., 2023).

Label-free CBM filters single phrases. Here a concept is kept or dropped whole: programs compare its descriptions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import TIE, FloatArray


@dataclass(frozen=True, kw_only=True)
class ConceptFilters:
    """The thresholds of the filters. An image-text encoder with other cosines needs other ones.

    Attributes:
        max_characters: Longest description.
        max_class_similarity: Largest cosine of a description and a class name; 1 to keep all.
        max_concept_similarity: Largest similarity of two concepts: the mean over classes of the cosine of their
            descriptions of the class; 1 to keep all.
        min_activity: Smallest activity of a concept, see `activities`; 0 to keep all.

    Raises:
        ConfigError: A threshold is out of range.

    """

    max_characters: int
    max_class_similarity: float
    max_concept_similarity: float
    min_activity: float

    def __post_init__(self) -> None:
        """Check that each threshold is in its range."""
        if self.max_characters < 1:
            raise ConfigError(f"concepts.max_characters={self.max_characters}; expected a whole number from 1.")
        for key in ("max_class_similarity", "max_concept_similarity"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"concepts.{key}={getattr(self, key)}; expected a cosine above 0, at most 1.")
        if not 0 <= self.min_activity <= 1:
            raise ConfigError(f"concepts.min_activity={self.min_activity}; expected a number from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class DroppedConcept:
    """A concept that a filter has dropped.

    Attributes:
        concept: The concept.
        reason: The measured value and the threshold, for example "min_activity: 0.05, below 0.2".

    """

    concept: Concept
    reason: str


def filter_concepts(
    concepts: ConceptSet,
    filters: ConceptFilters,
    *,
    description_vectors: FloatArray,
    class_vectors: FloatArray,
    train_scores: FloatArray,
) -> tuple[ConceptSet, tuple[DroppedConcept, ...]]:
    """Drop concepts with a description that is too long or too similar to a class name, repeated and inactive ones.

    Of similar concepts the first is kept. No filter uses labels.

    Args:
        concepts: The concepts.
        filters: The thresholds.
        description_vectors: float32 array of shape (n_descriptions, n_dimensions): the encoder's vectors of length 1,
            in the order of `ConceptSet.descriptions`.
        class_vectors: float32 array of shape (n_classes, n_dimensions): those of the class names.
        train_scores: float32 array of shape (n_rows, n_descriptions): cosines of the training images.

    Returns:
        The kept concepts and the dropped ones, both in the order of `concepts`.

    Raises:
        ConfigError: No concept is left.
        ValueError: The shapes do not match.

    """
    n_concepts, n_classes = len(concepts.concepts), len(class_vectors)
    n_descriptions = n_concepts * n_classes
    if {len(concepts.descriptions), len(description_vectors), train_scores.shape[1]} != {n_descriptions}:
        raise ValueError(
            f"{len(concepts.descriptions)} descriptions, {len(description_vectors)} vectors and scores of shape "
            f"{train_scores.shape} do not match {n_concepts} concepts of {n_classes} classes"
        )
    vectors = np.asarray(description_vectors, dtype=np.float64).reshape(n_concepts, n_classes, -1)
    active = activities(train_scores, n_classes)
    kept: list[int] = []
    dropped = []
    for index, concept in enumerate(concepts.concepts):
        class_similarity = float((vectors[index] @ class_vectors.T).max())
        similarity, other = max(
            ((float((vectors[index] * vectors[other]).sum(axis=1).mean()), other) for other in kept), default=(-1.0, -1)
        )
        if (longest := max(map(len, concept.descriptions))) > filters.max_characters:
            reason = f"max_characters: {longest}, above {filters.max_characters}"
        elif class_similarity > filters.max_class_similarity + TIE:
            reason = (
                f"max_class_similarity: {class_similarity:.3f} to a class name, above {filters.max_class_similarity}"
            )
        elif similarity > filters.max_concept_similarity + TIE:
            name = concepts.concepts[other].name
            reason = f"max_concept_similarity: {similarity:.3f} to {name!r}, above {filters.max_concept_similarity}"
        elif active[index] < filters.min_activity:
            reason = f"min_activity: {active[index]:.3f}, below {filters.min_activity}"
        else:
            kept.append(index)
            continue
        dropped.append(DroppedConcept(concept=concept, reason=reason))
    if not kept:
        reasons = ", ".join(f"{one.concept.name!r} ({one.reason})" for one in dropped)
        raise ConfigError(
            f"the filters drop all {n_concepts} concepts: {reasons}; raise concepts.max_characters, "
            "concepts.max_class_similarity or concepts.max_concept_similarity, lower concepts.min_activity, or give "
            "other concepts by concepts.file."
        )
    return ConceptSet(concepts=tuple(concepts.concepts[index] for index in kept)), tuple(dropped)


def activities(train_scores: FloatArray, n_classes: int) -> npt.NDArray[np.float64]:
    """Return how well each concept tells images apart, relative to the median concept.

    Label-free CBM drops a phrase whose five highest cosines are low on average. Such a limit depends on the encoder. A
    program that compares the descriptions of a concept only sees their difference: a concept with high scores and the
    same difference on all images gives one class to all. The activity is therefore the standard deviation over images
    of the difference of the scores of two classes, for the two classes with the largest one.

    Args:
        train_scores: Array of shape (n_rows, n_concepts * n_classes), at least one row and one concept.
        n_classes: Number of descriptions of each concept.

    Returns:
        float64 array of shape (n_concepts,), divided by its median; all 1 if no image differs for the median concept.

    Example:
        >>> scores = np.array([[0.3, 0.1, 0.25, 0.2], [0.1, 0.3, 0.26, 0.2]])  # two images, two concepts, two classes
        >>> activities(scores, n_classes=2).round(2).tolist()
        [1.95, 0.05]

    """
    values = np.asarray(train_scores, dtype=np.float64).reshape(len(train_scores), -1, n_classes)
    spreads = np.zeros(values.shape[1])
    for a in range(n_classes):
        differences = values[:, :, a : a + 1] - values[:, :, a + 1 :]
        spreads = np.maximum(spreads, differences.std(axis=0).max(axis=1, initial=0.0))
    median = np.median(spreads)
    return spreads / median if median > TIE else np.ones_like(spreads)
