"""Distillation: independent seeds, soft labels of covered rows, the best weights, clear errors."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from alchemist_exp.core.errors import AlchemistError, DataError
from alchemist_exp.core.types import SoftLabels
from alchemist_exp.end_model.base import FittedEndModel, ValidationData, hold_out
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.evaluation.metrics import score

if TYPE_CHECKING:
    from tests.end_model.conftest import Toy

Make = Callable[..., Mlp]


def fit(mlp: Mlp, toy: Toy, *seeds: int) -> FittedEndModel:
    return mlp.fit(toy.features, toy.labels, seeds=seeds, validation=toy.validation)


def all_covered(probs: np.ndarray) -> SoftLabels:
    return SoftLabels(probs=probs, covered=np.ones(len(probs), dtype=bool))


# Seeds


@pytest.mark.parametrize(("rows", "columns", "classes"), [(180, 6, 2), (331, 259, 3), (150, 33, 5)])
def test_a_seed_is_the_same_to_the_last_bit_with_any_other_seeds(
    make: Make, rows: int, columns: int, classes: int
) -> None:
    rng = np.random.default_rng(rows)
    gold = rng.integers(0, classes, 2 * rows)
    features = (rng.normal(size=(2 * rows, columns)) + gold[:, np.newaxis] / 4).astype(np.float32)
    labels = all_covered(np.eye(classes, dtype=np.float32)[gold[:rows]] * 0.8 + 0.2 / classes)
    validation = ValidationData(features=features[rows:], gold=gold[rows:], n_classes=classes, positive=None)

    def fitted(*seeds: int) -> FittedEndModel:
        return make(patience=3).fit(features[:rows], labels, seeds=seeds, validation=validation)

    together = fitted(0, 1, 2, 3, 4)
    probs = together.predict_proba(features)
    assert len({len(curve.train_loss) for curve in together.curves}) > 1  # also after some seeds have stopped
    for seed in range(5):
        alone = fitted(seed)
        assert alone.curves[0] == together.curves[seed]
        assert np.array_equal(alone.predict_proba(features)[0], probs[seed])
    reordered = fitted(4, 9)
    assert np.array_equal(reordered.predict_proba(features)[0], probs[4])


def test_seeds_differ_and_are_reproducible(make: Make, toy: Toy) -> None:
    first, second = fit(make(), toy, 0, 1), fit(make(), toy, 0, 1)
    zero, one = first.predict_proba(toy.features)
    assert not np.allclose(zero, one, atol=1e-3)
    assert np.array_equal(first.predict_proba(toy.features), second.predict_proba(toy.features))
    assert first.curves == second.curves


def global_states() -> tuple[object, ...]:
    numpy = np.random.get_state()  # noqa: NPY002 - the global state is compared
    return random.getstate(), str(numpy), torch.get_rng_state().numpy().tobytes()


def test_the_global_generators_are_neither_used_nor_changed(make: Make, toy: Toy) -> None:
    first = fit(make(), toy, 0).predict_proba(toy.features)
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    before = global_states()
    second = fit(make(), toy, 0).predict_proba(toy.features)
    assert global_states() == before
    assert np.array_equal(first, second)


# What is learned


def test_learns_from_noisy_labels(make: Make, toy: Toy) -> None:
    model = fit(make(), toy, 0, 1)
    gold = toy.validation.gold
    for probs in model.predict_proba(toy.validation.features):
        assert (probs.argmax(axis=1) == gold).mean() > 0.8


def test_soft_labels_are_learned_as_probabilities_not_as_classes(make: Make) -> None:
    features = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    labels = all_covered(np.tile(np.float32([0.7, 0.3]), (400, 1)))
    model = make(patience=30).fit(features, labels, seeds=[0], validation=None)
    assert np.allclose(model.predict_proba(features)[0, :, 0].mean(), 0.7, atol=0.1)


def test_uncovered_rows_do_not_count(make: Make, toy: Toy) -> None:
    changed = toy.features.copy()
    changed[~toy.labels.covered] = 1e3
    first, second = (
        make().fit(features, toy.labels, seeds=[0], validation=validation)
        for features in (toy.features, changed)
        for validation in [toy.validation]
    )
    assert np.array_equal(first.predict_proba(toy.features), second.predict_proba(toy.features))
    held = [make().fit(features, toy.labels, seeds=[0], validation=None) for features in (toy.features, changed)]
    assert np.array_equal(*(model.predict_proba(toy.features) for model in held))


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_size_of_the_features_does_not_matter(make: Make, toy: Toy, factor: float) -> None:
    grown = dataclasses.replace(toy.validation, features=toy.validation.features * np.float32(factor))
    model = make().fit(toy.features * np.float32(factor), toy.labels, seeds=[0], validation=grown)
    expected = fit(make(), toy, 0).predict_proba(toy.features)
    assert np.allclose(model.predict_proba(toy.features * np.float32(factor)), expected, atol=1e-3)


# Early stopping


@pytest.mark.parametrize("positive", [None, 1])
def test_the_best_weights_are_kept(make: Make, toy: Toy, positive: int | None) -> None:
    validation = dataclasses.replace(toy.validation, positive=positive)
    model = make(patience=6).fit(toy.features, toy.labels, seeds=[0, 1, 2], validation=validation)
    for curve, probs in zip(model.curves, model.predict_proba(validation.features), strict=True):
        scores = score(validation.gold, probs.argmax(axis=1), n_classes=2, positive=positive)
        assert scores is not None
        best = scores.accuracy if positive is None else scores.f1
        assert max(curve.valid_score) == pytest.approx(best)
        assert curve.best_epoch == curve.valid_score.index(max(curve.valid_score))


def test_each_seed_stops_after_its_own_patience(make: Make, toy: Toy) -> None:
    epochs: list[int] = []
    model = make(patience=3).fit(
        toy.features, toy.labels, seeds=range(5), validation=toy.validation, on_epoch=epochs.append
    )
    lengths = [len(curve.train_loss) for curve in model.curves]
    assert lengths == [len(curve.valid_score) for curve in model.curves]
    assert lengths == [epoch + 1 + 3 for epoch in model.best_epoch]
    assert len(set(lengths)) > 1
    assert epochs == list(range(max(lengths)))


def test_epochs_are_bounded(make: Make, toy: Toy) -> None:
    epochs: list[int] = []
    model = make(max_epochs=2).fit(
        toy.features, toy.labels, seeds=[0], validation=toy.validation, on_epoch=epochs.append
    )
    assert epochs == [0, 1]
    assert len(model.curves[0].train_loss) == 2


def test_without_gold_covered_rows_are_held_out(toy: Toy) -> None:
    rows, held_out = hold_out(toy.features, toy.labels, share=0.1, rng=np.random.default_rng(0))
    assert len(held_out.gold) == 15
    assert len(set(rows.tolist())) == 135
    assert toy.labels.covered[rows].all()
    learned = {row.tobytes() for row in toy.features[rows]}
    assert not learned & {row.tobytes() for row in held_out.features}


def test_one_covered_row_is_learned_and_held_out(toy: Toy) -> None:
    labels = SoftLabels(probs=toy.labels.probs, covered=np.arange(len(toy.features)) == 7)
    rows, held_out = hold_out(toy.features, labels, share=0.1, rng=np.random.default_rng(0))
    assert rows.tolist() == [7]
    assert np.array_equal(held_out.features[0], toy.features[7])


# Degenerate input


@pytest.mark.parametrize("with_gold", [True, False])
@pytest.mark.parametrize(("rows", "classes", "k"), [(1, 1, 2), (2, 2, 2), (40, 1, 3), (40, 20, 20), (90, 3, 20)])
def test_few_rows_one_class_or_many(make: Make, rows: int, classes: int, k: int, with_gold: bool) -> None:
    features = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    gold = np.arange(rows) % classes
    validation = ValidationData(features=features, gold=gold, n_classes=k, positive=None) if with_gold else None
    model = make().fit(features, all_covered(np.eye(k, dtype=np.float32)[gold]), seeds=[0, 1], validation=validation)
    probs = model.predict_proba(features)
    assert probs.shape == (2, rows, k)
    assert probs.dtype == np.float32
    assert not probs.flags.writeable
    assert np.allclose(probs.sum(axis=2), 1, atol=1e-5)
    assert model.predict_proba(features[:0]).shape == (2, 0, k)


@pytest.mark.parametrize("hidden", [[], [5], [8, 8, 8]])
def test_any_depth_is_valid_and_features_may_all_be_zero(make: Make, toy: Toy, hidden: list[int]) -> None:
    model = make(hidden=hidden).fit(np.zeros_like(toy.features), toy.labels, seeds=[0], validation=toy.validation)
    assert np.isfinite(model.predict_proba(toy.features)).all()


def test_nothing_covered_is_an_error_that_says_how_to_fix_it(make: Make, toy: Toy) -> None:
    labels = SoftLabels(probs=toy.labels.probs, covered=np.zeros(len(toy.features), dtype=bool))
    for validation in (toy.validation, None):
        with pytest.raises(AlchemistError, match="nothing to distil; see in the record"):
            make().fit(toy.features, labels, seeds=[0], validation=validation)


def test_divergence_is_an_error_that_says_how_to_fix_it(make: Make, toy: Toy) -> None:
    with pytest.raises(AlchemistError, match=r"diverged with seed 0, 4; lower end_model.learning_rate"):
        fit(make(learning_rate=1e38), toy, 0, 4)


def test_arguments_that_do_not_match_are_refused(make: Make, toy: Toy) -> None:
    with pytest.raises(ValueError, match="do not match"):
        make().fit(toy.features[:5], toy.labels, seeds=[0], validation=None)
    with pytest.raises(ValueError, match="not finite"):
        make().fit(np.full_like(toy.features, np.nan), toy.labels, seeds=[0], validation=None)
    with pytest.raises(ValueError, match="validation has 6 features and 2 classes"):
        make().fit(toy.features[:, :5], toy.labels, seeds=[0], validation=toy.validation)
    with pytest.raises(ValueError, match="no seed"):
        make().fit(toy.features, toy.labels, seeds=[], validation=None)
    with pytest.raises(ValueError, match=r"expected \(n_rows, 6\)"):
        fit(make(max_epochs=1), toy, 0).predict_proba(toy.features[:, :5])


@pytest.mark.parametrize(("gold", "positive"), [([0, 2], None), ([0, -1], None), ([0, 1], 2), ([0], None)])
def test_validation_data_checks_its_values(gold: list[int], positive: int | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        ValidationData(features=np.zeros((2, 3), np.float32), gold=np.array(gold), n_classes=2, positive=positive)


def test_an_empty_validation_split_is_an_error_that_says_how_to_fix_it() -> None:
    with pytest.raises(DataError, match="gold=none"):
        ValidationData(features=np.zeros((0, 3), np.float32), gold=np.zeros(0, np.int64), n_classes=2, positive=None)
