"""Several extractors side by side: equal scales, the order of columns, and names of parts."""

from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.combined import Combined, root_mean_square
from tests.features.conftest import Make

TEXTS = ["subscribe to my channel!", "love this song", "", "good \U0001f600", "bad \U0001f621"]


class Scaled(FeatureExtractor):
    """A part with one feature: the length of a text, times a factor."""

    def __init__(self, factor: float, files: tuple[str, ...] = ()) -> None:
        self.name, self.factor, self.files = "scaled", np.float32(factor), files

    def fit(self, texts):
        return self

    def transform(self, texts, on_progress=None):
        return np.array([[self.factor * len(text)] for text in texts], np.float32).reshape(-1, 1)

    def save(self, directory):
        (directory / "a.json").write_text("{}")

    def load(self, directory):
        (directory / "a.json").read_text()
        return self

    def external_files(self, directory):
        return [directory / file for file in self.files]


def test_no_part_outweighs_another_and_the_columns_are_in_order() -> None:
    both = Combined(name="combined", parts={"small": Scaled(1e-3), "large": Scaled(1e3)}).fit(TEXTS)
    features = both.transform(TEXTS)
    assert np.allclose(features[:, 0], features[:, 1])
    assert root_mean_square([features[:, :1]]) == pytest.approx(1)
    assert np.array_equal(both.join([Scaled(1e-3).transform(TEXTS), Scaled(1e3).transform(TEXTS)]), features)


def test_each_part_has_a_directory(tmp_path: Path) -> None:
    parts = {"a": Scaled(1.0, ("weights",)), "b": Scaled(2.0)}
    Combined(name="combined", parts=parts).fit(TEXTS).save(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        "combined.json", "parts/a/a.json", "parts/b/a.json",
    ]  # fmt: skip
    assert Combined(name="combined", parts=parts).external_files(tmp_path) == [tmp_path / "parts" / "a" / "weights"]
    with pytest.raises(StoreError, match="saved with other parts than a"):
        Combined(name="combined", parts={"a": Scaled(1.0)}).load(tmp_path)


def test_emoji_tell_texts_apart(extractor: Make) -> None:
    small = {"parts.words.n_components": 4, "parts.chars.n_components": 8}
    features = extractor("combined", **small).fit(TEXTS).transform(["good \U0001f600", "good \U0001f621"])
    assert not np.allclose(features[0], features[1], atol=1e-3)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "parts is empty; add a part"),
        ({"A b": Scaled(1.0)}, "has the name 'A b'"),
        ({"a": Combined(name="combined", parts={"b": Scaled(1.0)})}, "parts.a is itself combined"),
    ],
)
def test_parts_are_checked(parts: dict[str, FeatureExtractor], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Combined(name="combined", parts=parts)


def test_images_cannot_be_combined(extractor: Make) -> None:
    with pytest.raises(ConfigError, match=r"parts.x=clip_toy reads images"):
        Combined(name="combined", parts={"x": extractor("clip_toy")})
