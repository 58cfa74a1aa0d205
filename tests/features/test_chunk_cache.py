"""Features are kept part by part, so a killed run goes on where it was."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from alchemist_exp import config
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.progress import NoProgress
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features import chunk_cache, encoding
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.tfidf import Tfidf
from alchemist_exp.pipeline.run import run
from alchemist_exp.results.record import RunStatus

TEXTS = [f"word{row} and word{row % 7}" for row in range(23)]


class Counting(Tfidf):
    """Counts the texts it is given, and is killed at the fourth call."""

    calls = 0
    dies_at = 0

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return super().transform(texts, on_progress)


def counting(dies_at: int = 0) -> Counting:
    made = Counting(name="tfidf", n_components=5, max_ngram=1, max_features=50)
    made.fit(TEXTS)
    made.dies_at = dies_at
    return made


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeatureExtractor, "CHUNK_ROWS", 4)
    monkeypatch.setattr(Tfidf, "CHUNK_ROWS", 4)


def transform_in_chunks(
    extractor: FeatureExtractor, texts: Sequence[str], directory: Path, on_progress: Callable[[int], object]
) -> FloatArray:
    """Return the chunks as one array."""
    return np.concatenate([*chunk_cache.transform_in_chunks(extractor, texts, directory, "train", on_progress)])


def test_parts_make_the_whole(tmp_path: Path) -> None:
    done: list[int] = []
    whole = transform_in_chunks(counting(), TEXTS, tmp_path, done.append)
    assert np.allclose(whole, counting().transform(TEXTS), atol=1e-6)
    assert (whole.dtype, sum(done)) == (np.float32, len(TEXTS))
    assert transform_in_chunks(counting(), [], tmp_path, done.append).shape == (0, 5)


def test_what_was_done_when_the_run_was_killed_is_not_done_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        transform_in_chunks(counting(dies_at=4), TEXTS, tmp_path, lambda _: None)
    assert len(list(tmp_path.iterdir())) == 3
    done: list[int] = []
    second = counting()
    whole = transform_in_chunks(second, TEXTS, tmp_path, done.append)
    assert second.calls == 3
    assert sum(done) == len(TEXTS)
    assert np.array_equal(whole, transform_in_chunks(counting(), TEXTS, tmp_path / "other", done.append))


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    transform_in_chunks(counting(), TEXTS, tmp_path, lambda _: None)
    broken = sorted(tmp_path.iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:20])
    with pytest.raises(StoreError, match=str(tmp_path)):
        transform_in_chunks(counting(), TEXTS, tmp_path, lambda _: None)


def test_a_run_with_an_encoder_is_killed_goes_on_and_predicts(
    composed, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a split is encoded twice, neither after the kill nor by another run; what is kept goes in the end."""
    monkeypatch.setattr(FeatureExtractor, "CHUNK_ROWS", 15)
    encode, encoded, left = encoding.encode, [], [3]

    def counted(encoder: SentenceTransformer, texts: Sequence[str], **options: object) -> FloatArray:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        encoded.extend(texts)
        return encode(encoder, texts, **options)

    monkeypatch.setattr(encoding, "encode", counted)
    overrides = ["+experiment=tiny", "feature_extractor=transformer", f"feature_extractor.model={bert}"]
    overrides += [
        "feature_extractor.max_length=40",
        "label_model=majority",
        "dataset.limit=40",
        f"paths.outputs={tmp_path}",
    ]

    def ran(*more: str):
        cfg = composed(*overrides, *more)
        return run(config.build(cfg), config.to_container(cfg), [], NoProgress())

    with pytest.raises(KeyboardInterrupt):
        ran()
    left[0] = 100
    answer = ran()
    assert answer.record.status is RunStatus.FINISHED
    rows = sum(answer.record.data["rows"].values())
    assert len(encoded) == rows
    ran("seed=s1")
    assert len(encoded) == rows
    assert not list((tmp_path / "cache" / "feature_parts").iterdir())
    experiment = config.build(composed(*overrides))
    features = experiment.feature_extractor.load(answer.directory / "model").transform(["subscribe", "love this song"])
    assert experiment.end_model.load(answer.directory / "model").predict_proba(features).shape == (1, 2, 2)
    shutil.rmtree(answer.directory)
