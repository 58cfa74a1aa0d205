"""Drawn birds with known attributes, a stand-in for Waterbirds that needs no files (paper, Section 3.3 and Table 2).

The background is tied to the class in train and valid, and independent of it in test, so a labeler that looks at the
background is right on 95% of train and on half of test. valid is tied too: a stage that may use gold labels of valid
must not learn from them that the tie is spurious. Scores on these drawings say nothing about photos.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.hashing import key_of
from alchemist_exp.core.types import IntArray, Split, read_only

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

CLASSES: Final = ("landbird", "waterbird")
BACKGROUNDS: Final = ("land", "water", "plain")
SIZE: Final = 64
"""Height and width of a drawing in pixels."""

TIE: Final = 0.95
"""Share of the rows of a class in train and valid whose background is that of the class."""

TRAITS: Final = {
    "feet": ("grasping", "webbed"),
    "bill": ("short", "long"),
    "neck": ("short", "long"),
    "body": ("small", "large"),
}
"""The values of each trait: typical of a landbird, typical of a waterbird."""

TRAIT_SHARES: Final = {"feet": 0.97, "bill": 0.88, "neck": 0.8, "body": 0.75}
"""Share of birds with the value that is typical of their class."""

COLORS: Final = {
    "light": (222, 220, 212),
    "gray": (125, 130, 138),
    "dark": (55, 50, 48),
    "brown": (140, 95, 55),
    "red": (190, 55, 45),
}
_COLOR_SHARES = ((0.08, 0.15, 0.22, 0.3, 0.25), (0.35, 0.3, 0.2, 0.12, 0.03))  # of landbirds, of waterbirds

VERSION: Final = 1
"""Raise it when the same seed gives other drawings: results that were made from them are then not reused."""

_CANVAS = 2 * SIZE  # drawings are made at double size and reduced, which smooths the edges
_SPLITS = tuple(Split)

ImageArray = npt.NDArray[np.uint8]
_Rgb = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Bird:
    """What is drawn in one image.

    Attributes:
        label: A class of `CLASSES`.
        background: One of `BACKGROUNDS`; datasets have no plain one.
        feet: grasping or webbed.
        bill: short or long.
        neck: short or long.
        body: small or large.
        color: A color of `COLORS`.

    """

    label: str
    background: str
    feet: str
    bill: str
    neck: str
    body: str
    color: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ToyBirds(Sequence[ImageArray]):
    """One split of drawings. An image is drawn when it is asked for, so the memory does not grow with the rows.

    Equal arguments of `toy_birds` give equal birds. The pixels also depend on the version of Pillow.

    Attributes:
        seed: The seed of the dataset.
        split: The split.
        birds: The attributes of each row.

    """

    seed: int
    split: Split
    birds: tuple[Bird, ...]

    @property
    def labels(self) -> IntArray:
        """Read-only int64 array of shape (n_rows,): the index of each row's class in `CLASSES`."""
        return read_only([CLASSES.index(bird.label) for bird in self.birds], np.int64)

    @property
    def backgrounds(self) -> IntArray:
        """Read-only int64 array of shape (n_rows,): 0 for land, 1 for water."""
        return read_only([BACKGROUNDS.index(bird.background) for bird in self.birds], np.int64)

    @property
    def keys(self) -> tuple[str, ...]:
        """For each row a key of its image: of what decides about its pixels, so nothing is drawn."""
        from PIL import __version__ as pillow

        seed = [self.seed, self.split.value, pillow, VERSION]
        return tuple(key_of("toy_bird", {"seed": seed, "row": row, "bird": b}) for row, b in enumerate(self.birds))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.birds)

    @overload
    def __getitem__(self, row: int) -> ImageArray: ...
    @overload
    def __getitem__(self, row: slice) -> list[ImageArray]: ...
    def __getitem__(self, row: int | slice) -> ImageArray | list[ImageArray]:
        """Draw one row, or several.

        Args:
            row: A row number or a slice of row numbers.

        Returns:
            uint8 array of shape (64, 64, 3), RGB; a list of them for a slice.

        """
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        number = range(len(self))[row]
        return draw_row(self.birds[number], self.seed, self.split, number)


