"""Keeps features part by part while they are made, so that a killed run goes on where it was.

For whoever holds the lock on what the parts are of; a part is written whole or not at all, and read by memory map.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.artifact_cache import read_array
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.base import FeatureExtractor

ROWS = 1024
"""Rows of a part: at most half a minute of a small encoder on two cores, and enough texts to sort by length."""


def transformed(
    extractor: FeatureExtractor, texts: Sequence[str], folder: Path, name: str, on_progress: Callable[[int], None]
) -> FloatArray:
    """`extractor.transform(texts)`, its parts kept in `folder` under `name`; those that are there are not made again.

    `folder` must belong to this extractor, as fitted, and these texts. on_progress: is told of rows as they are done.
    """
    starts = range(0, max(len(texts), 1), ROWS)
    paths = [folder / f"{name}-{start:09d}.npy" for start in starts]
    for start, path in zip(starts, paths, strict=True):
        part = texts[start : start + ROWS]
        if path.exists():
            on_progress(len(part))
        else:
            write_array(path, extractor.transform(part, on_progress))
    return np.concatenate([read_array(path) for path in paths])


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes `array` as .npy without pickle."""
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=False)
    write_bytes(path, raw.getvalue())
