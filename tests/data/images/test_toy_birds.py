"""Drawn birds: the same from the same seed, with the promised ties between class, background and traits."""

from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("PIL")

from alchemist_exp.core.types import Split
from alchemist_exp.data.images.toy_birds import BACKGROUNDS, CLASSES, COLORS, TRAIT_SHARES, TRAITS, toy_birds


def test_the_same_seed_gives_the_same_birds_and_another_seed_or_split_others() -> None:
    one, same, other = (toy_birds(Split.TRAIN, 40, seed=seed) for seed in (3, 3, 4))
    assert one.birds == same.birds != other.birds
    assert one.birds != toy_birds(Split.VALID, 40, seed=3).birds
    assert all(np.array_equal(a, b) for a, b in zip(one[:5], same[:5], strict=True))
    assert not np.array_equal(one[0], other[0])


def test_a_row_is_drawn_alone_as_in_any_order() -> None:
    birds = toy_birds(Split.TEST, 40, seed=0)
    assert np.array_equal(birds[7], birds[5:9][2])
    assert np.array_equal(birds[-1], birds[39])
    with pytest.raises(IndexError):
        birds[40]


def test_an_image_is_rgb_and_uses_the_whole_range() -> None:
    pixels = np.stack(toy_birds(Split.TEST, 40, seed=0)[:])
    assert (pixels.shape, pixels.dtype) == ((40, 64, 64, 3), np.uint8)
    assert pixels.min() < 30
    assert pixels.max() > 220
    assert pixels.std(axis=(1, 2, 3)).min() > 10


@pytest.mark.parametrize(("split", "tied"), [(Split.TRAIN, 0.95), (Split.VALID, 0.95), (Split.TEST, 0.5)])
@pytest.mark.parametrize("n_rows", [40, 400])
def test_background_and_class_are_tied_as_promised(split: Split, tied: float, n_rows: int) -> None:
    birds = toy_birds(split, n_rows, seed=1)
    assert np.bincount(birds.labels).tolist() == [n_rows // 2, n_rows // 2]
    for label in (0, 1):
        rows = birds.labels == label
        assert (birds.backgrounds[rows] == label).mean() == pytest.approx(tied)
    assert not np.array_equal(birds.labels, np.sort(birds.labels))


@pytest.mark.parametrize("n_rows", [0, 1, 7])
def test_any_number_of_rows(n_rows: int) -> None:
    birds = toy_birds(Split.TRAIN, n_rows, seed=0)
    assert len(birds) == len(birds.labels) == len(birds.backgrounds) == n_rows


@pytest.mark.parametrize("trait", TRAITS)
def test_traits_follow_the_class_with_their_share(trait: str) -> None:
    birds = toy_birds(Split.TEST, 4000, seed=0)
    typical = [getattr(bird, trait) == TRAITS[trait][CLASSES.index(bird.label)] for bird in birds.birds]
    assert np.mean(typical) == pytest.approx(TRAIT_SHARES[trait], abs=0.03)
    # ... and not the background, given the class
    tied = birds.labels == birds.backgrounds
    assert np.mean(typical, where=tied) == pytest.approx(np.mean(typical, where=~tied), abs=0.04)


def test_attributes_have_known_values() -> None:
    values = {**TRAITS, "label": CLASSES, "background": BACKGROUNDS[:2], "color": tuple(COLORS)}
    for bird in toy_birds(Split.TRAIN, 200, seed=0).birds:
        assert all(value in values[name] for name, value in asdict(bird).items())
