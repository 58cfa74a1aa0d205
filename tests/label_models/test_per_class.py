"""A label model for each class: the same labels as from binary votes, for every label model without gold labels."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import load_component
from alchemist_exp.core.label_sets import SetMatrix, members
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.label_models.fit import fit_label_model, predict_labels
from alchemist_exp.label_models.per_class import PerClassModel
from tests.support.paths import REPOSITORY

CONF = REPOSITORY / "conf" / "label_model"
MODELS = [path.stem for path in sorted(CONF.glob("[!_]*.yaml"))]


@pytest.fixture(scope="module")
def votes() -> tuple[SetMatrix, np.ndarray]:
    """Votes of five programs that are right on four of five classes, and the gold masks."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 8, 300)
    flipped = (rng.random((300, 5, 3)) < 0.2) @ np.array([1, 2, 4])
    answered = gold[:, np.newaxis] ^ flipped
    return SetMatrix(votes=np.where(rng.random((300, 5)) < 0.2, ABSTAIN, answered), n_classes=3), gold


@pytest.mark.parametrize("name", MODELS)
def test_each_class_is_a_binary_task(name: str, votes: tuple[SetMatrix, np.ndarray], tmp_path: Path) -> None:
    matrix, gold = votes
    unfitted = load_component(f"label_model={name}")
    if unfitted.uses_gold:
        pytest.skip("refused with multi_label=true")
    fitted = fit_label_model(PerClassModel.of(unfitted, 3), matrix, matrix, gold)[0]
    labels = predict_labels(fitted, matrix)
    assert labels.covered.tolist() == matrix.covered.tolist()
    for index in range(3):
        single = load_component(f"label_model={name}")
        binary, of_class = matrix.of_class(index), gold >> index & 1
        expected = predict_labels(fit_label_model(single, binary, binary, of_class)[0], binary)
        np.testing.assert_array_equal(labels.probs[:, index], expected.probs[:, 1])
    right = members(labels.hard(), 3) == members(gold, 3)
    assert right[labels.covered].mean() > 0.85
    fitted.save(tmp_path)
    loaded = PerClassModel.of(load_component(f"label_model={name}"), 3).load(tmp_path, n_programs=5, n_classes=3)
    np.testing.assert_array_equal(predict_labels(loaded, matrix).probs, labels.probs)
    assert unfitted.unsaved_attributes() == []


def test_the_balance_is_estimated_from_votes_without_gold(votes: tuple[SetMatrix, np.ndarray]) -> None:
    matrix, gold = votes
    model = PerClassModel.of(load_component("label_model=majority"), 3)
    assert model.class_balance(matrix, None) == pytest.approx(members(gold, 3).mean(axis=0), abs=0.05)
