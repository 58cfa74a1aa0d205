from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from alchemist_exp.concepts.scales import FittedScale, ScoreScale, fit_scale
from alchemist_exp.core.errors import StoreError

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(0.2, 0.02, (40, 6)).astype(np.float32)
TEST = RNG.normal(0.2, 0.03, (15, 6)).astype(np.float32)


def scaled(scale: ScoreScale, scores: npt.ArrayLike, train: npt.ArrayLike = TRAIN) -> npt.NDArray[np.float64]:
    return fit_scale(scale, np.asarray(train), n_classes=2).transform(np.asarray(scores))


@pytest.mark.parametrize("scale", ScoreScale)
def test_a_loaded_scale_gives_equal_scores(scale: ScoreScale, tmp_path: Path) -> None:
    fitted = fit_scale(scale, TRAIN, n_classes=2)
    fitted.save(tmp_path / "scale.npy")
    loaded = FittedScale.load(tmp_path / "scale.npy", scale, n_classes=2, n_descriptions=6)
    assert np.array_equal(loaded.transform(TEST), fitted.transform(TEST))
    with pytest.raises(StoreError, match=r"scale\.npy cannot be read: it has the shape"):
        FittedScale.load(tmp_path / "scale.npy", scale, n_classes=2, n_descriptions=4)
    np.save(tmp_path / "scale.npy", np.zeros((0, 6)))
    if scale is ScoreScale.rank:
        with pytest.raises(StoreError, match="has no scores of training images"):
            FittedScale.load(tmp_path / "scale.npy", scale, n_classes=2, n_descriptions=6)


def test_raw_scores_are_unchanged() -> None:
    assert np.array_equal(scaled(ScoreScale.raw, TEST), TEST.astype(np.float64))


def test_softmax_is_over_the_descriptions_of_one_concept() -> None:
    scores = scaled(ScoreScale.softmax, [[0.20, 0.21, 0.9, 0.9, -1.0, 1.0]])
    assert scores == pytest.approx(np.array([[1 / (1 + np.e), np.e / (1 + np.e), 0.5, 0.5, 0.0, 1.0]]))
    three = fit_scale(ScoreScale.softmax, TRAIN, n_classes=3).transform(TEST)
    assert three.reshape(-1, 3).sum(axis=1) == pytest.approx(np.ones(30))


def test_rank_counts_one_half_of_the_equal_scores() -> None:
    train = np.array([[0.1], [0.2], [0.2], [0.3]])
    rank = fit_scale(ScoreScale.rank, train, n_classes=1)
    scores = np.array([[0.0], [0.1], [0.15], [0.2], [0.3], [0.4]])
    assert rank.transform(scores)[:, 0].tolist() == [0.0, 0.125, 0.25, 0.5, 0.875, 1.0]


def test_rank_agrees_with_scipy() -> None:
    train, test = TRAIN.round(2), TEST.round(2)
    expected = [percentileofscore(train[:, c], test[:, c], kind="mean") / 100 for c in range(6)]
    assert scaled(ScoreScale.rank, test, train) == pytest.approx(np.stack(expected, axis=1))


def test_the_ranks_of_the_training_images_are_one_half_on_average() -> None:
    assert scaled(ScoreScale.rank, TRAIN).mean(axis=0) == pytest.approx(np.full(6, 0.5))


_SCORES = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@given(train=_SCORES, scores=_SCORES)
def test_rank_is_monotone_and_from_0_to_1(train: list[float], scores: list[float]) -> None:
    ranks = fit_scale(ScoreScale.rank, np.array([train]).T, n_classes=1).transform(np.array([sorted(scores)]).T)[:, 0]
    assert (np.diff(ranks) >= 0).all()
    assert ranks.min() >= 0
    assert ranks.max() <= 1


@pytest.mark.parametrize("scale", ScoreScale)
def test_a_row_does_not_depend_on_other_rows_or_on_the_order_of_train(scale: ScoreScale) -> None:
    together = scaled(scale, TEST)
    assert together.dtype == np.float64
    assert together.shape == TEST.shape
    assert np.array_equal(together[3:4], scaled(scale, TEST[3:4], TRAIN[::-1]))
    assert scaled(scale, TEST[:0]).shape == (0, 6)


@pytest.mark.parametrize("scale", ScoreScale)
def test_extreme_scores_stay_finite(scale: ScoreScale) -> None:
    scores = scaled(scale, [[1e6, -1e6, 0.0, 0.0, -1e6, -1e6]])
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scale", ScoreScale)
def test_the_callers_arrays_are_not_changed(scale: ScoreScale) -> None:
    train, test = TRAIN.astype(np.float64), TEST.astype(np.float64)
    scaled(scale, test, train)[:] = -1
    assert np.array_equal(train, TRAIN.astype(np.float64))
    assert np.array_equal(test, TEST.astype(np.float64))


@pytest.mark.parametrize(
    ("train", "scores", "message"),
    [
        (TRAIN[:0], TEST, "no training images"),
        (TRAIN[:, :5], TEST, r"shape \(40, 5\); expected \(n_rows, n_concepts \* 2\)"),
        (TRAIN[0], TEST, r"shape \(6,\)"),
        (TRAIN, TEST[:, :4], r"shape \(15, 4\); expected \(n_rows, 6\)"),
        (TRAIN, np.full((1, 6), np.nan), "not finite"),
        (np.full((1, 6), np.inf), TEST, "not finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(
    train: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        scaled(ScoreScale.rank, scores, train)
