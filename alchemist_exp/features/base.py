"""The base class of feature extractors. An extractor learns from the training texts only and does not see labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from alchemist_exp.core.component import Component
from alchemist_exp.core.types import FloatArray


@dataclass(kw_only=True)
class FeatureExtractor(Component, ABC):
    """A member of the configuration group feature_extractor: it turns texts into the end model's input.

    Equal values and equal training texts give equal features.

    Attributes:
        VERSION: Raise it when the code gives other features for equal values; stored features are then not reused.
        CHUNK_ROWS: How many rows are computed again at most after a kill.
        reads: What the extractor reads: texts (of the rows, or of the text columns of records) or images.

    Example:
        >>> import json
        >>> import numpy as np
        >>> from dataclasses import dataclass
        >>> @dataclass(kw_only=True)
        ... class TextLength(FeatureExtractor):
        ...     def fit(self, texts):
        ...         self.longest = max(map(len, texts), default=1)
        ...         return self
        ...     def transform(self, texts, on_progress=None):
        ...         return np.array([[len(text) / self.longest] for text in texts], np.float32).reshape(-1, 1)
        ...     def save(self, directory):
        ...         (directory / "length.json").write_text(json.dumps(self.longest))
        ...     def load(self, directory):
        ...         self.longest = json.loads((directory / "length.json").read_text())
        ...         return self
        >>> TextLength(name="length").fit(["four", "me"]).transform(["me", "two"]).tolist()
        [[0.5], [0.75]]

    """

    VERSION: ClassVar[int] = 1
    CHUNK_ROWS: ClassVar[int] = 1024  # half a minute of a small encoder on two cores, and enough to sort by length
    reads: ClassVar[str] = "texts"

    @property
    def advice_for_zeros(self) -> str:
        """What to choose instead when the features of many texts are all zero."""
        return "choose another feature_extractor, for example transformer with a model for this language"

    @abstractmethod
    def fit(self, texts: Sequence[str]) -> Self:
        """Learn from the texts of the training split.

        Args:
            texts: Any number of texts, also none.

        Returns:
            The extractor itself.

        """

    @abstractmethod
    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Return the features of texts.

        Args:
            texts: Any number of texts, also none.
            on_progress: Called with the number of rows that are finished, after each step.

        Returns:
            Read-only float32 array of shape (n_texts, n_features), all finite. n_features depends on the configuration
            only.

        Raises:
            RuntimeError: The extractor is not fitted.

        """

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write what `load` needs as JSON and .npy, without pickle.

        Args:
            directory: Where the files are written.

        Raises:
            RuntimeError: The extractor is not fitted.

        """

    @abstractmethod
    def load(self, directory: Path) -> Self:
        """Restore the state that `save` wrote; the features are then equal.

        Args:
            directory: Where `save` wrote the files.

        Returns:
            The extractor itself.

        Raises:
            StoreError: The state is absent, broken, or was saved with other values.

        """

    def external_files(self, directory: Path) -> list[Path]:
        """Return the files that `load` and `transform` read outside of the directory where the state is saved.

        Args:
            directory: Where `save` wrote the files; it may come from another person.

        Returns:
            Absolute paths of files or directories. Those of installed packages and of the local cache of the Hugging
            Face Hub do not count.

        """
        return []

    def cache_key(self) -> dict[str, object]:
        """Return everything that changes the features of given texts: all values and `VERSION`, as JSON types."""
        return {**super().cache_key(), "version": self.VERSION}
