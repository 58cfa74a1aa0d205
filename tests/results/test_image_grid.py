import io
import sys

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.results.canvas import WRONG
from alchemist_exp.results.fonts import drawable, shorten, text_width, wrap
from alchemist_exp.results.image_cells import GridCell, class_marks
from alchemist_exp.results.image_grid import MAX_CELLS, choose_cells, image_grid

RNG = np.random.default_rng(0)
DESCRIPTIONS = [f"A bird's trait {number} is long" for number in range(16)]
PROGRAMS = [f"concepts-{number}" for number in range(20)]
BACKGROUND = (255, 255, 255)


def pixels(height: int = 64, width: int = 64) -> np.ndarray:
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


def cell(*, right: bool | None = True, **values: object) -> GridCell:
    made = {
        "image": np.full((64, 64, 3), (10, 200, 90), np.uint8),
        "name": "row 1",
        "gold": None if right is None else "landbird",
        "predicted": "landbird" if right else "waterbird",
        "right": right,
        "scores": tuple(np.linspace(0.1, 0.3, len(DESCRIPTIONS))),
        "votes": ("landbird", "waterbird", None, "landbird") * 5,
    }
    return GridCell(**{**made, **values})  # type: ignore[arg-type]


def drawn(cells: list[GridCell], **values: object) -> np.ndarray:
    given = {"descriptions": DESCRIPTIONS, "programs": PROGRAMS, "title": "toy birds, test", **values}
    raw = image_grid(cells, **given)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(raw)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