def toy_birds(split: Split, n_rows: int, *, seed: int) -> ToyBirds:
    """Return the attributes of a split's birds; their images are drawn later.

    Args:
        split: The classes have equal shares in each. In train and valid, `TIE` of each class has its background; in
            test, half.
        n_rows: Number of rows; shares are exact if it is a multiple of 40.
        seed: Any whole number from 0. Other seeds give other birds and other drawings.

    Returns:
        The rows, in random order.

    Example:
        >>> birds = toy_birds(Split.TRAIN, 200, seed=0)
        >>> int((birds.labels == birds.backgrounds).sum())
        190
        >>> birds[0].shape
        (64, 64, 3)

    """
    rng = np.random.default_rng([seed, _SPLITS.index(split), 0])
    label = np.arange(n_rows) % 2
    n_tied = np.round((0.5 if split is Split.TEST else TIE) * np.array([(n_rows + 1) // 2, n_rows // 2]))
    is_tied = np.arange(n_rows) // 2 < n_tied[label]
    order = rng.permutation(n_rows)
    birds = tuple(
        draw_attributes(int(label[row]), BACKGROUNDS[label[row] if is_tied[row] else 1 - label[row]], rng)
        for row in order
    )
    return ToyBirds(seed=seed, split=split, birds=birds)


def draw_attributes(label: int, background: str, rng: np.random.Generator) -> Bird:
    """Draw the traits and the color of a bird of a class.

    Args:
        label: The index of its class.
        background: One of `BACKGROUNDS`.
        rng: Where the randomness comes from.

    Returns:
        The bird.

    """
    traits = {name: TRAITS[name][label if rng.random() < share else 1 - label] for name, share in TRAIT_SHARES.items()}
    color = str(rng.choice(list(COLORS), p=_COLOR_SHARES[label]))
    return Bird(label=CLASSES[label], background=background, color=color, **traits)


def draw_row(bird: Bird, seed: int, split: Split, row: int) -> ImageArray:
    """Draw the bird of a row.

    Args:
        bird: What to draw.
        seed: The seed of the dataset.
        split: The split of the row.
        row: Its number in the split.

    Returns:
        uint8 array of shape (64, 64, 3), RGB; equal for equal arguments.

    """
    return draw(bird, np.random.default_rng([seed, _SPLITS.index(split), row, 1]))


def draw(bird: Bird, rng: np.random.Generator) -> ImageArray:
    """Draw one bird in a random pose.

    Args:
        bird: What to draw; its label is not visible.
        rng: Where the randomness comes from: position, shades, noise.

    Returns:
        uint8 array of shape (64, 64, 3), RGB.

    """
    from PIL import Image

    scene = _background(bird.background, rng)
    layer = _bird_layer(bird, rng)
    if rng.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    layer = layer.rotate(float(rng.normal(0, 5)), resample=Image.Resampling.BICUBIC)
    scene.paste(layer, (0, 0), layer)
    small = np.asarray(scene.resize((SIZE, SIZE), Image.Resampling.LANCZOS), dtype=np.float64)
    return _as_pixels(small + rng.normal(0, 5, small.shape))


def _background(kind: str, rng: np.random.Generator) -> "PILImage":
    """Draw a plain plate, or sky over water or land with waves, trunks and grass."""
    from PIL import Image, ImageDraw

    if kind == "plain":
        shade = np.full(3, rng.uniform(170, 235)) + rng.normal(0, 8, 3)
        return Image.fromarray(_as_pixels(shade + _smooth_noise(rng, deviation=5, cells=6)))
    if kind == "water":
        horizon = rng.uniform(0.25, 0.5)
        sky, ground = np.array([170, 200, 230]) + rng.normal(0, 15, 3), np.array([40, 100, 150]) + rng.normal(0, 18, 3)
    else:
        horizon = rng.uniform(0.2, 0.5)
        sky = np.array([120, 150, 90] if rng.random() < 0.6 else [175, 200, 225]) + rng.normal(0, 18, 3)
        ground = np.array([90, 125, 50] if rng.random() < 0.6 else [130, 105, 70]) + rng.normal(0, 18, 3)
    is_sky = (np.linspace(0, 1, _CANVAS) < horizon)[:, np.newaxis, np.newaxis]
    image = Image.fromarray(_as_pixels(np.where(is_sky, sky, ground) + _smooth_noise(rng, deviation=10, cells=8)))
    pen, edge = ImageDraw.Draw(image), horizon * _CANVAS
    if kind == "water":
        for _ in range(rng.integers(8, 18)):
            x, y, width = rng.uniform(0, _CANVAS), rng.uniform(edge + 3, _CANVAS), rng.uniform(6, 22)
            pen.arc([x, y, x + width, y + 5], 200, 340, fill=_shade(ground + rng.uniform(20, 60)), width=2)
        return image
    for _ in range(rng.integers(3, 8)):
        x, width, bark = rng.uniform(0, _CANVAS), rng.uniform(3, 9), (rng.uniform(60, 95), rng.uniform(45, 65), 35)
        pen.rectangle([x, 0, x + width, edge + rng.uniform(0, 25)], fill=_shade(bark))
    for _ in range(rng.integers(20, 45)):
        x, y, grass = rng.uniform(0, _CANVAS), rng.uniform(edge, _CANVAS), (rng.uniform(40, 110), rng.uniform(90, 160))
        pen.line([x, y, x + rng.uniform(-4, 4), y - rng.uniform(4, 12)], fill=_shade((*grass, 30)), width=2)
    return image


def _bird_layer(bird: Bird, rng: np.random.Generator) -> "PILImage":
    """Draw the bird on a transparent canvas, its head on the right."""
    from PIL import Image, ImageDraw

    layer = Image.new("RGBA", (_CANVAS, _CANVAS), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    plumage = np.array(COLORS[bird.color]) + rng.normal(0, 12, 3)
    body, wing = _shade(plumage), _shade(0.72 * plumage)
    k = (1.12 if bird.body == "large" else 0.88) * rng.uniform(0.92, 1.08)
    x, y = 0.47 * _CANVAS + rng.uniform(-7, 7), 0.52 * _CANVAS + rng.uniform(-6, 4)
    width, height = 30 * k, 18 * k * (1.0 if bird.neck == "long" else 1.12)  # half axes of the body

    skin = _shade(np.array([230, 140, 30] if rng.random() < 0.6 else [70, 60, 60]) + rng.normal(0, 12, 3))
    leg = rng.uniform(16, 22) * k
    for foot_x in (x - 8 * k, x + 8 * k):
        top, end, toe = y + 0.8 * height, y + 0.8 * height + leg, 12 * rng.uniform(0.9, 1.1)
        pen.line([foot_x, top, foot_x, end], fill=skin, width=4)
        if bird.feet == "webbed":
            web = [(0, -5), (-0.55 * toe, 8), (0.3 * toe, 9), (1.05 * toe, 7)]
            pen.polygon([(foot_x + dx, end + dy) for dx, dy in web], fill=skin)
        else:
            for share in (-0.9, 0.1, 1.0):
                pen.line([foot_x, end, foot_x + share * toe, end + 8], fill=skin, width=2)

    tail = y - rng.uniform(-0.2, 0.5) * height
    pen.polygon(
        [(x - 0.8 * width, y - 0.3 * height), (x - 1.5 * width, tail), (x - 0.8 * width, y + 0.4 * height)], wing
    )
    pen.ellipse([x - width, y - height, x + width, y + height], fill=body)
    pen.ellipse([x - 0.75 * width, y - 0.55 * height, x + 0.45 * width, y + 0.5 * height], fill=wing)
    if bird.neck == "long":
        head_x, head_y = x + 0.95 * width, y - height - 20 * k
        pen.line([x + 0.6 * width, y - 0.3 * height, head_x, head_y], fill=body, width=math.floor(9 * k))
    else:
        head_x, head_y = x + 0.85 * width, y - 0.9 * height
        pen.line([x + 0.5 * width, y, head_x, head_y], fill=body, width=math.floor(16 * k))
    r = 10.5 * k
    pen.ellipse([head_x - r, head_y - r, head_x + r, head_y + r], fill=body)
    pen.ellipse([head_x + 0.1 * r, head_y - 0.5 * r, head_x + 0.5 * r, head_y - 0.1 * r], fill=(250, 250, 250))
    horn = _shade(np.array([225, 165, 50]) + rng.normal(0, 15, 3))
    tip = head_x + r + (20 if bird.bill == "long" else 6) * k * rng.uniform(0.9, 1.15)
    base = head_x + 0.7 * r
    pen.polygon([(base, head_y - 4 * k), (tip, head_y + 1), (tip, head_y + 4), (base, head_y + 5 * k)], fill=horn)
    return layer


def _smooth_noise(rng: np.random.Generator, *, deviation: float, cells: int) -> npt.NDArray[np.float64]:
    """Return float64 array of shape (_CANVAS, _CANVAS, 1): random values on a grid, interpolated."""
    from PIL import Image

    grid = Image.fromarray(rng.normal(0, deviation, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC), dtype=np.float64)[..., np.newaxis]


def _as_pixels(values: npt.NDArray[np.float64]) -> ImageArray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _shade(values: npt.ArrayLike) -> _Rgb:
    red, green, blue = (int(value) for value in np.clip(values, 0, 255))
    return red, green, blue
