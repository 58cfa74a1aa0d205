import pytest

from alchemist_exp.concepts.types import Concept, ConceptSet

FEET = Concept(name="feet", descriptions=("Toed feet", "Webbed feet"))
BILL = Concept(name="bill", descriptions=("A pointed bill", "A flat bill"))


def test_descriptions_are_in_the_order_of_the_scores() -> None:
    assert ConceptSet(concepts=(FEET, BILL)).descriptions == (
        "Toed feet",
        "Webbed feet",
        "A pointed bill",
        "A flat bill",
    )


def test_a_number_of_classes_that_does_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ConceptSet(concepts=(FEET,)).by_class(["landbird", "waterbird", "seabird"])
