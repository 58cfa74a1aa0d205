"""CLIP models of open_clip. Import this module late: it imports torch, torchvision and timm (seconds)."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from alchemist_exp.torchvision_ops import declare_torchvision_ops

declare_torchvision_ops()

import open_clip
from open_clip.factory import load_checkpoint
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors import SafetensorError

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray
from alchemist_exp.features.images.base import ImageArray

CONFIG_FILE, MERGES_FILE = "open_clip_config.json", "bpe.txt.gz"

_LOADING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    AssertionError,
    RuntimeError,
    SafetensorError,
)
"""What open_clip, torch and safetensors raise for files that do not fit."""


_SMALL_MODEL = 5_000_000
"""Parameters below which one thread is used: with two, the toy CLIP took 9 times as much CPU on a busy machine."""


class OpenClipModel:
    """A loaded CLIP on the first GPU, or on the CPU if there is none.

    Args:
        model: A CLIP of open_clip with its weights.
        tokenizer: Its tokenizer.

    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Move the model to the first GPU, if there is one, and freeze its weights."""
        self._device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._bfloat16 = self._device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        self._tokenizer = tokenizer
        self._is_small = sum(weights.numel() for weights in model.parameters()) < _SMALL_MODEL

    def image_vectors(self, images: Sequence[ImageArray]) -> FloatArray:
        """Return one vector per image; see `ImageTextEncoder.image_vectors`."""
        with self._threads():
            batch = torch.stack([self._preprocess(Image.fromarray(image)) for image in images])
            return self._run(self._model.encode_image, batch)

    def text_vectors(self, texts: Sequence[str]) -> FloatArray:
        """Return one vector per text; see `ImageTextEncoder.text_vectors`."""
        with self._threads():
            return self._run(self._model.encode_text, self._tokenizer(list(texts)))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Limit torch to one thread for a small model."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if self._is_small else threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def _run(self, network: Any, batch: torch.Tensor) -> FloatArray:
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            vectors: FloatArray = network(batch.to(self._device)).float().cpu().numpy()
        return vectors


def load_published(model_name: str, tag: str, weights: Path) -> OpenClipModel:
    """Load published weights with the architecture and preprocessing that open_clip lists for their tag.

    Args:
        model_name: Open_clip's name of the architecture, for example "ViT-B-32-quickgelu".
        tag: Open_clip's name of the weights, for example "openai".
        weights: The .safetensors file.

    Returns:
        The model.

    Raises:
        ConfigError: The file does not fit, or the weights were trained with another activation than `model_name` has.

    """
    published, architecture = open_clip.get_pretrained_cfg(model_name, tag), open_clip.get_model_config(model_name)
    if not published or not architecture:
        raise ConfigError(f"the installed open_clip does not know the weights {tag!r} of {model_name}; update it.")
    trained, built = (bool(config.get("quick_gelu", False)) for config in (published, architecture))
    if trained != built:
        raise ConfigError(
            f"the weights {tag!r} were trained {'with' if trained else 'without'} quickgelu, but {model_name} is built "
            f"{'with' if built else 'without'} it, which changes every score; use the other variant of the model."
        )
    preprocessing = {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    with _explain_errors(weights):
        model = open_clip.create_model(model_name, pretrained=str(weights), force_preprocess_cfg=preprocessing)
        return OpenClipModel(model, open_clip.get_tokenizer(model_name))


def load_local(weights: Path) -> OpenClipModel:
    """Load a weights file with the architecture, preprocessing and tokenizer of the files in its directory.

    Args:
        weights: A .safetensors file next to open_clip_config.json, which has `model_cfg` and, in `preprocess_cfg`, mean
            and std. If bpe.txt.gz is there, it holds the merges of the tokenizer.

    Returns:
        The model.

    Raises:
        ConfigError: A file is missing, does not fit the others, or does not state the preprocessing.

    """
    directory = weights.parent
    config = _read_config(directory / CONFIG_FILE)
    name, merges = f"local-dir:{directory}", directory / MERGES_FILE
    with _explain_errors(weights):
        model = open_clip.create_model(name, load_weights=False)
        load_checkpoint(model, str(weights), strict=True)
        tokenizer = open_clip.get_tokenizer(name, **({"bpe_path": str(merges)} if merges.is_file() else {}))
        expected, found = config["model_cfg"]["text_cfg"].get("vocab_size"), getattr(tokenizer, "vocab_size", None)
        if None not in (expected, found) and expected != found:
            raise ValueError(f"the tokenizer has {found} tokens, but {CONFIG_FILE} has vocab_size={expected}")
        return OpenClipModel(model, tokenizer)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist, so architecture and preprocessing of the weights are unknown; put the "
            f"{CONFIG_FILE} of the model into that directory."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        parts = [config["model_cfg"][key] for key in ("embed_dim", "vision_cfg", "text_cfg")]
        channels = [[float(value) for value in config["preprocess_cfg"][key]] for key in ("mean", "std")]
        if not parts or [len(values) for values in channels] != [3, 3] or not all(channels[1]):
            raise ValueError("mean and std need three numbers each")
    except (OSError, ValueError, TypeError, KeyError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else sanitize(str(error))
        raise ConfigError(
            f"{path} does not describe a CLIP ({problem}); expected model_cfg with embed_dim, vision_cfg and text_cfg, "
            "and preprocess_cfg with mean and std."
        ) from error
    described: dict[str, Any] = config
    return described


@contextmanager
def _explain_errors(weights: Path) -> Iterator[None]:
    """Turn errors of loading into one sentence, and hide what open_clip logs.

    It logs by functions of the module `logging`, which would also install a handler in a program that has none.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(_no_record)
    try:
        yield
    except _LOADING_ERRORS as error:
        first_line = sanitize(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise ConfigError(
            f"the weights {weights} cannot be loaded ({first_line}); use the files of one model, or delete a damaged "
            "file so that it is downloaded again."
        ) from error
    finally:
        root.removeFilter(_no_record)
        root.removeHandler(handler)


def _no_record(record: logging.LogRecord) -> bool:
    return False
