import numpy as np
import pytest

from alchemist_exp.evaluation.label_worth import draw_rows, find_crossing, training_sizes

SIZES = (50, 100, 200, 400)


@pytest.mark.parametrize(
    ("scores", "target", "expected"),
    [
        ((0.5, 0.6, 0.7, 0.8), 0.4, "fewer than 50"),
        ((0.5, 0.6, 0.7, 0.8), 0.5, "about 50"),
        ((0.5, 0.6, 0.7, 0.8), 0.7, "about 200"),
        ((0.5, 0.6, 0.7, 0.8), 0.75, "about 280"),  # 200 times the square root of 2
        ((0.5, 0.6, 0.7, 0.8), 0.81, "more than 400"),
        ((0.5, 0.72, 0.68, 0.8), 0.71, "about 210"),  # a score that is high by chance is no crossing
    ],
)
def test_the_crossing_is_interpolated_on_a_curve_that_never_falls(scores, target: float, expected: str) -> None:
    assert str(find_crossing(SIZES, scores, target)) == expected


def test_draws_contain_each_other_and_stay_the_same() -> None:
    orders = draw_rows(100, 3)
    assert all(np.array_equal(a, b) for a, b in zip(orders, draw_rows(100, 3), strict=True))
    assert not np.array_equal(orders[0], orders[1])
    assert sorted(orders[2].tolist()) == [*range(100)]


def test_all_rows_are_the_last_size_unless_there_are_too_many() -> None:
    assert training_sizes(50, 12_800) == (50,)
    assert training_sizes(100, 12_800) == (50, 100)
    assert training_sizes(120, 12_800) == (50, 100, 120)
    assert training_sizes(1_000_000, 150) == (50, 100)
