"""The features of every split, by one extractor or by several side by side; each extractor's are cached apart."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from alchemist_exp.core.artifact_cache import CHUNK_ROWS, ArtifactCache, read_array, row_chunks, take_rows
from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.chunk_cache import transform_in_chunks, write_rows
from alchemist_exp.features.columns import ColumnFeatures
from alchemist_exp.features.combined import PARTS, Combined, root_mean_square
from alchemist_exp.pipeline.artifacts import link_state


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractedFeatures:
    """The features of every split.

    Attributes:
        by_split: float32 arrays of shape (n_rows, n_features), memory-mapped.
        entry: The cache entry, a directory that also holds the fitted extractor; None for `no_features`.

    """

    by_split: Mapping[Split, FloatArray]
    entry: Path | None


def no_features(data: TextData) -> ExtractedFeatures:
    """Return features of width 0, for a run without an end model."""
    empty = {split: np.zeros((len(data.texts(split)), 0), dtype=np.float32) for split in data.splits}
    return ExtractedFeatures(by_split=empty, entry=None)


def extract_features(
    extractor: FeatureExtractor, data: TextData, artifact_cache: ArtifactCache, progress: StageProgress
) -> ExtractedFeatures:
    """Fit the extractor on train and extract the features of every split, or find them in the cache.

    Args:
        extractor: The extractor. A combined one has a cache entry for each part, under the key that the part has as the
            only extractor, and one for all.
        data: The dataset.
        artifact_cache: Where features are kept.
        progress: Times the stage and shows its progress.

    Returns:
        The features, with those of the columns of records that are not text.

    """
    if isinstance(extractor, Combined):
        return _combine(extractor, data, artifact_cache, progress)
    return _extract(extractor, data, artifact_cache, progress, with_columns=True)


def _key(extractor: FeatureExtractor, data: TextData, *, with_columns: bool) -> dict[str, Any]:
    key: dict[str, Any] = {"extractor": extractor.key(), "texts": {s.value: data.texts_key(s) for s in data.splits}}
    if (sample := data.fit_sample) is not None:
        key["fit_rows"] = {"rows": len(sample)}
    if data.kind.columns and with_columns:
        key["columns"] = {column.name: [column.type, column.category] for column in data.kind.columns}
    return key


def _extract(
    extractor: FeatureExtractor,
    data: TextData,
    artifact_cache: ArtifactCache,
    progress: StageProgress,
    *,
    with_columns: bool,
) -> ExtractedFeatures:
    key = _key(extractor, data, with_columns=with_columns)
    # Finished chunks are kept outside the entry, so that a killed run continues where it was.
    chunks = artifact_cache.path_of("feature_parts", key)
    n_rows = sum(len(data.texts(split)) for split in data.splits)
    with progress.stage("features", f"extracting features by {extractor.name}", n_rows) as advance:

        def make(directory: Path) -> None:
            """Fit the extractor and write the features of every split."""
            train, kind, sample = data.texts(Split.TRAIN), data.kind, data.fit_sample
            fit_on = train if sample is None else [train[row] for row in sample]
            progress.note(f"learning from {len(fit_on):,} rows")
            with naming_plugin(extractor, "fit"):
                extractor.fit(kind.extractor_input(fit_on))
            columns = ColumnFeatures.fit(kind.values(fit_on)) if with_columns else ColumnFeatures.fit({})
            progress.note("")
            for split in data.splits:
                rows = data.texts(split)
                parts = transform_in_chunks(extractor, kind.extractor_input(rows), chunks, split, advance)
                write_rows(
                    directory / f"{split}.npy",
                    len(rows),
                    (
                        columns.append_to(part, kind.values(rows[start : start + len(part)])) if with_columns else part
                        for start, part in zip(count(0, extractor.CHUNK_ROWS), parts, strict=False)
                    ),
                )
            extractor.save(directory)
            columns.save(directory)

        entry = artifact_cache.get_or_create("features", key, make)
        # Only now: a run that is killed before the entry is complete needs the chunks again.
        shutil.rmtree(chunks, ignore_errors=True)
        return _read(entry, data)


def _combine(
    extractor: Combined, data: TextData, artifact_cache: ArtifactCache, progress: StageProgress
) -> ExtractedFeatures:
    """Return the features of all parts, scaled, followed by those of the columns."""
    key = _key(extractor, data, with_columns=True)
    if (known := artifact_cache.get("features", key)) is not None:
        for part in extractor.parts.values():  # so that the record names the same entries as that of the first run
            artifact_cache.get("features", _key(part, data, with_columns=False))
        return _read(known, data)
    parts = {
        name: _extract(part, data, artifact_cache, progress, with_columns=False)
        for name, part in extractor.parts.items()
    }

    def make(directory: Path) -> None:
        """Scale the parts, and write them side by side for every split."""
        train, kind, sample = data.texts(Split.TRAIN), data.kind, data.fit_sample
        # Scales and columns are learned from the rows that the parts were fitted on.
        of_train = {name: part.by_split[Split.TRAIN] for name, part in parts.items()}
        extractor.set_scales(
            {
                name: root_mean_square(row_chunks(of_part) if sample is None else [take_rows(of_part, sample)])
                for name, of_part in of_train.items()
            }
        )
        columns = ColumnFeatures.fit(kind.values(train if sample is None else [train[row] for row in sample]))
        for split in data.splits:
            rows = data.texts(split)
            chunks = zip(*(row_chunks(part.by_split[split]) for part in parts.values()), strict=True)
            starts = count(0, CHUNK_ROWS)
            write_rows(
                directory / f"{split}.npy",
                len(rows),
                (
                    columns.append_to(extractor.join(chunk), kind.values(rows[start : start + len(chunk[0])]))
                    for start, chunk in zip(starts, chunks, strict=False)
                ),
            )
        extractor.save_scales(directory)
        columns.save(directory)
        for name, part in parts.items():
            if part.entry is not None:
                (place := directory / PARTS / name).mkdir(parents=True)
                link_state(part.entry, place)

    with progress.stage("features", f"combining features by {extractor.name}"):
        return _read(artifact_cache.get_or_create("features", key, make), data)


def _read(entry: Path, data: TextData) -> ExtractedFeatures:
    return ExtractedFeatures(by_split={split: read_array(entry / f"{split}.npy") for split in data.splits}, entry=entry)
