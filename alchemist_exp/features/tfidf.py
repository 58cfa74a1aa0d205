"""TF-IDF over words and word pairs, reduced by a truncated SVD (latent semantic analysis).

Ours, not the paper's: the authors' code takes the [CLS] vector of bert-base-cased, which needs weights from elsewhere.
This needs nothing but the training texts, and takes seconds. It knows no word that the training split lacks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from omegaconf import MISSING

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.chunk_cache import write_array

_SMALLEST_SHARE = 1e-4
"""Directions weaker than this share of the strongest are rounding noise: nothing was learnt about them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fitted:
    """terms: in the order of their columns. idf: float32 (t,). components: float32 (t, dimensions), the unused zero."""

    terms: list[str]
    idf: FloatArray
    components: FloatArray


@component("feature_extractor", "tfidf")
@dataclass(kw_only=True)
class Tfidf(FeatureExtractor):
    """Bag of words and word pairs as `n_components` numbers; a text without a known word is all zero."""

    n_components: int = MISSING
    max_ngram: int = MISSING
    max_features: int = MISSING

    def __post_init__(self) -> None:
        for key, largest in (("n_components", 10_000), ("max_ngram", 10), ("max_features", 10_000_000)):
            value = getattr(self, key)
            if not 1 <= value <= largest:
                raise ConfigError(f"feature_extractor.{key} is {value}; a whole number from 1 to {largest} is needed.")
        self._fitted: _Fitted | None = None
        self._vectorizer: Any = None

    def cache_key(self) -> dict[str, object]:
        """Return every value under the name it had when the first features were stored, so that those stay valid."""
        stored_names = {"n_components": "dimensions", "max_ngram": "longest_phrase", "max_features": "max_terms"}
        return {stored_names.get(name, name): value for name, value in super().cache_key().items()}

    def fit(self, texts: Sequence[str]) -> Self:
        """Learns terms, their weights and the main directions of the training texts; no texts or no words will do."""
        vectorizer = self._new_vectorizer()
        analyse = vectorizer.build_analyzer()
        if not any(analyse(text) for text in texts):  # scikit-learn refuses an empty vocabulary
            return self._take(_Fitted(terms=[], idf=np.zeros(0, np.float32), components=self._no_components(0)))
        weights = vectorizer.fit_transform(texts)
        return self._take(
            _Fitted(
                terms=vectorizer.get_feature_names_out().tolist(),
                idf=vectorizer.idf_.astype(np.float32),
                components=self._components(weights),
            )
        )

    def transform(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> FloatArray:
        """float32 (n, dimensions), read-only; no row is longer than 1."""
        fitted = self._needed()
        if fitted.terms and len(texts):
            rows = self._vectorizer.transform(texts) @ fitted.components
        else:
            rows = np.zeros((len(texts), self.n_components))
        if on_progress is not None:
            on_progress(len(texts))
        return read_only(rows, np.float32)

    def save(self, folder: Path) -> None:
        """Writes tfidf.json, idf.npy and components.npy."""
        fitted = self._needed()
        write_json(folder / "tfidf.json", {"version": self.VERSION, "terms": fitted.terms})
        write_array(folder / "idf.npy", fitted.idf)
        write_array(folder / "components.npy", fitted.components)

    def load(self, folder: Path) -> Self:
        """Takes up what `save` wrote. StoreError when it is absent, broken or of another configuration or version."""
        try:
            stored = read_json(folder / "tfidf.json", what="the fitted feature extractor")
            idf, components = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("idf", "components"))
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"the fitted feature extractor in {folder} cannot be read: {error}; fit it again."
            ) from error
        known = isinstance(stored, dict) and stored.get("version") == self.VERSION
        terms = stored.get("terms") if known else None
        if (
            not isinstance(terms, list)
            or idf.shape != (len(terms),)
            or components.shape != (len(terms), self.n_components)
        ):
            raise StoreError(
                f"the fitted feature extractor in {folder} is broken or was made with other values than "
                f"feature_extractor.n_components={self.n_components}; fit it again."
            )
        return self._take(
            _Fitted(terms=terms, idf=read_only(idf, np.float32), components=read_only(components, np.float32))
        )

    def _new_vectorizer(self, **learnt: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(
            ngram_range=(1, self.max_ngram),
            max_features=self.max_features,
            sublinear_tf=True,
            dtype=np.float32,
            **learnt,
        )

    def _no_components(self, terms: int) -> npt.NDArray[np.float32]:
        return np.zeros((terms, self.n_components), np.float32)

    def _components(self, weights: Any) -> FloatArray:
        """(terms, dimensions): the main directions of `weights` (n, terms); what the texts cannot tell stays zero."""
        from sklearn.utils.extmath import randomized_svd
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        wanted = min(self.n_components, *weights.shape)
        # The seed is part of the method, as the number of iterations is: features must not differ between runs.
        # More threads gain nothing here, and lose much where jobs share the cores.
        with threadpool_limits(1):
            _, strengths, directions = randomized_svd(weights, n_components=wanted, random_state=0)
        told = strengths > _SMALLEST_SHARE * strengths[0]
        components = self._no_components(weights.shape[1])
        components[:, :wanted][:, told] = directions[told].T
        return components

    def _take(self, fitted: _Fitted) -> Self:
        """Makes `fitted` the state; a fresh vectorizer, so that a loaded extractor does as the one that was saved."""
        self._fitted = fitted
        if fitted.terms:
            self._vectorizer = self._new_vectorizer(vocabulary=fitted.terms)
            self._vectorizer.idf_ = fitted.idf
        return self

    def _needed(self) -> _Fitted:
        if self._fitted is None:
            raise RuntimeError("the feature extractor has not been fitted")
        return self._fitted
