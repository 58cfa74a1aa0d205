"""CLIP encoders: the toy checkpoint does what the paper's Table 2 is about; other weights load or say why not."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import FloatArray, Split
from alchemist_exp.data.images.toy_birds import TRAITS, Bird, toy_birds
from alchemist_exp.features.images.clip import TOY_CHECKPOINT, Clip, ClipToy, ClipVitB32, ClipVitL14

# It is not imported here: that takes 2 s in each process of the tests.
pytestmark = pytest.mark.skipif(not importlib.util.find_spec("open_clip"), reason="needs the extra images")

N_ROWS, SEEDS = 240, (0, 1, 2)
CONCEPTS = {
    "feet": ("A bird's foot type is toed", "A bird's foot type is webbed"),
    "bill": ("A bird's bill is pointed", "A bird's bill is flat"),
    "neck": ("A bird's neck is short", "A bird's neck is long"),
    "body": ("A bird's body size is small", "A bird's body size is large"),
}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client does not wait between its attempts."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)


@pytest.fixture(scope="module")
def encoder() -> ClipToy:
    return ClipToy()


class Drawn:
    """The balanced test rows of all seeds, encoded; `worst` and `gap` of predictions over class and background."""

    def __init__(self, encoder: ClipToy) -> None:
        data = [toy_birds(Split.TEST, N_ROWS, seed=seed) for seed in SEEDS]
        self.encoder = encoder
        self.birds: list[Bird] = [bird for birds in data for bird in birds.birds]
        self.labels = np.concatenate([birds.labels for birds in data])
        self.groups = 2 * self.labels + np.concatenate([birds.backgrounds for birds in data])
        self.vectors = np.concatenate([encoder.encode_images(birds) for birds in data])

    def scores(self, *texts: str) -> FloatArray:
        return self.vectors @ self.encoder.encode_texts(texts).T

    def sign(self, land: list[str], water: list[str]) -> np.ndarray:
        return self.scores(*water).mean(axis=1) > self.scores(*land).mean(axis=1)

    def worst(self, predicted: np.ndarray) -> float:
        right = predicted == self.labels
        return min(float(right[self.groups == group].mean()) for group in range(4))

    def gap(self, predicted: np.ndarray) -> float:
        return float((predicted == self.labels).mean()) - self.worst(predicted)


@pytest.fixture(scope="module")
def drawn(encoder: ClipToy) -> Drawn:
    return Drawn(encoder)


def test_zero_shot_prompts_follow_the_background(drawn: Drawn) -> None:
    assert drawn.gap(drawn.scores("an image of landbird", "an image of waterbird").argmax(axis=1)) >= 0.08


def test_group_prompts_do_not(drawn: Drawn) -> None:
    prompts = [f"{bird} on {place} background" for bird in ("landbird", "waterbird") for place in ("land", "water")]
    assert drawn.gap(drawn.scores(*prompts).argmax(axis=1) // 2) <= 0.05


@pytest.mark.parametrize("texts", [CONCEPTS["feet"], ("a bird with grasping feet", "a bird with webbed feet")])
def test_a_program_on_the_feet_works_in_every_group(drawn: Drawn, texts: tuple[str, str]) -> None:
    assert drawn.worst(drawn.sign([texts[0]], [texts[1]])) >= 0.90


def test_a_program_on_the_background_fails_in_a_group(drawn: Drawn) -> None:
    land, water = ["a bird in a forest", "a bird on land"], ["a bird on the water", "a bird by the ocean"]
    assert drawn.worst(drawn.sign(land, water)) <= 0.10


@pytest.mark.parametrize(("trait", "least"), [("feet", 0.95), ("bill", 0.75), ("neck", 0.7), ("body", 0.7)])
def test_a_concept_separates_its_trait(drawn: Drawn, trait: str, least: float) -> None:
    is_typical = np.array([getattr(bird, trait) == TRAITS[trait][1] for bird in drawn.birds])
    assert (drawn.sign([CONCEPTS[trait][0]], [CONCEPTS[trait][1]]) == is_typical).mean() >= least


def test_vectors_have_length_one_and_are_repeatable(encoder: ClipToy) -> None:
    birds, done = toy_birds(Split.TEST, 70, seed=5), []
    first = encoder.encode_images(birds, done.append)
    assert (first.shape, first.dtype, done) == ((70, 64), np.float32, [64, 6])
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    assert np.array_equal(first, ClipToy().encode_images(birds))
    assert np.allclose(first, ClipToy(batch_size=7).encode_images(birds), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 3), (64, 64, 3), (500, 30, 3), (2, 9000, 3), (480, 640, 3)])
def test_images_of_any_size_are_encoded(encoder: ClipToy, shape: tuple[int, int, int]) -> None:
    assert encoder.encode_images([np.full(shape, 99, np.uint8)]).shape == (1, 64)


def test_any_text_is_encoded(encoder: ClipToy) -> None:
    texts = ["", "bird " * 500, "\ud800", "鳥 🐦", "\0", "A BIRD", "a bird"]
    vectors = encoder.encode_texts(texts)
    assert vectors.shape == (7, 64)
    assert np.array_equal(vectors[5], vectors[6])


def test_the_shipped_checkpoint_is_small_and_has_known_settings() -> None:
    sizes = {path.name: path.stat().st_size for path in TOY_CHECKPOINT.iterdir()}
    assert set(sizes) == {"open_clip_config.json", "open_clip_model.safetensors", "bpe.txt.gz"}
    assert sum(sizes.values()) < 2_000_000


# Weights of a directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the toy checkpoint."""
    return Path(shutil.copytree(TOY_CHECKPOINT, tmp_path / "model"))


