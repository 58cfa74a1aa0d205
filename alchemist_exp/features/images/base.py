"""The base class of encoders that put images and texts into one space."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.hashing import join_surrogates
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor

ImageArray = npt.NDArray[np.uint8]
T = TypeVar("T")

_MAX_ASPECT_RATIO = 4


@dataclass(kw_only=True)
class ImageTextEncoder(FeatureExtractor, ABC):
    """Encodes images and texts as vectors of length 1; the cosine of two vectors says how well image and text fit.

    The vectors are equal to the last digit on one machine with the same number of threads. They change slightly with
    the images or texts that share a batch.

    Attributes:
        VERSION: Raise it when the code gives other vectors for equal values; stored vectors are then not reused.
        SCALE: The scale of concept scores (`concepts.scale`) that was measured to serve programs best; raw, the
            paper's, where none was measured.
        MAX_SIMILARITY: Cosine of texts that say the same, where it was measured: the filters of concepts use it. 1: no
            such filter, because the texts of this encoder are too similar, or nothing was measured.
        batch_size: Images or texts per forward pass.

    Example:
        >>> @dataclass(kw_only=True)
        ... class Brightness(ImageTextEncoder):
        ...     def image_vectors(self, images):
        ...         return np.stack([[image.mean(), 255 - image.mean()] for image in images])
        ...     def text_vectors(self, texts):
        ...         return np.array([[1, 0] if "day" in text else [0, 1] for text in texts])
        ...     def weights_identity(self):
        ...         return {}
        >>> encoder = Brightness(name="brightness", batch_size=2)
        >>> images = encoder.encode_images([np.full((2, 2, 3), value, np.uint8) for value in (250, 5, 200)])
        >>> (images @ encoder.encode_texts(["a day", "a night"]).T).argmax(axis=1).tolist()
        [0, 1, 0]

    """

    VERSION: ClassVar[int] = 1
    SCALE: ClassVar[str] = "raw"
    MAX_SIMILARITY: ClassVar[float] = 1.0
    CHUNK_ROWS = 256  # eight minutes of ViT-L/14 on two cores
    reads = "images"

    batch_size: int = 64

    def __post_init__(self) -> None:
        """Check `batch_size`.

        Raises:
            ConfigError: It is out of range.

        """
        if not 1 <= self.batch_size <= 100_000:
            raise ConfigError(f"batch_size={self.batch_size}; expected a whole number from 1 to 100000.")

    @abstractmethod
    def image_vectors(self, images: Sequence[ImageArray]) -> npt.NDArray[Any]:
        """Return the vectors of one batch of images.

        Args:
            images: One to `batch_size` uint8 arrays of shape (height, width, 3), RGB, with no side more than four times
                as long as the other. Iterate over them once and reduce each: together they may not fit into memory.

        Returns:
            Array of shape (n_images, n_dimensions), all finite, of any length.

        """

    @abstractmethod
    def text_vectors(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """Return the vectors of one batch of texts.

        Args:
            texts: One to `batch_size` texts.

        Returns:
            Array of shape (n_texts, n_dimensions), all finite, of any length.

        """

    def fit(self, texts: Sequence[Any]) -> Self:
        """Return the encoder itself, which learns nothing from the images of train."""
        return self

    def transform(self, texts: Sequence[Any], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Return the vectors of images, see `encode_images`."""
        return self.encode_images(texts, on_progress)

    def save(self, directory: Path) -> None:
        """Write nothing: the encoder is what its configuration says."""

    def load(self, directory: Path) -> Self:
        """Return the encoder itself, which has no fitted state."""
        return self

    def is_local(self) -> bool:
        """Return whether the weights are on this machine, so that `weights_identity` downloads nothing."""
        return True

    @abstractmethod
    def weights_identity(self) -> dict[str, str]:
        """Return what identifies the weights in cache keys, independent of where they are.

        Raises:
            ConfigError: The weights are not available.

        """

    def encode_images(
        self, images: Sequence[ImageArray], on_progress: Callable[[int], None] | None = None
    ) -> FloatArray:
        """Return the vectors of images.

        Args:
            images: uint8 arrays of shape (height, width, 3), RGB, of any sizes. The sequence may decode an image when
                it is asked for it: this happens once for each, one by one.
            on_progress: Called with the number of finished images after each batch.

        Returns:
            Read-only float32 array of shape (n_images, n_dimensions); each row has length 1. Without images its shape
            is (0, n_dimensions).

        Raises:
            AlchemistError: The weights are not available, or a vector is not finite, or the GPU has too little memory.
            ValueError: An image has another shape or type.

        """
        return self._encode(LazyImages(images, range(len(images))), self.image_vectors, [_BLANK], on_progress)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of texts.

        Args:
            texts: Any texts; an encoder reads a limited number of tokens from the start of each.

        Returns:
            Read-only float32 array of shape (n_texts, n_dimensions); each row has length 1. Without texts its shape is
            (0, n_dimensions).

        Raises:
            AlchemistError: See `encode_images`.

        """
        # Tokenizers refuse a lone surrogate.
        valid = [join_surrogates(text).encode("utf-8", "replace").decode() for text in texts]
        return self._encode(valid, self.text_vectors, [""], None)

    def _encode(
        self,
        items: Sequence[T],
        vectors_of: Callable[[Sequence[T]], npt.NDArray[Any]],
        example: Sequence[T],
        on_progress: Callable[[int], None] | None,
    ) -> FloatArray:
        if not len(items):
            return read_only(self._unit(vectors_of(example))[:0], np.float32)
        batches = []
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            try:
                batches.append(self._unit(vectors_of(batch)))
            except RuntimeError as error:
                if type(error).__name__ != "OutOfMemoryError":  # torch's; torch may not be imported
                    raise
                raise AlchemistError(
                    f"CUDA out of memory with a batch of {len(batch)}; lower batch_size of {self.name}."
                ) from error
            if on_progress is not None:
                on_progress(len(batch))
        return read_only(np.concatenate(batches), np.float32)

    def _unit(self, vectors: npt.NDArray[Any]) -> FloatArray:
        """Return vectors scaled to length 1, as float32."""
        vectors = np.asarray(vectors, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise AlchemistError(
                f"the encoder {self.name} returns vectors that are zero or not finite; use another one."
            )
        unit: FloatArray = vectors / lengths
        return unit

    def cache_key(self) -> dict[str, object]:
        """Return everything that changes a vector: all values, `VERSION` and the identity of the weights."""
        return {**super().cache_key(), "weights": self.weights_identity()}


_BLANK = np.zeros((8, 8, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class LazyImages(Sequence[ImageArray]):
    """A part of a sequence of images. A slice of it is one too, so that images are decoded one by one.

    Attributes:
        images: uint8 arrays of shape (height, width, 3), RGB.
        rows: The positions of the part in `images`.

    """

    images: Sequence[ImageArray]
    rows: range

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyImages": ...
    def __getitem__(self, index: int | slice) -> "ImageArray | LazyImages":
        """Return an image, or a part of this part.

        Args:
            index: A position in this part, or a slice.

        Returns:
            An image. The ends of a strip are cut off so that no side is more than four times as long as the other:
            scaled by its short side, a strip would not fit into memory.

        Raises:
            ValueError: The image has another shape or type.

        """
        if isinstance(index, slice):
            return LazyImages(self.images, self.rows[index])
        image = self.images[self.rows[index]]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"an image is {image.dtype} of shape {image.shape}; expected uint8 of shape (height, width, 3)"
            )
        longest = _MAX_ASPECT_RATIO * min(image.shape[:2])
        top, left = (max(0, (side - longest) // 2) for side in image.shape[:2])
        return image[top : top + longest, left : left + longest]
