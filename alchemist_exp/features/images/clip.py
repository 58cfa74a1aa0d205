"""CLIP encoders: published weights, weights of a local directory, and the tiny one that comes with this package.

open_clip and torch are imported when an encoder is used, not with this module.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy.typing as npt

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, require_packages
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.features.checkpoints import file_sha256
from alchemist_exp.features.images.base import ImageArray, ImageTextEncoder
from alchemist_exp.features.transformer import precision

if TYPE_CHECKING:
    from alchemist_exp.features.images.open_clip_model import OpenClipModel

TOY_CHECKPOINT: Final = Path(__file__).parent / "toy_clip"
"""The directory that scripts/train_toy_clip.py writes."""

LOCAL_DIRECTORY: Final = "local-dir:"

_WEIGHTS_FILE = "open_clip_model.safetensors"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights on the Hugging Face Hub, in the file open_clip_model.safetensors.

    Attributes:
        model: Open_clip's name of the architecture. OpenAI's weights need the variants with the activation quickgelu.
        tag: Open_clip's name of the weights.
        repository: Their repository on the Hub.

    """

    model: str
    tag: str
    repository: str


@dataclass(kw_only=True)
class Clip(ImageTextEncoder):
    """A CLIP of open_clip, on the first GPU (in bfloat16 if it supports that) or on the CPU.

    Attributes:
        published: The weights that `weights` can name.
        weights: openai or laion; `local-dir:DIR`, a directory with open_clip_config.json and one .safetensors file; or
            the path of a .safetensors file next to open_clip_config.json.
        sha256: The expected sha256 of the weights file as 64 hex digits, or None. The one of a downloaded file is part
            of each cache key in any case.

    """

    published: ClassVar[Mapping[str, PublishedWeights]]

    weights: str = "openai"
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Check the form of `weights` and `sha256`.

        Raises:
            ConfigError: They have another form.

        """
        super().__post_init__()
        is_path = self.weights.startswith(LOCAL_DIRECTORY) or self.weights.endswith(".safetensors")
        if not is_path and self.weights not in self.published:
            names = " or ".join(self.published)
            raise ConfigError(
                f"weights={self.weights!r} of {self.name}; expected {f'{names}, ' if names else ''}"
                f"{LOCAL_DIRECTORY}DIR, or a .safetensors file next to open_clip_config.json (no pickle is read)."
            )
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"sha256={self.sha256!r} of {self.name}; expected 64 hex digits, or null.")
        self._loaded: OpenClipModel | None = None

    def check(self) -> None:
        """Check that the packages are installed and that local weights exist, without a download.

        Raises:
            ConfigError: They do not, or HF_HUB_OFFLINE is set and the weights are not in the local cache.

        """
        require_packages(self.name, "images", "open_clip", "torchvision", "PIL")
        self._available_file()

    def is_local(self) -> bool:
        """Return whether the weights are on this machine; see `ImageTextEncoder.is_local`."""
        return self._available_file() is not None

    def weights_identity(self) -> dict[str, str]:
        """Return the sha256 of the weights file and what says how it is used; the file may be downloaded for it."""
        weights = self._weights_file()
        if self.weights in self.published:
            used_as = {"model": self.published[self.weights].model, "tag": self.published[self.weights].tag}
        else:
            others = [weights.parent / name for name in ("open_clip_config.json", "bpe.txt.gz")]
            used_as = {path.name: file_sha256(path) for path in others if path.is_file()}
        return {"sha256": file_sha256(weights), "precision": precision(), **used_as}

    def external_files(self, directory: Path) -> list[Path]:
        """Return the place of weights that are neither published nor in this package."""
        if self.weights in self.published:
            return []
        path = Path(self.weights.removeprefix(LOCAL_DIRECTORY)).expanduser().absolute()
        return [] if path == TOY_CHECKPOINT else [path]

    def cache_key(self) -> dict[str, object]:
        """Return what changes a vector: of the weights the content, not the place, and not what is expected of it."""
        return {key: value for key, value in super().cache_key().items() if key != "sha256"}

    def image_vectors(self, images: Sequence[ImageArray]) -> npt.NDArray[Any]:
        """Return one vector per image; see `ImageTextEncoder.image_vectors`."""
        return self._model().image_vectors(images)

    def text_vectors(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """Return one vector per text; see `ImageTextEncoder.text_vectors`."""
        return self._model().text_vectors(texts)

    def _model(self) -> "OpenClipModel":
        if self._loaded is None:
            require_packages(self.name, "images", "open_clip", "torchvision", "PIL")
            weights = self._weights_file()
            from alchemist_exp.features.images import open_clip_model

            if self.weights in self.published:
                of = self.published[self.weights]
                self._loaded = open_clip_model.load_published(of.model, of.tag, weights)
            else:
                self._loaded = open_clip_model.load_local(weights)
        return self._loaded

    def _weights_file(self) -> Path:
        """Return the weights file, after its download if necessary and a comparison with the expected sha256."""
        weights = self._available_file()
        if weights is None:
            import httpx2  # the HTTP client of huggingface_hub
            from huggingface_hub import hf_hub_download

            repository = self.published[self.weights].repository
            _log.warning("downloading the weights %s from the Hugging Face Hub", repository)
            try:
                weights = Path(hf_hub_download(repository, _WEIGHTS_FILE))
            except (OSError, httpx2.HTTPError) as error:
                reason = sanitize(str(error).strip().partition("\n")[0])
                raise ConfigError(
                    f"the weights {repository} could not be downloaded from the Hugging Face Hub ({reason}); check the "
                    f"network, or {_ADVICE}."
                ) from error
        if self.sha256 not in (None, found := file_sha256(weights)):
            raise ConfigError(
                f"{weights} has the sha256 {found}, but {self.name} expects sha256={self.sha256}; use the file "
                "that was expected, or change the value."
            )
        return weights

    def _available_file(self) -> Path | None:
        """Return the weights file if it is on this machine; None if it can be downloaded."""
        if self.weights in self.published:
            from huggingface_hub import is_offline_mode, try_to_load_from_cache

            repository = self.published[self.weights].repository
            cached = try_to_load_from_cache(repository, _WEIGHTS_FILE)
            if not isinstance(cached, str) and is_offline_mode():
                raise ConfigError(
                    f"the weights {repository} are not in the local cache and HF_HUB_OFFLINE is set; run once without "
                    f"HF_HUB_OFFLINE, or {_ADVICE}."
                )
            return Path(cached) if isinstance(cached, str) else None
        path = Path(self.weights.removeprefix(LOCAL_DIRECTORY)).expanduser().absolute()
        if self.weights.startswith(LOCAL_DIRECTORY):
            found = sorted(path.glob("*.safetensors"))
            if len(found) != 1:
                raise ConfigError(
                    f"weights={self.weights} of {self.name}: {path} has {len(found)} files *.safetensors; expected a "
                    "directory with one, and with open_clip_config.json."
                )
            (path,) = found
        if not path.is_file():
            raise ConfigError(f"weights={self.weights} of {self.name}: {path} does not exist; correct the path.")
        if not (path.parent / "open_clip_config.json").is_file():
            raise ConfigError(
                f"weights={self.weights} of {self.name}: there is no open_clip_config.json next to {path.name}, so "
                "architecture and preprocessing are unknown; put the model's file of that name there."
            )
        return path


@component("feature_extractor", "clip_vit_b32")
@dataclass(kw_only=True)
class ClipVitB32(Clip):
    """CLIP ViT-B/32 (605 MB), by OpenAI or by LAION (the weights that the paper's authors most likely used)."""

    published: ClassVar[Mapping[str, PublishedWeights]] = {
        "openai": PublishedWeights(
            model="ViT-B-32-quickgelu", tag="openai", repository="timm/vit_base_patch32_clip_224.openai"
        ),
        "laion": PublishedWeights(
            model="ViT-B-32", tag="laion2b_s34b_b79k", repository="laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
        ),
    }


@component("feature_extractor", "clip_vit_l14")
@dataclass(kw_only=True)
class ClipVitL14(Clip):
    """CLIP ViT-L/14 (1.7 GB), by OpenAI or by LAION (the weights that the paper's authors most likely used)."""

    published: ClassVar[Mapping[str, PublishedWeights]] = {
        "openai": PublishedWeights(
            model="ViT-L-14-quickgelu", tag="openai", repository="timm/vit_large_patch14_clip_224.openai"
        ),
        "laion": PublishedWeights(
            model="ViT-L-14", tag="laion400m_e31", repository="timm/vit_large_patch14_clip_224.laion400m_e31"
        ),
    }


@component("feature_extractor", "clip_toy")
@dataclass(kw_only=True)
class ClipToy(Clip):
    """The tiny CLIP in this package, trained by scripts/train_toy_clip.py on drawn birds. It knows nothing else."""

    published: ClassVar[Mapping[str, PublishedWeights]] = {}

    weights: str = f"{LOCAL_DIRECTORY}{TOY_CHECKPOINT}"


_ADVICE = "set weights=local-dir:DIR to a directory with open_clip_config.json and a .safetensors file"
