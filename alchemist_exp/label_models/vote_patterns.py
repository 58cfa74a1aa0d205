"""Counts rows with the same votes once: a million rows of ten programs have some ten thousand patterns."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import LabelMatrix

_MAX_CODES = 2**62  # int64 has 63 bits for positive numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class VotePatterns:
    """The distinct rows of a label matrix.

    Attributes:
        votes: int8 array of shape (n_patterns, n_programs).
        rows: float64 array of shape (n_patterns,): how many rows of the matrix have the pattern.

    Example:
        >>> import numpy as np
        >>> votes = np.array([[0, 1], [1, 1], [0, 1]], dtype=np.int8)
        >>> patterns = VotePatterns.of(LabelMatrix(votes=votes, n_classes=2))
        >>> patterns.votes.tolist(), patterns.rows.tolist()
        ([[0, 1], [1, 1]], [2.0, 1.0])

    """

    votes: npt.NDArray[np.int8]
    rows: npt.NDArray[np.float64]

    @classmethod
    def of(cls, matrix: LabelMatrix) -> Self:
        """Count the patterns of a label matrix.

        Each row is encoded as one integer in base n_classes + 1, which takes a twentieth of the time of `np.unique`
        over rows.

        Args:
            matrix: Votes of shape (n_rows, n_programs), of any number of programs.

        Returns:
            The patterns in the order of their codes.

        """
        codes = np.zeros(len(matrix.votes), dtype=np.int64)
        base, n_codes = matrix.n_classes + 1, 1
        for column in matrix.votes.T:
            if n_codes > _MAX_CODES // base:
                # One more digit would overflow: replace the codes by their ranks, of which there are few.
                distinct, codes = np.unique(codes, return_inverse=True)
                n_codes = len(distinct)
            codes = codes * base + (column + 1)
            n_codes *= base
        _, first, rows = np.unique(codes, return_index=True, return_counts=True)
        return cls(votes=matrix.votes[first], rows=rows.astype(np.float64))
