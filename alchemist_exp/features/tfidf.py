"""TF-IDF over words and word pairs, reduced by a truncated SVD (latent semantic analysis).

This extractor is not the paper's: the authors' code takes the [CLS] vector of bert-base-cased, whose weights are a
download. This one needs only the training texts and a few seconds. It ignores words that are not in the training split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.parallel import map_in_threads
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.char_ngrams import CharNgrams
from alchemist_exp.features.chunk_cache import write_array
from alchemist_exp.features.randomized_svd import right_singular_vectors

_SMALLEST_SHARE = 1e-4
"""A direction whose singular value is below this share of the largest one is rounding noise."""

_BLOCK_ROWS = 1000
"""Texts that a thread transforms at once: their arrays fit into the processor's cache."""


class Analyzer(StrEnum):
    """What a term is made of. Members have the names that scikit-learn uses."""

    word = "word"  # words of two or more letters or digits
    char_wb = "char_wb"  # characters between two spaces: for texts without spaces between words, spelling, emoji


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fitted:
    """What `fit` learns.

    Attributes:
        terms: The terms, in the order of their columns.
        idf: float32 array of shape (n_terms,).
        components: float32 array of shape (n_terms, n_components); unused columns are zero.

    """

    terms: list[str]
    idf: FloatArray
    components: FloatArray


