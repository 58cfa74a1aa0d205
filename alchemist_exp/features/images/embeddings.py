"""Vectors of images, computed once: cached by the content of the images, and continued after a kill."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache, read_array
from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.hashing import texts_fingerprint
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.chunk_cache import compute_in_chunks
from alchemist_exp.features.images.base import ImageArray, ImageTextEncoder, LazyImages

CHUNK_IMAGES = 256
"""How many images are encoded again at most after a kill."""


def embed_images(
    encoder: ImageTextEncoder,
    images: Sequence[ImageArray],
    keys: Sequence[str],
    cache: ArtifactCache,
    on_progress: Callable[[int], None],
) -> FloatArray:
    """Return the encoder's vectors of images, from the cache if it has them.

    Args:
        encoder: The encoder.
        images: uint8 arrays of shape (height, width, 3), RGB. Without an entry in the cache, each is read once.
        keys: For each image a key of its content, for example `ImageFiles.keys`.
        cache: Keeps the vectors of all images as one entry, and those of finished chunks until the entry exists.
        on_progress: Called with the number of finished images after each step; not called for an entry in the cache.

    Returns:
        float32 array of shape (n_images, n_dimensions), memory-mapped; each row has length 1.

    Raises:
        AlchemistError: See `ImageTextEncoder.encode_images`; an entry in the cache is broken.
        ValueError: There are not as many keys as images.

    """
    if len(keys) != len(images):
        raise ValueError(f"{len(keys)} keys for {len(images)} images; expected one for each")
    key = {"encoder": encoder.key(), "images": texts_fingerprint(keys)}
    chunks = cache.path_of("image_embedding_parts", key)

    def make(directory: Path) -> None:
        with naming_plugin(encoder, "encode_images"):
            vectors = compute_in_chunks(
                LazyImages(images, range(len(images))),
                encoder.encode_images,
                chunks,
                "images",
                on_progress,
                chunk_rows=CHUNK_IMAGES,
            )
        np.save(directory / "images.npy", vectors)

    entry = cache.get_or_create("image_embeddings", key, make)
    shutil.rmtree(chunks, ignore_errors=True)
    return read_array(entry / "images.npy")
