"""The embedded sets: sizes, class counts and votes as they were published."""

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData

PUBLISHED = {
    "youtube": ({"train": 1586, "valid": 120, "test": 250}, [755, 831], 10, 0.877),
    "sms": ({"train": 4571, "valid": 500, "test": 500}, [3954, 617], 73, 0.405),
}


def load(composed, *overrides: str) -> TextData:
    return config.build(composed(*overrides)).dataset.load()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_embedded_sets_are_as_published(composed, name: str) -> None:
    rows, train_counts, functions, coverage = PUBLISHED[name]
    data = load(composed, f"dataset={name}")
    assert {split.value: len(data.texts(split)) for split in data.splits} == rows
    gold, votes = data.gold(Split.TRAIN), data.human_votes(Split.TRAIN)
    assert gold is not None
    assert votes is not None
    assert np.bincount(gold).tolist() == train_counts
    assert votes.shape[1] == functions
    assert (votes != -1).any(axis=1).mean() == pytest.approx(coverage, abs=5e-4)
    assert (data.human_votes(Split.TEST) is None) == (name == "sms"), "sms has sound votes on train alone"
    assert data.table["train"].features["label"].names == ["ham", "spam"]


def test_the_fingerprint_follows_content_alone(composed) -> None:
    first = load(composed).fingerprint
    assert load(composed, "dataset.name=other", "llm.recording=youtube").fingerprint == first
    assert load(composed, "dataset.limit=100").fingerprint != first
    assert load(composed, "dataset.classes=[no,yes]", "dataset.positive_class=yes").fingerprint != first
    assert load(composed, "dataset.human_votes_column=null").fingerprint != first
