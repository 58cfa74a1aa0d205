"""What programs are run on: texts, score vectors or images, each encoded row by row: no copy of them all is made."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alchemist_exp.sandbox import worker


class Inputs(ABC):
    """Rows for `label_function`.

    kind: what the worker makes of a row, see `worker`.
    modules: packages a worker needs for that; loaded before it is confined, and open to the programs.
    """

    kind: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def encoded(self, rows: range) -> Iterator[bytes]:
        """Yield the rows as the worker's decoder of `kind` needs them, one at a time."""


@dataclass(frozen=True)
class TextInputs(Inputs):
    """A program is given each as str, lone surrogates and all."""

    kind = worker.TEXTS
    rows: Sequence[str]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.rows)

    def encoded(self, rows: range) -> Iterator[bytes]:
        """Yield them as UTF-8, each with a mark at its end."""
        return ((self.rows[row] + worker.TEXT_END).encode("utf-8", "surrogatepass") for row in rows)


@dataclass(frozen=True)
class ScoreInputs(Inputs):
    """float (n, d): a program is given each row as list[float]."""

    kind = worker.SCORES
    rows: npt.NDArray[np.floating]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or not np.issubdtype(self.rows.dtype, np.floating):
            raise ValueError(f"scores are {self.rows.dtype} {self.rows.shape}; float (rows, scores) is needed")

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self.rows)

    def encoded(self, rows: range) -> Iterator[bytes]:
        """Yield them as float64."""
        return (self.rows[row].astype(np.float64).tobytes() for row in rows)


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """A program is given each as a numpy array uint8 (height, width, 3) of its own. The sequence may be lazy."""

    kind = worker.IMAGES
    modules = ("numpy",)
    rows: Sequence[npt.NDArray[np.uint8]]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def encoded(self, rows: range) -> Iterator[bytes]:
        """Yield them as height, width, pixels. Raises ValueError, naming the row, for what is not an RGB image."""
        for row in rows:
            image = self.rows[row]
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(f"image {row} is {image.dtype} {image.shape}; uint8 (height, width, 3) is needed")
            yield struct.pack("<ii", *image.shape[:2]) + image.tobytes()


def as_inputs(rows: "Sequence[str] | Inputs") -> Inputs:
    """Return `rows`, texts if they are not `Inputs` yet."""
    return rows if isinstance(rows, Inputs) else TextInputs(rows)
