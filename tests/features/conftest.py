"""A tiny encoder with random weights, made here: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp import config
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.torchvision_ops import declare_torchvision_ops
from tests.support.composing import compose_cached

declare_torchvision_ops()  # tests import sentence_transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "song",
    "video",
    "subscribe",
    "love",
    "!",
    "\u672c",
    "\ufffd",
]
VOCABULARY += [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
POSITIONS, WIDTH = 40, 16

Make = Callable[..., FeatureExtractor]


def make_bert(folder: Path, **options: Any) -> Path:
    """Writes a random BERT of 40 positions and 16 numbers per text, with a WordPiece tokenizer, into `folder`."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    shape = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=POSITIONS).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def extractor() -> Make:
    """The component of a YAML, some values replaced."""

    def made(member: str, **values: object) -> FeatureExtractor:
        overrides = [f"feature_extractor.{key}={value}" for key, value in values.items()]
        cfg = compose_cached(f"feature_extractor={member}", *overrides)
        component = config.build_component(cfg, "feature_extractor")
        assert isinstance(component, FeatureExtractor)
        return component

    return made


@pytest.fixture
def make(extractor: Make, bert: Path) -> Make:
    """feature_extractor=transformer with the tiny encoder, some values replaced."""
    return lambda **values: extractor("transformer", **{"model": bert, "max_length": POSITIONS, **values})
