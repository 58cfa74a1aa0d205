"""What a feature extractor is. It learns from the training texts alone and sees no label."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from alchemist_exp.core.component import Component
from alchemist_exp.core.types import FloatArray


@dataclass(kw_only=True)
class FeatureExtractor(Component, ABC):
    """A feature_extractor group member. Equal values and equal training texts give equal features."""

    VERSION: ClassVar[int] = 1
    """Raised when the code gives other features for the same values, so that stored features are not reused."""

    @abstractmethod
    def fit(self, texts: Sequence[str]) -> Self:
        """Learns from the texts of the training split, in any number, none included."""

    @abstractmethod
    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """float32 (n, d), read-only and finite; d depends on the configuration alone. RuntimeError before `fit`.

        on_progress: is told how many rows more are done.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what `load` needs into `folder` as JSON and .npy, without pickle. RuntimeError before `fit`."""

    @abstractmethod
    def load(self, folder: Path) -> Self:
        """Takes up what `save` wrote: equal features from then on. StoreError when it is absent or broken."""

    def cache_key(self) -> dict[str, object]:
        """All that alters the features of given texts, as JSON knows it: every value and the code's version."""
        return {**super().cache_key(), "version": self.VERSION}