@component("feature_extractor", "tfidf")
@dataclass(kw_only=True)
class Tfidf(FeatureExtractor):
    """TF-IDF of words and word pairs as `n_components` numbers per text; a text without a known word is all zero.

    Attributes:
        analyzer: Whether terms are made of words or of characters.
        n_components: Numbers per text, 1 to 10,000.
        max_ngram: Longest run of words, or of characters, that counts as one term, 1 to 10.
        max_features: Most terms that are kept, by frequency.

    Example:
        >>> extractor = Tfidf(name="tfidf", n_components=2, max_ngram=1, max_features=100)
        >>> extractor.fit(["good film", "bad film"]).transform(["good good", "unknown"]).astype(float).round(2).tolist()
        [[0.5, 0.71], [0.0, 0.0]]

    """

    CHUNK_ROWS: ClassVar[int] = 16_384  # a second of work

    analyzer: Analyzer = Analyzer.word
    n_components: int = MISSING
    max_ngram: int = MISSING
    max_features: int = MISSING

    def __post_init__(self) -> None:
        """Check that each value is in its range.

        Raises:
            ConfigError: A value is out of range.

        """
        for key, largest in (("n_components", 10_000), ("max_ngram", 10), ("max_features", 10_000_000)):
            value = getattr(self, key)
            if not 1 <= value <= largest:
                raise ConfigError(f"feature_extractor.{key}={value}; expected a whole number from 1 to {largest}.")
        self._fitted: _Fitted | None = None

    def cache_key(self) -> dict[str, object]:
        """Return every value under the name it had when the first features were stored, so that those stay valid."""
        stored_names = {"n_components": "dimensions", "max_ngram": "longest_phrase", "max_features": "max_terms"}
        key = {stored_names.get(name, name): value for name, value in super().cache_key().items()}
        if self.analyzer is Analyzer.word:
            del key["analyzer"]
        return key

    @property
    def advice_for_zeros(self) -> str:
        """Characters instead of words; if they are chosen already, another extractor."""
        if self.analyzer is Analyzer.char_wb:
            return super().advice_for_zeros
        return (
            "use feature_extractor=tfidf_chars, which compares characters instead of words (for Chinese, Japanese and "
            f"other texts without spaces, and emoji), or {super().advice_for_zeros}"
        )

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn the terms, their weights and their main directions.

        Args:
            texts: The training texts; if none has a word, all features are zero.

        Returns:
            The extractor itself.

        """
        from sklearn.feature_extraction.text import TfidfTransformer

        vectorizer = self._new_vectorizer()
        analyze = vectorizer.build_analyzer()
        if not any(analyze(text) for text in texts):  # scikit-learn refuses an empty vocabulary
            components = np.zeros((0, self.n_components), np.float32)
            return self._set_state(_Fitted(terms=[], idf=np.zeros(0, np.float32), components=components))
        weights = TfidfTransformer(sublinear_tf=True)
        weighted = weights.fit_transform(vectorizer.fit_transform(texts))
        rank = min(self.n_components, *weighted.shape)
        singular_values, directions = right_singular_vectors(weighted, rank)
        kept = singular_values > _SMALLEST_SHARE * singular_values[0]
        components = np.zeros((weighted.shape[1], self.n_components), np.float32)  # zeros where there is no direction
        components[:, :rank][:, kept] = directions[kept].T
        return self._set_state(
            _Fitted(
                terms=vectorizer.get_feature_names_out().tolist(),
                idf=weights.idf_.astype(np.float32),
                components=components,
            )
        )

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """Return the features of texts.

        Args:
            texts: Any number of texts, also none.
            on_progress: Called once with the number of texts.

        Returns:
            Read-only float32 array of shape (n_texts, n_components); the length of a row is at most 1.

        Raises:
            RuntimeError: The extractor is not fitted.

        """
        fitted = self._require_fitted()
        rows = np.zeros((len(texts), self.n_components), np.float32)

        def fill(start: int) -> None:
            """Write the features of one block; threads write to different rows, so no lock is needed."""
            block = slice(start, start + _BLOCK_ROWS)
            rows[block] = self._weigh(self._count(texts[block])) @ fitted.components

        if fitted.terms:
            map_in_threads(fill, range(0, len(texts), _BLOCK_ROWS))
        if on_progress is not None:
            on_progress(len(texts))
        return read_only(rows, np.float32)

    def save(self, directory: Path) -> None:
        """Write tfidf.json, idf.npy and components.npy.

        Raises:
            RuntimeError: The extractor is not fitted.

        """
        fitted = self._require_fitted()
        write_json(directory / "tfidf.json", {"version": self.VERSION, "terms": fitted.terms})
        write_array(directory / "idf.npy", fitted.idf)
        write_array(directory / "components.npy", fitted.components)

    def load(self, directory: Path) -> Self:
        """Restore what `save` wrote.

        Raises:
            StoreError: A file is missing or broken, or was saved with another `n_components` or version.

        """
        try:
            stored = read_json(directory / "tfidf.json", what="the fitted feature extractor")
            idf, components = (np.load(directory / f"{name}.npy", allow_pickle=False) for name in ("idf", "components"))
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"the fitted feature extractor in {directory} cannot be read: {error}; run the experiment again."
            ) from error
        is_state = isinstance(stored, dict) and stored.get("version") == self.VERSION
        terms = stored.get("terms") if is_state else None
        if (
            not isinstance(terms, list)
            or not all(isinstance(term, str) for term in terms)
            or idf.shape != (len(terms),)
            or components.shape != (len(terms), self.n_components)
        ):
            raise StoreError(
                f"the fitted feature extractor in {directory} is broken or was saved with other values than "
                f"feature_extractor.n_components={self.n_components}; run the experiment again."
            )
        return self._set_state(
            _Fitted(terms=terms, idf=read_only(idf, np.float32), components=read_only(components, np.float32))
        )

    def _new_vectorizer(self, **learned: Any) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer

        return CountVectorizer(
            analyzer=self.analyzer.value,
            ngram_range=(1, self.max_ngram),
            max_features=self.max_features,
            dtype=np.float32,
            **learned,
        )

    def _set_state(self, fitted: _Fitted) -> Self:
        """Make `fitted` the state, with a new vectorizer, so that a loaded extractor equals the saved one."""
        from sklearn.feature_extraction.text import TfidfTransformer

        self._fitted = fitted
        if self.analyzer is Analyzer.char_wb:
            self._count = CharNgrams(fitted.terms, self.max_ngram).count
        else:
            self._count = self._new_vectorizer(vocabulary=fitted.terms).transform
        weights = TfidfTransformer(sublinear_tf=True)
        if fitted.terms:
            weights.idf_ = fitted.idf
        self._weigh = weights.transform
        return self

    def _require_fitted(self) -> _Fitted:
        if self._fitted is None:
            raise RuntimeError("the feature extractor has not been fitted; call fit() or load() first")
        return self._fitted
