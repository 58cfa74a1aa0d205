"""Counts in how many rows each word occurs, and ranks the words that one group of rows has more often than another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from alchemist_exp.core.types import BoolArray, IntArray

MIN_ROWS: Final = 5
"""Rows in which a word has to occur before a prompt may show it: a word of one row may identify a person."""

N_WORDS: Final = 40
"""The most words that one list in a prompt has."""

_WORD: Final = r"[^\W\d_]{2,}"
_MIN_Z: Final = 3.0
"""Least difference of two shares in standard errors; with less, chance gives dozens among some thousand words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WordCounts:
    """Which words occur in which rows.

    Attributes:
        words: The words that occur in at least `MIN_ROWS` rows, in alphabetical order.
        occurs: Sparse matrix of shape (n_rows, n_words), 1 where a row contains a word.

    Example:
        >>> counts = WordCounts.of(["Win a prize"] * 9 + ["see you soon"] * 9)
        >>> first = np.arange(18) < 9
        >>> counts.typical(first, ~first)
        ['prize', 'win']

    """

    words: tuple[str, ...]
    occurs: Any

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Count the words of texts: two or more letters each, in lower case.

        Args:
            texts: One text per row.

        Returns:
            The counts.

        """
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(token_pattern=_WORD, binary=True, min_df=min(MIN_ROWS, max(len(texts), 1)))
        try:
            occurs = vectorizer.fit_transform(texts)
        except ValueError:  # no word occurs often enough
            return cls(words=(), occurs=np.zeros((len(texts), 0), dtype=np.int64))
        return cls(words=tuple(vectorizer.get_feature_names_out()), occurs=occurs)

    def typical(
        self, rows: BoolArray, others: BoolArray, *, within: BoolArray | None = None, n_words: int = N_WORDS
    ) -> list[str]:
        """Return the words that some rows have more often than others, the clearest difference first.

        The shares of a word among all words of both groups are compared, so that longer rows have no advantage.

        Args:
            rows: Boolean array of shape (n_rows,).
            others: Boolean array of shape (n_rows,).
            within: Boolean array of shape (n_rows,): other rows in `MIN_ROWS` of which a word has to occur, too.
            n_words: The most words that are returned.

        Returns:
            Words whose difference is at least three standard errors, and that occur in `MIN_ROWS` of the rows.

        """
        here, there = self._rows_with_word(rows), self._rows_with_word(others)
        n_here, n_there = max(here.sum(), 1), max(there.sum(), 1)
        share = (here + there) / (n_here + n_there)
        error = np.sqrt(np.maximum(share * (1 - share), 1e-12) * (1 / n_here + 1 / n_there))
        z = (here / n_here - there / n_there) / error
        z[here < MIN_ROWS] = 0
        if within is not None:
            z[self._rows_with_word(within) < MIN_ROWS] = 0
        ranked = np.argsort(-z, kind="stable")[:n_words]
        return [self.words[word] for word in ranked if z[word] >= _MIN_Z]

    def _rows_with_word(self, rows: BoolArray) -> IntArray:
        """Return int64 array of shape (n_words,): in how many of `rows` each word occurs."""
        return np.asarray(self.occurs[np.flatnonzero(rows)].sum(axis=0), dtype=np.int64).ravel()