def box_of(picture: np.ndarray, color: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the area of a color."""
    ys, xs = np.nonzero((picture == np.array(color, np.uint8)).all(axis=2))
    return (int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1) if len(ys) else (0, 0)


def test_the_largest_grid_fits_the_width_of_a_screen_and_nothing_touches_its_edge() -> None:
    picture = drawn([cell(right=bool(i % 2)) for i in range(MAX_CELLS)])
    assert picture.shape[1] <= 1366
    for edge in (picture[:10], picture[-10:], picture[:, :10], picture[:, -10:]):
        assert (edge == BACKGROUND).all()


def test_equal_arguments_give_equal_bytes() -> None:
    cells = [cell(), cell(right=False), cell(right=None)]
    given = {"descriptions": DESCRIPTIONS, "programs": PROGRAMS, "title": "title"}
    assert image_grid(cells, **given) == image_grid(list(cells), **given)  # type: ignore[arg-type]


def test_wrong_predictions_differ_by_words_and_shapes_too() -> None:
    """In shades of gray the two cells are different, and only the wrong one has a dashed frame."""
    same = {"gold": "landbird", "predicted": "landbird"}
    right, wrong = drawn([cell(**same)]), drawn([cell(right=False, **same)])
    assert right.shape == wrong.shape
    assert np.abs(right.astype(float).mean(axis=2) - wrong.astype(float).mean(axis=2)).max() > 50
    orange = tuple(bytes.fromhex(WRONG[1:]))
    assert box_of(right, orange) == (0, 0)
    assert min(box_of(wrong, orange)) > 250


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (30, 400), (400, 30), (1500, 2000)])
def test_images_of_any_size_keep_their_shape(shape: tuple[int, int]) -> None:
    color = (1, 254, 3)
    height, width = box_of(drawn([cell(image=np.full((*shape, 3), color, np.uint8))]), color)
    scale = min(160 / shape[0], 296 / shape[1])
    assert (height, width) == (max(1, round(scale * shape[0])), max(1, round(scale * shape[1])))


def test_an_image_may_be_a_view_that_is_not_contiguous() -> None:
    drawn([cell(image=pixels(40, 80)[::2, ::-2])])


def test_booleans_of_numpy_are_in_the_same_blocks() -> None:
    for right in (True, False):
        assert (drawn([cell(right=np.bool_(right))]) == drawn([cell(right=right)])).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("image", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_no_images(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        cell(image=image)


@pytest.mark.parametrize(
    "text",
    ["鳥\x1b[31m red", "", "\x00", "a\nb\tc", "\u202eabc", "\ud800", "x" * 5000, "naïve Müller", "e\u0301", "🦆" * 500],
    ids=ascii,
)
def test_hostile_texts_change_no_width(text: str) -> None:
    made = cell(name=text, gold=text, predicted=f"{text}2", votes=(text, None, f"{text}2", "a") * 5, scores=(0.2,) * 16)
    picture = drawn([made, cell(right=False)], title=text, descriptions=[text] * 16, programs=[text] * 20)
    assert picture.shape[1] == drawn([cell(), cell(right=False)]).shape[1]
    assert (picture[:, -20:] == BACKGROUND).all()


def test_without_scores_and_votes_the_cells_are_smaller() -> None:
    whole = drawn([cell()])
    no_votes = drawn([cell(votes=())], programs=[])
    bare = drawn([cell(scores=(), votes=())], descriptions=[], programs=[])
    assert whole.shape[0] > no_votes.shape[0] > bare.shape[0]
    assert drawn([cell(scores=(), votes=())]).shape == bare.shape  # names alone need no place


def test_one_cell_may_have_no_scores_and_votes() -> None:
    assert drawn([cell(), cell(scores=(), votes=())]).shape[0] == drawn([cell(), cell()]).shape[0]


def test_a_cell_without_classes_and_title_is_drawn() -> None:
    drawn([cell(right=None, predicted=None, scores=(), votes=())], descriptions=[], programs=[], title="")


def test_scores_that_are_not_finite_do_not_change_the_scale_of_the_others() -> None:
    scores = [(float("nan"),), (float("inf"),), (-1e300,), (0.5,), (-0.0,)]
    drawn([cell(scores=each) for each in scores], descriptions=["one"])


def test_the_bars_of_a_description_share_a_scale() -> None:
    """The bar of the highest score has the width of its track, that of the lowest has two pixels."""
    ink, track = 0x22, 0xE2
    widths = []
    for own in (0.21, 0.2, 0.19):
        cells = [cell(scores=(score,), votes=()) for score in (own, 0.19, 0.21)]
        bars = drawn(cells, descriptions=["one"], programs=[])[:, 196:283]
        rows = np.flatnonzero(np.isin(bars, (ink, track)).all(axis=(1, 2)))
        widths.append(int((bars[rows[0]] == ink).all(axis=1).sum()))
    assert widths[0] > 80
    assert widths[1] == pytest.approx(widths[0] / 2, abs=2)
    assert widths[2] == 2


def test_more_than_twenty_programs_and_sixteen_descriptions_get_more_lines() -> None:
    many = cell(votes=("landbird",) * 45, scores=(0.1,) * 30)
    picture = drawn([many], programs=["p"] * 45, descriptions=["d"] * 30)
    assert picture.shape[0] > drawn([cell()]).shape[0]


def test_many_classes_have_different_marks() -> None:
    cells = [cell(votes=tuple(f"class {i}" for i in range(100)))]
    marks = class_marks(cells)
    assert len({mark.letter for mark in marks.values()}) == len(marks) == 101
    drawn(cells, programs=["p"] * 100)


def test_classes_have_their_first_letters_where_those_differ() -> None:
    letters = [mark.letter for mark in class_marks([cell()]).values()]
    assert letters == ["L", "W"]
    similar = cell(gold="spam", predicted="sport", votes=(None,) * 20)
    assert [mark.letter for mark in class_marks([similar]).values()] == ["A", "B"]


@pytest.mark.parametrize("cells", [[], [cell()] * (MAX_CELLS + 1), [cell(scores=(0.1,))], [cell(votes=("a",))]])
def test_wrong_numbers_are_refused(cells: list[GridCell]) -> None:
    with pytest.raises(ValueError, match="expected"):
        drawn(cells)


def test_without_pillow_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"needs the package pillow; install it with: .*\[images\]"):
        image_grid([cell()], descriptions=DESCRIPTIONS, programs=PROGRAMS, title="")


def test_choose_cells_takes_half_of_each_reproducibly() -> None:
    right = np.arange(100) % 10 != 0
    rows = choose_cells(right, 16, seed=0)
    assert rows.dtype == np.int64
    assert right[rows].tolist() == [True] * 8 + [False] * 8
    assert rows[:8].tolist() == sorted({*rows[:8].tolist()})
    assert rows.tolist() == choose_cells(right, 16, seed=0).tolist() != choose_cells(right, 16, seed=1).tolist()


@pytest.mark.parametrize(
    ("right", "n", "expected"), [([], 16, 0), ([True] * 9, 16, 8), ([False] * 9, 3, 2), ([True, False], 0, 0)]
)
def test_choose_cells_takes_fewer_where_there_are_fewer(right: list[bool], n: int, expected: int) -> None:
    assert len(choose_cells(np.array(right, dtype=np.bool_), n, seed=0)) == expected


def test_texts_are_shortened_to_their_ends() -> None:
    text = "An insect's body has a narrow waist between thorax and abdomen"
    short = shorten(text, 12, 160)
    assert short.startswith("An ")
    assert " … " in short
    assert short.endswith(" abdomen")
    assert text_width(short, 12) <= 160
    assert shorten("short", 12, 160) == "short"
    assert shorten("x" * 300, 12, 100).count("…") == 1
    assert shorten("xyz", 12, 0) == "…"


def test_characters_that_the_font_does_not_have_are_replaced() -> None:
    assert drawable("plain “text”, 100 %") == "plain “text”, 100 %"
    assert drawable("é – ß 鳥") == "e - \\xdf \\u9ce5"


def test_wrap_keeps_all_words_and_the_width() -> None:
    words = [f"word{number}" for number in range(60)]
    lines = wrap(words, 14, 300)
    assert " ".join(lines).split() == words
    assert all(text_width(line, 14) <= 300 for line in lines)
