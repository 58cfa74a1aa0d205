from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from alchemist_exp.concepts.filters import ConceptFilters, activities, filter_concepts
from alchemist_exp.concepts.types import Concept, ConceptSet
from alchemist_exp.core.errors import ConfigError

ALL = ConceptFilters(max_characters=100, max_class_similarity=1.0, max_concept_similarity=1.0, min_activity=0.0)
CLASSES = np.eye(8, dtype=np.float32)[:2]
RNG = np.random.default_rng(0)


def concept(name: str, *descriptions: str) -> Concept:
    return Concept(name=name, descriptions=descriptions or (f"A {name} of a", f"A {name} of b"))


CONCEPTS = ConceptSet(concepts=(concept("bill"), concept("feet"), concept("neck")))


def directions(*axes: int) -> npt.NDArray[np.float32]:
    """Unit vectors: orthogonal ones for different axes."""
    return np.eye(8, dtype=np.float32)[list(axes)]


def between(cosine: float, axis: int, other: int) -> npt.NDArray[np.float32]:
    """Return a unit vector with a cosine to an axis; the rest of it is along another axis."""
    vector: npt.NDArray[np.float32] = cosine * directions(axis)[0] + np.sqrt(1 - cosine**2) * directions(other)[0]
    return vector.astype(np.float32)


VECTORS = directions(2, 3, 4, 5, 6, 7)
SCORES = RNG.normal(0.2, 0.05, (200, 6)).astype(np.float32)


def kept_and_dropped(
    filters: ConceptFilters,
    vectors: npt.NDArray[np.float32] = VECTORS,
    scores: npt.NDArray[np.float32] = SCORES,
    concepts: ConceptSet = CONCEPTS,
) -> tuple[list[str], dict[str, str]]:
    kept, dropped = filter_concepts(
        concepts, filters, description_vectors=vectors, class_vectors=CLASSES, train_scores=scores
    )
    return [one.name for one in kept.concepts], {one.concept.name: one.reason for one in dropped}


def test_concepts_that_pass_all_filters_stay_in_their_order() -> None:
    filters = ConceptFilters(max_characters=11, max_class_similarity=0.1, max_concept_similarity=0.1, min_activity=0.5)
    assert kept_and_dropped(filters) == (["bill", "feet", "neck"], {})


def test_a_concept_with_a_long_description_is_dropped_whole() -> None:
    concepts = ConceptSet(
        concepts=(concept("bill", "short", "x" * 31), concept("feet"), concept("neck", "x" * 30, "y"))
    )
    assert kept_and_dropped(replace(ALL, max_characters=30), concepts=concepts) == (
        ["feet", "neck"],
        {"bill": "max_characters: 31, above 30"},
    )


def test_a_description_like_a_class_name_drops_its_concept() -> None:
    vectors = VECTORS.copy()
    vectors[2] = between(0.9, 1, 4)  # the first description of feet, the second class
    assert kept_and_dropped(replace(ALL, max_class_similarity=0.85), vectors) == (
        ["bill", "neck"],
        {"feet": "max_class_similarity: 0.900 to a class name, above 0.85"},
    )
    assert kept_and_dropped(replace(ALL, max_class_similarity=0.95), vectors)[1] == {}


def test_a_concept_like_an_earlier_one_is_dropped() -> None:
    vectors = directions(2, 3, 4, 5, 2, 3)
    vectors[4] = between(0.94, 2, 6)
    vectors[5] = between(0.9, 3, 6)
    assert kept_and_dropped(replace(ALL, max_concept_similarity=0.9), vectors) == (
        ["bill", "feet"],
        {"neck": "max_concept_similarity: 0.920 to 'bill', above 0.9"},
    )
    assert kept_and_dropped(replace(ALL, max_concept_similarity=0.93), vectors)[1] == {}


def test_similar_descriptions_of_one_concept_or_of_different_classes_are_kept() -> None:
    vectors = directions(2, 2, 3, 4, 4, 3)
    assert kept_and_dropped(replace(ALL, max_concept_similarity=0.5), vectors)[1] == {}


def test_a_concept_like_a_dropped_one_is_kept() -> None:
    concepts = ConceptSet(concepts=(concept("bill", "x" * 99, "y"), concept("feet"), concept("neck")))
    filters = replace(ALL, max_characters=30, max_concept_similarity=0.9)
    kept, dropped = kept_and_dropped(filters, directions(2, 3, 4, 5, 2, 3), concepts=concepts)
    assert kept == ["feet", "neck"]
    assert list(dropped) == ["bill"]


def test_a_concept_that_does_not_tell_images_apart_is_dropped() -> None:
    scores = SCORES.copy()
    scores[:, 3] = scores[:, 2] + 0.1  # high scores that vary, and always the same difference
    kept, dropped = kept_and_dropped(replace(ALL, min_activity=0.2), scores=scores)
    assert kept == ["bill", "neck"]
    assert dropped == {"feet": "min_activity: 0.000, below 0.2"}


def test_equal_vectors_are_not_above_1() -> None:
    vector = RNG.normal(size=8)
    vector /= np.linalg.norm(vector)
    vectors = np.tile(vector, (6, 1)).astype(np.float32)
    kept, _ = filter_concepts(
        CONCEPTS, ALL, description_vectors=vectors, class_vectors=vectors[:2], train_scores=SCORES
    )
    assert kept == CONCEPTS


def test_activity_is_that_of_the_pair_of_classes_with_the_largest_one() -> None:
    noise = RNG.normal(0, 1, (500, 2))
    flat = np.zeros(500)
    scores = np.stack([flat, flat, noise[:, 0], flat, 0.5 * noise[:, 1], flat, flat, flat, 2 * noise[:, 0]], axis=1)
    spreads = np.array([noise[:, 0].std(), 0.5 * noise[:, 1].std(), 2 * noise[:, 0].std()])
    assert activities(scores, n_classes=3) == pytest.approx(spreads / spreads[0])


@pytest.mark.parametrize("scores", [np.full((5, 4), 0.3), np.array([[0.1, 0.2, 0.3, 0.4]])])
def test_without_a_difference_between_images_all_concepts_are_equally_active(scores: npt.NDArray[np.float64]) -> None:
    assert activities(scores, n_classes=2).tolist() == [1.0, 1.0]


def test_if_no_concept_is_left_the_reasons_and_the_keys_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        kept_and_dropped(replace(ALL, max_characters=5))
    assert str(caught.value) == (
        "the filters drop all 3 concepts: 'bill' (max_characters: 11, above 5), 'feet' (max_characters: 11, above 5), "
        "'neck' (max_characters: 11, above 5); raise concepts.max_characters, concepts.max_class_similarity or "
        "concepts.max_concept_similarity, lower concepts.min_activity, or give other concepts by concepts.file."
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_characters", 0),
        ("max_class_similarity", 0.0),
        ("max_class_similarity", 1.01),
        ("max_concept_similarity", -0.5),
        ("max_concept_similarity", float("nan")),
        ("min_activity", -0.1),
        ("min_activity", 1.1),
        ("min_activity", float("nan")),
    ],
)
def test_thresholds_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^concepts\.{key}={value}; expected a"):
        replace(ALL, **{key: value})


@pytest.mark.parametrize(("vectors", "scores"), [(VECTORS[:4], SCORES), (VECTORS, SCORES[:, :4])])
def test_shapes_that_do_not_match_are_refused(
    vectors: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="do not match 3 concepts of 2 classes"):
        kept_and_dropped(ALL, vectors, scores)
