"""Keep features in chunks while they are computed, so that a killed run continues with the next chunk.

The caller holds the lock of the cache entry. A chunk is written as a whole or not at all, and read as a memory map.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
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
) -> Iterator[FloatArray]:
    """Yield `extractor.transform(rows)` chunk by chunk, and do not compute chunks that are already in `directory`.

    Args:
        extractor: A fitted extractor.
        rows: The texts or images of one split; they are sliced chunk by chunk.
        directory: The chunks' directory, used only for this extractor and these rows.
        name: The start of the chunks' file names, for example the split.
        on_progress: Called with the number of rows that are finished, after each step.

    Yields:
        float32 arrays of shape (n_chunk_rows, n_features), memory-mapped; one empty array for no rows.

    Raises:
        StoreError: A stored chunk is broken; the message has its path.

    """
    n_rows = extractor.CHUNK_ROWS
    for start in range(0, max(len(rows), 1), n_rows):
        chunk = rows[start : start + n_rows]
        path = directory / f"{name}-{start:09d}-{len(chunk)}.npy"
        if path.exists():
            on_progress(len(chunk))
        else:
            with naming_plugin(extractor, "transform"):
                features = extractor.transform(chunk, on_progress)
                _check(features, len(chunk))
            write_array(path, features)
        yield read_array(path)


def _check(features: FloatArray, n_rows: int) -> None:
    """Raise ValueError for features that an end model cannot be trained on; such features are not cached."""
    if not isinstance(features, np.ndarray) or features.dtype != np.float32:
        found = features.dtype if isinstance(features, np.ndarray) else type(features).__name__
        raise ValueError(f"expected a float32 array, not {found}")
    if features.ndim != 2 or len(features) != n_rows or not features.shape[1]:
        raise ValueError(f"the features have shape {features.shape}; expected ({n_rows}, n_features)")
    if not np.isfinite(features).all():
        raise ValueError("a feature is not finite")


def write_rows(path: Path, n_rows: int, chunks: Iterable[FloatArray]) -> None:
    """Write features as one .npy file without having all of them in memory.

    Args:
        path: The file.
        n_rows: The number of rows of all chunks.
        chunks: float32 arrays of shape (n_chunk_rows, n_features), at least one.

    Raises:
        ValueError: The chunks have another number of rows, or differ in their number of features.

    """
    n_written, n_features = 0, None
    with path.open("wb") as file:
        for chunk in chunks:
            if n_features is None:
                n_features = chunk.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, n_features)}
                np.lib.format.write_array_header_1_0(file, header)
            elif chunk.shape[1] != n_features:
                raise ValueError(f"a chunk has {chunk.shape[1]} features and the first one {n_features}")
            file.write(np.ascontiguousarray(chunk, dtype="<f4").data)
            n_written += len(chunk)
    if n_written != n_rows:
        raise ValueError(f"the chunks have {n_written} rows; expected {n_rows}")


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as .npy, without pickle, as a whole or not at all."""
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=False)
    write_bytes(path, raw.getvalue())
