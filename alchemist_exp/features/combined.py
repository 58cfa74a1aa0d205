"""Several feature extractors side by side: each is scaled, and their columns are concatenated.

A run caches each part under the part's own key (`pipeline.feature_stage`), so another part costs only its own time.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.component import component, naming_plugin
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor

PARTS: Final = "parts"
"""The directory with a subdirectory for the state of each part."""

_STATE_FILE: Final = "combined.json"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


@component("feature_extractor", "combined")
@dataclass(kw_only=True)
class Combined(FeatureExtractor):
    """The features of several extractors, each divided by its root mean square on the training texts.

    After the division no part outweighs another by the unit of its numbers; the end model learns what each is worth.

    Attributes:
        parts: The extractors of texts, by a name that you choose; their columns are in this order.

    Example:
        >>> from alchemist_exp.features.tfidf import Analyzer, Tfidf
        >>> sizes = {"n_components": 2, "max_ngram": 1, "max_features": 100}
        >>> words = Tfidf(name="tfidf", **sizes)
        >>> characters = Tfidf(name="tfidf_chars", analyzer=Analyzer.char_wb, **sizes)
        >>> both = Combined(name="combined", parts={"words": words, "characters": characters})
        >>> both.fit(["good film", "bad film"]).transform(["good film"]).shape
        (1, 4)

    """

    parts: dict[str, FeatureExtractor] = MISSING

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            ConfigError: There is none, one has an invalid name, reads no texts, or is itself combined.

        """
        if not self.parts:
            raise ConfigError(
                "feature_extractor.parts is empty; add a part, as in "
                "+feature_extractor@feature_extractor.parts.words=tfidf."
            )
        for name, part in self.parts.items():
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"feature_extractor.parts has the name {name!r}; expected at most 40 lowercase letters, digits and "
                    "underscores after a letter."
                )
            if isinstance(part, Combined):
                raise ConfigError(f"feature_extractor.parts.{name} is itself combined; list its parts instead.")
            if part.reads != "texts":
                raise ConfigError(
                    f"feature_extractor.parts.{name}={part.name} reads {part.reads}; only extractors of texts can be "
                    "combined."
                )
        self.scales: Mapping[str, float] | None = None

    @property
    def advice_for_zeros(self) -> str:
        """A part that compares characters, or another extractor."""
        return (
            f"add the part +feature_extractor@feature_extractor.parts.chars=tfidf_chars, or {super().advice_for_zeros}"
        )

    def check(self) -> None:
        """Check that each part can work on this machine."""
        for part in self.parts.values():
            part.check()

    def fit(self, texts: Sequence[str]) -> Self:
        """Fit each part, and measure its scale.

        Args:
            texts: The training texts.

        Returns:
            The extractor itself.

        """
        scales = {}
        for name, part in self.parts.items():
            with naming_plugin(part, "fit"):
                scales[name] = root_mean_square([part.fit(texts).transform(texts)])
        return self.set_scales(scales)

    def set_scales(self, scales: Mapping[str, float]) -> Self:
        """Use scales that were measured elsewhere; `transform` needs fitted or loaded parts, too.

        Args:
            scales: By part, the `root_mean_square` of its features of the training texts.

        Returns:
            The extractor itself.

        """
        self.scales = scales
        return self

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Return the features of texts.

        Args:
            texts: Any number of texts, also none.
            on_progress: Called once with the number of texts.

        Returns:
            Read-only float32 array of shape (n_texts, sum of the parts' features).

        Raises:
            RuntimeError: The extractor is not fitted.

        """
        _ = self._require_scales()
        features = []
        for part in self.parts.values():
            with naming_plugin(part, "transform"):
                features.append(part.transform(texts))
        if on_progress is not None:
            on_progress(len(texts))
        return self.join(features)

    def join(self, features: Sequence[FloatArray]) -> FloatArray:
        """Scale the features of the parts and concatenate their columns.

        Args:
            features: One float32 array of shape (n_rows, n_features) per part, in the order of the parts.

        Returns:
            Read-only float32 array of shape (n_rows, sum of the parts' features).

        """
        scales = self._require_scales().values()
        return read_only(
            np.hstack([rows / np.float32(s) for rows, s in zip(features, scales, strict=True)]), np.float32
        )

    def save(self, directory: Path) -> None:
        """Write combined.json, and each part's state into parts/NAME.

        Raises:
            RuntimeError: The extractor is not fitted.

        """
        self.save_scales(directory)
        for name, part in self.parts.items():
            (place := directory / PARTS / name).mkdir(parents=True, exist_ok=True)
            part.save(place)

    def save_scales(self, directory: Path) -> None:
        """Write combined.json alone, for a caller that has the state of the parts in files."""
        write_json(directory / _STATE_FILE, {"version": self.VERSION, "scales": dict(self._require_scales())})

    def load(self, directory: Path) -> Self:
        """Restore what `save` wrote.

        Raises:
            StoreError: A file is missing or broken, or was saved with other parts.

        """
        stored = read_json(directory / _STATE_FILE, what="the fitted feature extractor")
        scales = stored.get("scales") if isinstance(stored, dict) and stored.get("version") == self.VERSION else None
        if (
            not isinstance(scales, dict)
            or set(scales) != set(self.parts)
            or not all(type(scale) in (int, float) and 0 < scale < math.inf for scale in scales.values())
        ):
            raise StoreError(
                f"the fitted feature extractor in {directory} is broken or was saved with other parts than "
                f"{', '.join(self.parts)}; run the experiment again."
            )
        for name, part in self.parts.items():
            with naming_plugin(part, "load"):
                part.load(directory / PARTS / name)
        return self.set_scales({name: scales[name] for name in self.parts})

    def external_files(self, directory: Path) -> list[Path]:
        """Return the files that the parts read outside of the directory."""
        return [path for name, part in self.parts.items() for path in part.external_files(directory / PARTS / name)]

    def _require_scales(self) -> Mapping[str, float]:
        if self.scales is None:
            raise RuntimeError("the feature extractor has not been fitted; call fit() or load() first")
        return self.scales


def root_mean_square(chunks: Iterable[FloatArray]) -> float:
    """Return the root mean square of features; 1 when all are zero.

    Args:
        chunks: float32 arrays of shape (n_rows, n_features).

    """
    total, n_values = 0.0, 0
    for chunk in chunks:
        # einsum, not BLAS: the number of BLAS threads changes the last digit of the sum.
        total += float(np.einsum("nd,nd->n", chunk, chunk).sum(dtype=np.float64))
        n_values += chunk.size
    return math.sqrt(total / max(n_values, 1)) or 1.0
