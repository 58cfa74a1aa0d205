"""AUCs compared with scikit-learn, and own attributes of recorded descriptions of the drawn birds."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from alchemist_exp.core.hashing import canonical_json, to_jsonable
from alchemist_exp.core.types import IntArray, Split
from alchemist_exp.data.images.toy_birds import BACKGROUNDS, CLASSES, COLORS, TRAITS, toy_birds
from alchemist_exp.evaluation.fidelity import ConceptFidelity, auc, concept_fidelity

CONCEPTS = {
    "foot type": ("A bird's foot type is toed", "A bird's foot type is webbed"),
    "bill": ("A bird's bill is pointed", "A bird's bill is flat"),
    "neck": ("A bird's neck is short", "A bird's neck is long"),
    "body size": ("A bird's body size is small", "A bird's body size is large"),
}
"""The recorded response of an LLM for landbirds and waterbirds."""

DESCRIPTIONS = [description for pair in CONCEPTS.values() for description in pair]
CONCEPT_OF = [concept for concept, pair in CONCEPTS.items() for _ in pair]
BIRDS = toy_birds(Split.TEST, 400, seed=0)
VALUES = {"class": CLASSES, "background": BACKGROUNDS, **TRAITS, "color": tuple(COLORS)}

Attributes = dict[str, tuple[IntArray, tuple[str, ...]]]


def bird_attributes() -> Attributes:
    rows = [asdict(bird) | {"class": bird.label} for bird in BIRDS.birds]
    return {name: (np.array([values.index(row[name]) for row in rows]), values) for name, values in VALUES.items()}


def own_of(*descriptions: str, values: dict[str, tuple[str, ...]] = VALUES) -> str | None:
    attributes = {name: (np.zeros(2, dtype=np.int64), of_name) for name, of_name in values.items()}
    scores = np.zeros((2, len(descriptions)))
    fidelity = concept_fidelity(scores, descriptions, attributes, concept_of=["one"] * len(descriptions))
    (own,) = {one.own for one in fidelity}
    return own


@pytest.mark.parametrize("n_levels", [2, 5, 1000])
def test_the_auc_agrees_with_scikit_learn(n_levels: int) -> None:
    rng = np.random.default_rng(n_levels)
    scores = (rng.integers(0, n_levels, 200) / n_levels).astype(np.float32)
    is_positive = rng.random(200) < 0.2 + 0.5 * scores
    assert auc(scores, is_positive) == pytest.approx(roc_auc_score(is_positive, scores))


def test_the_auc_at_its_ends_and_of_equal_scores() -> None:
    is_positive = np.array([False, True, False, True])
    assert auc(np.array([1, 2, 1, 2]), is_positive) == 1.0
    assert auc(np.array([2, 1, 2, 1]), is_positive) == 0.0
    assert auc(np.zeros(4), is_positive) == 0.5


@pytest.mark.parametrize("is_positive", [[], [True, True], [False]])
def test_without_rows_of_both_kinds_there_is_no_auc(is_positive: list[bool]) -> None:
    assert auc(np.arange(len(is_positive)), np.array(is_positive, dtype=np.bool_)) is None


def test_recorded_descriptions_of_drawn_birds() -> None:
    attributes = bird_attributes()
    rng = np.random.default_rng(0)
    is_webbed, on_water, is_long = (attributes[name][0] for name in ("feet", "background", "bill"))
    noise = rng.normal(0, 0.1, (400, len(DESCRIPTIONS)))
    # Feet are recognized, the bill by a low score; the neck's scores follow the background; the others are noise.
    signal = np.stack([-is_webbed, is_webbed, is_long, is_long, on_water, on_water, 0 * on_water, 0 * on_water], axis=1)
    fidelity = concept_fidelity(signal + noise, DESCRIPTIONS, attributes, concept_of=CONCEPT_OF)
    assert [one.description for one in fidelity] == DESCRIPTIONS
    assert [one.own for one in fidelity] == ["feet", "feet", "bill", "bill", "neck", "neck", "body", "body"]
    assert [one.follows for one in fidelity[:6]] == ["feet", "feet", "bill", "bill", "background", "background"]
    assert all(list(one.aucs) == list(VALUES) for one in fidelity)
    assert all(0.5 <= value <= 1 for one in fidelity for value in one.aucs.values())
    assert fidelity[0].aucs["feet"] == pytest.approx(1.0, abs=1e-3)
    assert fidelity[0].aucs["class"] == pytest.approx(0.97, abs=0.02)  # the share of birds with typical feet
    assert fidelity[0].aucs["background"] < 0.6
    assert fidelity[6].aucs["body"] < 0.6


def test_the_value_that_is_separated_best_counts() -> None:
    colors = np.array([0, 0, 1, 1, 2, 2])
    scores = np.array([[0.5], [0.6], [0.1], [0.2], [0.5], [0.6]])  # low for the value 1 alone
    (one,) = concept_fidelity(scores, ["x"], {"color": (colors, ("light", "gray", "dark"))})
    assert one == ConceptFidelity(description="x", own=None, follows="color", aucs={"color": 1.0})


def test_an_attribute_with_one_value_has_no_auc() -> None:
    attributes: Attributes = {"neck": (np.zeros(3, dtype=np.int64), ("short", "long"))}
    (one,) = concept_fidelity(np.array([[0.1], [0.2], [0.3]]), ["A neck"], attributes)
    assert (one.own, one.follows, one.aucs) == ("neck", None, {})


@pytest.mark.parametrize(
    ("descriptions", "own"),
    [
        (["A bird's neck is short"], "neck"),  # the name counts more than a value
        (["A bird is SHORT"], None),  # a value of two attributes
        (["A bird's foot type is toed"], None),
        (["A bird's foot type is webbed"], "feet"),
        (["A bird's foot type is toed", "A bird's foot type is webbed"], "feet"),
        (["A short bill and a long neck"], None),  # equally about both
        (["A webbed bill"], "bill"),
        (["Necks"], "neck"),
        (["A necklace"], None),
        (["The photo shows water"], "background"),
        (["A waterbird, not a landbird"], None),  # the class is not an attribute of the image
        (["This class"], None),
    ],
)
def test_the_own_attribute(descriptions: list[str], own: str | None) -> None:
    assert own_of(*descriptions) == own


def test_names_and_values_of_several_words() -> None:
    values = {"has_bill_shape": ("hooked", "all-purpose"), "has_wing_shape": ("rounded", "very broad")}
    assert own_of("A bird has rounded wings", values=values) == "has_wing_shape"
    assert own_of("A bird has a red tail", values=values) is None
    assert own_of("An all-purpose tool", values=values) == "has_bill_shape"
    assert own_of("A broad road", values=values) is None


def test_a_background_with_the_name_of_a_class_does_not_count() -> None:
    values = {"class": ("land", "water"), "background": ("land", "water"), "neck": ("short", "long")}
    assert own_of("A bird of the water with a long neck", values=values) == "neck"
    assert own_of("A bird of the water", values=values) is None


@pytest.mark.parametrize(
    ("scores", "values", "concept_of", "message"),
    [
        (np.zeros((3, 2)), [0, 0, 0], None, r"expected \(n_rows, 1\)"),
        (np.zeros((3, 1)), [0, 0], None, r"attribute neck has shape \(2,\)"),
        (np.zeros((2, 1)), [0, 2], None, "attribute neck is in 0..2; expected 0..1"),
        (np.zeros((2, 1)), [0, 1], ["a", "b"], "concept_of has 2 entries"),
        (np.array([[0.0], [np.nan]]), [0, 1], None, "NaN"),
    ],
)
def test_arguments_that_do_not_match_are_refused(
    scores: np.ndarray, values: list[int], concept_of: list[str] | None, message: str
) -> None:
    attributes: Attributes = {"neck": (np.array(values), ("short", "long"))}
    with pytest.raises(ValueError, match=message):
        concept_fidelity(scores, ["A neck"], attributes, concept_of=concept_of)


def test_scores_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        auc(np.zeros(3), np.zeros(2, dtype=np.bool_))


def test_the_fidelity_has_a_json_form() -> None:
    (one,) = concept_fidelity(np.array([[0.1], [0.2]]), ["A neck"], {"neck": (np.array([0, 1]), ("short", "long"))})
    stored = json.loads(canonical_json(one))
    assert (
        stored == to_jsonable(one) == {"description": "A neck", "own": "neck", "follows": "neck", "aucs": {"neck": 1}}
    )
