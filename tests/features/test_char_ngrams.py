"""The counts of character n-grams equal scikit-learn's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from alchemist_exp.features.char_ngrams import CharNgrams

# Letters that change their length in lower case, spaces of all kinds, signs beyond 16 bits, a lone surrogate.
TEXTS = st.text(st.sampled_from("abcAB \t\n\u00a0\u2028.!İßΣ面白\U0001f600\ud800"), max_size=30)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.lists(TEXTS, max_size=6), st.integers(1, 6))
def test_counts_equal_those_of_scikit_learn(known: list[str], others: list[str], max_ngram: int) -> None:
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(1, max_ngram), max_features=40, dtype=np.float32)
    if not any(text.split() for text in known):
        known = [*known, "abc"]
    vectorizer.fit(known)
    expected = vectorizer.transform([*known, *others])
    found = CharNgrams(vectorizer.get_feature_names_out().tolist(), max_ngram).count([*known, *others])
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(found, part), getattr(expected, part))


def test_no_texts_and_no_terms_give_empty_counts() -> None:
    assert CharNgrams(["a"], 3).count([]).shape == (0, 1)
    assert CharNgrams([], 3).count(["abc"]).shape == (1, 0)
