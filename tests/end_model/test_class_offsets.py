"""The decision rule for macro-F1, and the end model that has it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alchemist_exp.core.types import SoftLabels
from alchemist_exp.end_model.class_offsets import MAX_OFFSET, add_offsets, choose_offsets
from alchemist_exp.end_model.early_stopping import ValidationSet
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.end_model.network import MLP
from alchemist_exp.evaluation.metrics import score
from tests.end_model.conftest import Toy


def macro_f1(gold: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    found = score(gold, predicted, n_classes=n_classes, positive=None)
    assert found is not None
    return found.macro_f1


def test_rare_classes_gain_and_a_model_that_is_right_keeps_its_classes() -> None:
    rng = np.random.default_rng(0)
    gold = rng.choice(3, 600, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(600, 3)) + np.eye(3)[gold] + np.log([0.7, 0.2, 0.1])
    offsets = choose_offsets(logits, gold)
    assert offsets[0] < offsets[1] < offsets[2]
    assert np.abs(offsets).max() <= MAX_OFFSET
    before, after = (macro_f1(gold, one.argmax(axis=1), 3) for one in (logits, logits + offsets))
    assert after > before + 0.05
    assert choose_offsets(np.eye(3)[gold], gold).tolist() == [0, 0, 0]
    noise = rng.normal(size=(600, 3))  # in sample, some offset is always better
    assert choose_offsets(noise, rng.integers(0, 3, 600)).tolist() == [0, 0, 0]
    assert choose_offsets(np.zeros((1, 2)), np.array([0])).tolist() == [0, 0]


def test_ties_are_scored_as_they_are_predicted() -> None:
    logits, gold = np.repeat([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], 20, axis=0), np.repeat([1, 0, 1], 20)
    assert macro_f1(gold, (logits + choose_offsets(logits, gold)).argmax(axis=1), 2) == 1


def test_offsets_of_soft_labels_leave_uncovered_rows_without_a_label() -> None:
    labels = SoftLabels(probs=np.array([[0.75, 0.25], [0.0, 0.0]]), covered=np.array([True, False]))
    assert np.allclose(add_offsets(labels, (0.0, float(np.log(9)))).probs, [[0.25, 0.75], [0, 0]])
    assert add_offsets(labels, ()) is labels


def test_early_stopping_watches_macro_f1() -> None:
    rng = np.random.default_rng(1)
    rows, gold = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 2, 50)
    network = MLP([4, 3])
    network.initialize(torch.Generator().manual_seed(0))
    watched = ValidationSet(torch.tensor(rows), torch.tensor(gold), None, macro=True).score(network)
    predicted = network.logits(torch.tensor(rows)).argmax(dim=1).numpy()
    assert watched.item() == pytest.approx(macro_f1(gold, predicted, 3))


def test_each_seed_has_its_own_offsets_which_are_saved(make: Callable[..., Mlp], toy: Toy, tmp_path: Path) -> None:
    rare = np.flatnonzero((toy.validation.gold == 0) | (np.arange(60) % 5 == 0))
    features, gold = toy.validation.features[rare], toy.validation.gold[rare]
    macro = replace(toy.validation, features=features, gold=gold, macro=True)
    model = make(max_epochs=5)
    fitted = model.fit(toy.features, toy.labels, seeds=[0, 1], validation=macro)
    alone = model.fit(toy.features, toy.labels, seeds=[0], validation=macro)
    assert fitted.class_offsets is not None
    assert any(fitted.class_offsets[0])
    assert fitted.class_offsets[0] != fitted.class_offsets[1]
    assert alone.class_offsets == fitted.class_offsets[:1]
    assert np.array_equal(alone.predict_proba(features)[0], fitted.predict_proba(features)[0])
    fitted.save(tmp_path)
    assert np.array_equal(model.load(tmp_path).predict_proba(features), fitted.predict_proba(features))
    for other in (replace(macro, macro=False), None):
        assert model.fit(toy.features, toy.labels, seeds=[0], validation=other).class_offsets is None
