"""The MLP on labels whose classes are independent."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp import load_component
from alchemist_exp.core.label_sets import SetLabels, predicted_sets, to_masks
from alchemist_exp.end_model.base import ValidationData
from alchemist_exp.evaluation.label_sets import score_sets

FEATURES = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
HOLDS = np.array([0.0, 0.5, -0.5]) < FEATURES
LABELS = SetLabels(probs=HOLDS * 0.9 + 0.05, covered=np.arange(400) % 10 > 0)
MASKS = to_masks(HOLDS)


@pytest.mark.parametrize("with_gold", [True, False])
def test_each_class_is_learned(with_gold: bool, tmp_path: Path) -> None:
    mlp = load_component("end_model=mlp", learning_rate=0.02, max_epochs=30)
    validation = ValidationData(features=FEATURES[:100], gold=MASKS[:100], n_classes=3, positive=None, multi_label=True)
    both = [
        mlp.fit(FEATURES, LABELS, seeds=seeds, validation=validation if with_gold else None) for seeds in ([0, 1], [1])
    ]
    probs = both[0].predict_proba(FEATURES)
    np.testing.assert_array_equal(probs[1], both[1].predict_proba(FEATURES)[0])  # no seed depends on the others
    assert np.abs(probs.sum(axis=2) - 1).max() > 0.5
    for of_seed in probs:
        scores = score_sets(MASKS, predicted_sets(of_seed), n_classes=3)
        assert scores is not None
        assert scores.macro_f1 > 0.93
    best = both[0].curves[0].valid_score[both[0].best_epoch[0]]
    if with_gold:
        first = score_sets(MASKS[:100], predicted_sets(probs[0][:100]), n_classes=3)
        assert first is not None
        assert best == pytest.approx(first.macro_f1)
    both[0].save(tmp_path)
    np.testing.assert_array_equal(mlp.load(tmp_path).predict_proba(FEATURES), probs)


def test_gold_must_be_masks_of_the_classes() -> None:
    with pytest.raises(ValueError, match=r"expected 0\.\.7"):
        ValidationData(features=FEATURES[:1], gold=np.array([8]), n_classes=3, positive=None, multi_label=True)
