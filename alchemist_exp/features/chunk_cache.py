"""Keep features in chunks while they are computed, so that a killed run continues with the next chunk.

The caller holds the lock of the cache entry. A chunk is written as a whole or not at all, and read as a memory map.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.artifact_cache import read_array
from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.base import FeatureExtractor


def transform_in_chunks(
    extractor: FeatureExtractor, rows: Sequence[Any], directory: Path, name: str, on_progress: Callable[[int], None]
) -> FloatArray:
    """Return `extractor.transform(rows)`, and do not compute chunks that are already in `directory`.

    Args:
        extractor: A fitted extractor.
        rows: The texts or images of one split; they are sliced chunk by chunk.
        directory: The chunks' directory, used only for this extractor and these rows.
        name: The start of the chunks' file names, for example the split.
        on_progress: Called with the number of rows that are finished, after each step.

    Returns:
        float32 array of shape (n_rows, n_features).

    Raises:
        StoreError: A stored chunk is broken; the message has its path.

    """
    n_rows = extractor.CHUNK_ROWS
    starts = range(0, max(len(rows), 1), n_rows)
    paths = [directory / f"{name}-{start:09d}.npy" for start in starts]
    for start, path in zip(starts, paths, strict=True):
        chunk = rows[start : start + n_rows]
        if path.exists():
            on_progress(len(chunk))
            continue
        with naming_plugin(extractor, "transform"):
            features = extractor.transform(chunk, on_progress)
            _check(features, len(chunk))
        write_array(path, features)
    return np.concatenate([read_array(path) for path in paths])


def _check(features: FloatArray, n_rows: int) -> None:
    """Raise ValueError for features that an end model cannot be trained on; such features are not cached."""
    if not isinstance(features, np.ndarray) or features.dtype != np.float32:
        found = features.dtype if isinstance(features, np.ndarray) else type(features).__name__
        raise ValueError(f"expected a float32 array, not {found}")
    if features.ndim != 2 or len(features) != n_rows or not features.shape[1]:
        raise ValueError(f"the features have shape {features.shape}; expected ({n_rows}, n_features)")
    if not np.isfinite(features).all():
        raise ValueError("a feature is not finite")


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as .npy, without pickle, as a whole or not at all."""
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=False)
    write_bytes(path, raw.getvalue())
