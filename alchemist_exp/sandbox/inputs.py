"""The rows that programs label: texts, records, score vectors or images.

Rows are encoded one by one, without a second copy.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from alchemist_exp.sandbox.worker import protocol


class Inputs(ABC):
    r"""Rows for `label_function`.

    Attributes:
        kind: How a row is encoded and what the program receives, see `worker.protocol`.
        modules: Packages that a worker needs to decode a row. They are imported before it is confined, and programs may
            import them.

    Example:
        >>> inputs = TextInputs(["yes", "no"])
        >>> len(inputs), list(inputs.encode(range(2)))
        (2, [b'yes\x00', b'no\x00'])
    """

    kind: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def encode(self, rows: range) -> Iterator[bytes]:
        """Encode rows for the worker's decoder of this kind.

        Args:
            rows: Row numbers.

        Yields:
            The bytes of each row.

        Raises:
            ValueError: A row is not of this kind.
        """


@dataclass(frozen=True)
class TextInputs(Inputs):
    """Texts; a program receives each as str, including lone surrogates.

    Attributes:
        rows: The texts.
    """

    kind = protocol.TEXTS
    rows: Sequence[str]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.rows)

    def encode(self, rows: range) -> Iterator[bytes]:
        """Yield texts as UTF-8, each followed by TEXT_END; see `Inputs.encode`."""
        return (
            (text + protocol.TEXT_END).encode("utf-8", "surrogatepass")
            for text in self.rows[rows.start : rows.stop : rows.step]
        )


@dataclass(frozen=True)
class RecordInputs(TextInputs):
    """Records; a program receives each as a separate dict.

    Attributes:
        rows: Each record as a JSON object.
    """

    kind = protocol.RECORDS


@dataclass(frozen=True)
class ScoreInputs(Inputs):
    """Score vectors; a program receives each as list[float].

    Attributes:
        rows: float array of shape (n_rows, n_scores).

    Raises:
        ValueError: `rows` is not such an array.
    """

    kind = protocol.SCORES
    rows: npt.NDArray[np.floating]

    def __post_init__(self) -> None:
        """Check the type and the shape of the scores."""
        if self.rows.ndim != 2 or not np.issubdtype(self.rows.dtype, np.floating):
            raise ValueError(
                f"scores are {self.rows.dtype} of shape {self.rows.shape}; expected float of shape (n_rows, n_scores)"
            )

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self.rows)

    def encode(self, rows: range) -> Iterator[bytes]:
        """Yield vectors as float64; see `Inputs.encode`."""
        return (self.rows[row].astype(np.float64).tobytes() for row in rows)


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """RGB images; a program receives each as a separate numpy array, uint8 of shape (height, width, 3).

    Attributes:
        rows: The images. The sequence may load each image when it is asked for it.
    """

    kind = protocol.IMAGES
    modules = ("numpy",)
    rows: Sequence[npt.NDArray[np.uint8]]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def encode(self, rows: range) -> Iterator[bytes]:
        """Yield images as height, width, pixels; see `Inputs.encode`. A ValueError names the row."""
        for row in rows:
            image = self.rows[row]
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"image {row} is {image.dtype} of shape {image.shape}; expected uint8 of shape (height, width, 3)"
                )
            yield struct.pack("<ii", *image.shape[:2]) + image.tobytes()


INPUTS: Mapping[str, Callable[[Any], Sequence[str] | Inputs]] = {
    protocol.TEXTS: lambda rows: rows,
    protocol.RECORDS: RecordInputs,
    protocol.SCORES: ScoreInputs,
    protocol.IMAGES: ImageInputs,
}
"""What a sandbox is given for the rows of a dataset, by the name of their kind."""


def as_inputs(rows: Sequence[str] | Inputs) -> Inputs:
    """Convert texts to inputs.

    Args:
        rows: Texts, or inputs of any kind.

    Returns:
        `TextInputs` of the texts, or `rows` unchanged if they are inputs already.
    """
    return rows if isinstance(rows, Inputs) else TextInputs(rows)
