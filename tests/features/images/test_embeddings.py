"""Vectors of images are computed once, by content, and a killed run goes on where it was."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.features.images import embeddings
from alchemist_exp.features.images.embeddings import embed_images
from tests.features.images.test_base import Lazy, Means


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "CHUNK_IMAGES", 4)


def keys(n_images: int) -> list[str]:
    return [f"key {row}" for row in range(n_images)]


def test_vectors_are_computed_once_for_equal_content_and_encoder(tmp_path: Path) -> None:
    cache, done = ArtifactCache(tmp_path), []
    vectors = embed_images(Means(), Lazy(10), keys(10), cache, done.append)
    assert np.array_equal(vectors, Means().encode_images(Lazy(10)))
    assert sum(done) == 10
    again = Lazy(10)
    assert np.array_equal(embed_images(Means(), again, keys(10), cache, done.append), vectors)
    assert (again.asked, sum(done)) == ([], 10)
    for encoder, other in ((Means(batch_size=2), keys(10)), (Means(), keys(11)[1:])):
        images = Lazy(10)
        embed_images(encoder, images, other, cache, done.append)
        assert images.asked
    assert not list((tmp_path / "image_embedding_parts").iterdir())


def test_a_killed_run_goes_on_with_the_next_chunk(tmp_path: Path) -> None:
    class Killed(Lazy):
        def __getitem__(self, row: int) -> np.ndarray:
            if row == 9:
                raise KeyboardInterrupt
            return super().__getitem__(row)

    cache = ArtifactCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        embed_images(Means(), Killed(10), keys(10), cache, lambda _: None)
    images, done = Lazy(10), []
    vectors = embed_images(Means(), images, keys(10), cache, done.append)
    assert sorted(set(images.asked)) == [8, 9]
    assert sum(done) == 10
    assert np.array_equal(vectors, Means().encode_images(Lazy(10)))


def test_a_broken_chunk_is_named(tmp_path: Path) -> None:
    class Killed(Means):
        def image_vectors(self, images: object) -> object:
            if self.batches:
                (part,) = tmp_path.glob("image_embedding_parts/*/*.npy") or [None]
                part and part.write_bytes(b"broken")
            return super().image_vectors(images)

    encoder = Killed(batch_size=4)
    with pytest.raises(StoreError, match="image_embedding_parts"):
        embed_images(encoder, Lazy(8), keys(8), ArtifactCache(tmp_path), lambda _: None)


def test_no_images_and_a_missing_key(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    assert embed_images(Means(), [], [], cache, lambda _: None).shape == (0, 3)
    with pytest.raises(ValueError, match="2 keys for 3 images"):
        embed_images(Means(), Lazy(3), keys(2), cache, lambda _: None)


def test_an_encoder_of_a_plugin_is_named_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Means, "image_vectors", lambda *_: 1 / 0)
    with pytest.raises(ConfigError, match=r"Means\.encode_images failed \(ZeroDivisionError"):
        embed_images(Means(), Lazy(3), keys(3), ArtifactCache(tmp_path), lambda _: None)
