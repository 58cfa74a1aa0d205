"""Which rows the votes leave in doubt, most doubtful first.

Doubt is measured on the votes and not on the posterior of the label model, so the order depends neither on the label
model nor on its seed. No gold label is needed.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from alchemist_exp.core.types import FloatArray, IntArray, LabelMatrix

_TIE_SEED: Final = b"0"
"""Is hashed with each text; another seed would order equally doubtful rows in another way."""


def vote_entropy(matrix: LabelMatrix) -> FloatArray:
    """Return the entropy of each row's smoothed vote shares.

    One vote is added to each row, in equal parts for all classes. A row without a vote then has the largest entropy,
    and of two rows whose votes agree, the one with fewer votes has the larger one.

    Args:
        matrix: Votes of shape (n_rows, n_programs).

    Returns:
        float32 array of shape (n_rows,), in nats.

    Example:
        >>> votes = np.array([[-1, -1], [0, 1], [0, -1], [0, 0]], dtype=np.int8)
        >>> print(vote_entropy(LabelMatrix(votes=votes, n_classes=2)).round(2))
        [0.69 0.69 0.56 0.45]

    """
    counts = matrix.counts() + 1 / matrix.n_classes
    shares = counts / counts.sum(axis=1, keepdims=True)
    entropy: FloatArray = -(shares * np.log(shares)).sum(axis=1).astype(np.float32)
    return entropy


def doubtful_rows(matrix: LabelMatrix, texts: Sequence[str]) -> IntArray:
    """Return the rows that are uncovered or contested, most doubtful first.

    Uncovered rows are first. Contested rows, which have votes for more than one class, follow by `vote_entropy`. Rows
    of equal doubt are ordered by a hash of their text, so equal texts are next to each other and the order does not
    depend on that of the file.

    Args:
        matrix: Votes of shape (n_rows, n_programs).
        texts: The rows.

    Returns:
        int64 array: row numbers.

    Example:
        >>> votes = np.array([[0, 0], [0, 1], [-1, -1]], dtype=np.int8)
        >>> doubtful_rows(LabelMatrix(votes=votes, n_classes=2), ["a", "b", "c"]).tolist()
        [2, 1]

    """
    doubt = vote_entropy(matrix).round(5)  # the same counts in another order of the classes are equal
    contested = np.count_nonzero(matrix.counts(), axis=1) > 1
    rows = np.flatnonzero(~matrix.covered | contested).tolist()
    order = sorted(rows, key=lambda row: (bool(matrix.covered[row]), -float(doubt[row]), tie_key(texts[row])))
    return np.array(order, dtype=np.int64)


def tie_key(text: str) -> bytes:
    """Return the key that orders rows of equal doubt.

    Args:
        text: A row.

    Returns:
        A hash; equal texts have equal keys.

    """
    return hashlib.sha256(_TIE_SEED + text.encode("utf-8", "surrogatepass")).digest()