def edited(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        path = directory / "open_clip_config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return edit


@pytest.mark.parametrize("weights", ["local-dir:{}", "{}/open_clip_model.safetensors"])
def test_weights_of_a_directory_are_used_with_its_settings(encoder: ClipToy, directory: Path, weights: str) -> None:
    local = ClipVitB32(weights=weights.format(directory))
    local.check()
    birds = toy_birds(Split.TEST, 4, seed=0)
    assert np.array_equal(local.encode_images(birds), encoder.encode_images(birds))
    assert local.cache_key()["weights"] == encoder.cache_key()["weights"]
    edited(lambda config: config["preprocess_cfg"].update(mean=[0.1, 0.2, 0.3]))(directory)
    other = ClipVitB32(weights=weights.format(directory))
    assert not np.allclose(other.encode_images(birds), encoder.encode_images(birds), atol=0.01)
    assert other.cache_key() != local.cache_key() | {"weights": encoder.cache_key()["weights"]}


def _truncated(directory: Path) -> None:
    path = directory / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda at: shutil.rmtree(at), r"has 0 files \*\.safetensors"),
        (lambda at: (at / "open_clip_model.safetensors").unlink(), r"has 0 files \*\.safetensors"),
        (lambda at: (at / "b.safetensors").write_bytes(b""), r"has 2 files \*\.safetensors"),
        (lambda at: (at / "open_clip_config.json").unlink(), r"no open_clip_config\.json .* preprocessing are unknown"),
        (lambda at: (at / "open_clip_config.json").write_text("{"), "does not describe a CLIP"),
        (lambda at: (at / "open_clip_config.json").write_text("[1]"), "does not describe a CLIP"),
        (edited(lambda config: config.pop("preprocess_cfg")), r"'preprocess_cfg' is missing"),
        (edited(lambda config: config["preprocess_cfg"].pop("std")), r"'std' is missing"),
        (edited(lambda config: config["preprocess_cfg"].update(std=[1, 1])), "three numbers"),
        (edited(lambda config: config["preprocess_cfg"].update(std=[0, 1, 1])), "three numbers"),
        (edited(lambda config: config["model_cfg"].pop("text_cfg")), r"'text_cfg' is missing"),
        (edited(lambda config: config["model_cfg"].update(embed_dim=32)), "cannot be loaded"),
        (edited(lambda config: config["model_cfg"]["vision_cfg"].update(layers="many")), "cannot be loaded"),
        (edited(lambda config: config["model_cfg"]["text_cfg"].update(unknown=1)), "cannot be loaded"),
        (edited(lambda config: config["model_cfg"]["text_cfg"].update(hf_model_name="absent/x")), "cannot be loaded"),
        (lambda at: (at / "bpe.txt.gz").unlink(), r"tokenizer has 49408 tokens"),
        (lambda at: (at / "bpe.txt.gz").write_bytes(b"broken"), "cannot be loaded"),
        (_truncated, "cannot be loaded"),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(
    directory: Path, damage: Callable[[Path], None], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(directory)
    with pytest.raises(ConfigError, match=message) as error:
        ClipVitB32(weights=f"local-dir:{directory}").encode_texts(["a bird"])
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "laion2b"}, r"weights='laion2b' of clip_vit_b32; expected openai or laion, local-dir:DIR, or"),
        ({"weights": "ViT-B-32.pt"}, "no pickle is read"),
        ({"weights": "absent.safetensors"}, r"absent\.safetensors does not exist"),
        ({"sha256": "abc"}, "expected 64 hex digits"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipVitB32(**values).check()


def test_a_file_with_another_sha256_than_expected_is_refused(encoder: ClipToy) -> None:
    found = encoder.weights_identity()["sha256"]
    weights = f"local-dir:{TOY_CHECKPOINT}"
    assert ClipVitB32(weights=weights, sha256=found).cache_key() == ClipVitB32(weights=weights).cache_key()
    with pytest.raises(ConfigError, match=f"has the sha256 {found}, but clip_vit_b32 expects sha256=000"):
        ClipVitB32(weights=weights, sha256="0" * 64).encode_texts(["a bird"])


# Published weights

PUBLISHED = [(cls, weights) for cls in (ClipVitB32, ClipVitL14) for weights in cls.published]


@pytest.mark.parametrize(("cls", "weights"), PUBLISHED)
def test_published_weights_are_those_that_open_clip_knows(cls: type[Clip], weights: str) -> None:
    import open_clip

    of = cls.published[weights]
    known = open_clip.get_pretrained_cfg(of.model, of.tag)
    assert known["hf_hub"] == f"{of.repository}/"
    assert known.get("quick_gelu", False) == open_clip.get_model_config(of.model).get("quick_gelu", False)
    assert of.model.removesuffix("-quickgelu") == {ClipVitB32: "ViT-B-32", ClipVitL14: "ViT-L-14"}[cls]


@pytest.mark.parametrize(("cls", "weights"), PUBLISHED)
def test_without_a_network_published_weights_are_one_sentence(
    cls: type[Clip], weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder = cls(weights=weights)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for use in (encoder.check, encoder.cache_key, lambda: encoder.encode_texts(["a bird"])):
        with pytest.raises(ConfigError, match=r"not in the local cache and HF_HUB_OFFLINE is set; run once without"):
            use()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        encoder.check()
        with pytest.raises(ConfigError, match="could not be downloaded from the Hugging Face Hub") as error:
            encoder.encode_texts(["a bird"])
    assert "\n" not in str(error.value)


def test_another_activation_than_in_training_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from alchemist_exp.features.images import open_clip_model

    weights = TOY_CHECKPOINT / "open_clip_model.safetensors"
    with pytest.raises(ConfigError, match="trained with quickgelu, but ViT-B-32 is built without it"):
        open_clip_model.load_published("ViT-B-32", "openai", weights)
    with pytest.raises(ConfigError, match="does not know the weights 'absent' of ViT-B-32"):
        open_clip_model.load_published("ViT-B-32", "absent", weights)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        open_clip_model.load_published("ViT-B-32-quickgelu", "openai", weights)


def test_published_weights_are_loaded_with_their_preprocessing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right shapes and random values, because the real files cannot be downloaded by a test."""
    import open_clip
    from safetensors.torch import save_file

    small = json.loads((TOY_CHECKPOINT / "open_clip_config.json").read_text())["model_cfg"]
    small["text_cfg"]["vocab_size"] = 49408
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-L-14", small)
    file = tmp_path / "models--timm--vit_large_patch14_clip_224.laion400m_e31" / "snapshots" / ("c" * 40)
    file.mkdir(parents=True)
    (file.parents[1] / "refs").mkdir()
    (file.parents[1] / "refs" / "main").write_text("c" * 40)
    save_file(open_clip.create_model("ViT-L-14").state_dict(), file / "open_clip_model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder = ClipVitL14(weights="laion")
    encoder.check()
    assert encoder.encode_texts(["a bird"]).shape == (1, 64)
    assert encoder.encode_images(toy_birds(Split.TEST, 2, seed=0)).shape == (2, 64)
    assert encoder.cache_key()["weights"]["tag"] == "laion400m_e31"


@pytest.mark.parametrize("module", ["open_clip", "torchvision", "PIL"])
def test_without_the_extra_the_command_that_installs_it_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(ConfigError, match=rf"clip_toy needs the package {module}; install it with: .*'\.\[images\]'"):
        ClipToy().check()


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, alchemist_exp.features.images.clip, alchemist_exp.features.images.conse\n"
        "print(sorted({'torch', 'torchvision', 'open_clip', 'timm', 'PIL', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
