"""What every encoder of images and texts promises; here with one that needs no packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.features.images.base import ImageArray, ImageTextEncoder


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@dataclass(kw_only=True)
class Means(ImageTextEncoder):
    """An image's vector is its mean color; a text's, its length and one."""

    name: str = "means"
    batch_size: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.batches: list[list[tuple[int, ...]]] = []
        self.texts: list[str] = []

    def image_vectors(self, images: Sequence[ImageArray]) -> Any:
        self.batches.append([image.shape for image in images])
        return np.array([image.mean(axis=(0, 1)) for image in images]) + 1

    def text_vectors(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return np.array([[len(text), 1, 1] for text in texts])

    def weights_identity(self) -> dict[str, str]:
        return {"sha256": "0" * 64}


class Lazy(Sequence[ImageArray]):
    """Makes each image when it is asked for it, and refuses to make several."""

    def __init__(self, n_images: int) -> None:
        self.asked: list[int] = []
        self.n_images = n_images

    def __len__(self) -> int:
        return self.n_images

    def __getitem__(self, row: Any) -> Any:
        self.asked.append(int(row))
        return np.full((2, 2, 3), row, np.uint8)


def test_images_are_encoded_in_batches_and_in_order() -> None:
    encoder, images, done = Means(), Lazy(7), []
    vectors = encoder.encode_images(images, done.append)
    assert (vectors.shape, vectors.dtype, vectors.flags.writeable) == ((7, 3), np.float32, False)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert [len(batch) for batch in encoder.batches] == done == [3, 3, 1]
    assert sorted(set(images.asked)) == list(range(7))


def test_texts_are_encoded_in_order_and_a_lone_surrogate_is_replaced() -> None:
    encoder = Means()
    vectors = encoder.encode_texts(["", "a", "bird \ud800!", "\ud83d\udc26"])
    assert (vectors.shape, vectors.dtype) == ((4, 3), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.texts == ["", "a", "bird ?!", "\U0001f426"]


def test_without_rows_the_width_is_the_same() -> None:
    assert Means().encode_images([]).shape == Means().encode_texts([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("shape", "trimmed"),
    [
        ((1, 50_000, 3), (1, 4, 3)),
        ((50_000, 2, 3), (8, 2, 3)),
        ((10, 40, 3), (10, 40, 3)),
        ((1, 1, 3), (1, 1, 3)),
    ],
)
def test_a_strip_is_trimmed_to_its_middle(shape: tuple[int, ...], trimmed: tuple[int, ...]) -> None:
    encoder = Means()
    encoder.encode_images([np.zeros(shape, np.uint8)])
    assert encoder.batches == [[trimmed]]


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(height, width, 3\)"):
        Means().encode_images([image])


@pytest.mark.parametrize("vector", [[0, 0, 0], [np.nan, 1, 1], [np.inf, 1, 1]])
def test_vectors_without_a_direction_are_an_error(vector: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Means, "text_vectors", lambda *_: np.array([vector]))
    with pytest.raises(AlchemistError, match="means returns vectors that are zero or not finite"):
        Means().encode_texts(["a"])


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr(Means, "image_vectors", fails)
    with pytest.raises(AlchemistError, match=r"CUDA out of memory with a batch of 3; lower batch_size of means"):
        Means().encode_images(Lazy(7))


@pytest.mark.parametrize("batch_size", [0, -1, 100_001])
def test_an_impossible_batch_size_is_refused(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=f"batch_size={batch_size}; expected a whole number"):
        Means(batch_size=batch_size)


def test_values_and_weights_are_in_the_key() -> None:
    key = Means().cache_key()
    assert key == {"name": "means", "batch_size": 3, "version": 1, "weights": {"sha256": "0" * 64}}
