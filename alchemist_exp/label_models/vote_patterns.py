"""Rows with the same votes count once: a million rows of ten programs hold some ten thousand patterns of votes."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.types import LabelMatrix

_MOST_CODES = 2**62


@dataclass(frozen=True, kw_only=True, eq=False)
class VotePatterns:
    """The different rows of a label matrix. votes: int8 (u, m). rows: float64 (u,), how many rows vote so."""

    votes: npt.NDArray[np.int8]
    rows: npt.NDArray[np.float64]

    @classmethod
    def of(cls, matrix: LabelMatrix) -> Self:
        """Each row is read as one number in base k + 1; numbers that grow too long are renumbered on the way."""
        codes = np.zeros(len(matrix.votes), dtype=np.int64)
        base, bound = matrix.n_classes + 1, 1
        for column in matrix.votes.T:
            if bound > _MOST_CODES // base:
                known, codes = np.unique(codes, return_inverse=True)
                bound = len(known)
            codes = codes * base + (column + 1)
            bound *= base
        _, first, rows = np.unique(codes, return_index=True, return_counts=True)
        return cls(votes=matrix.votes[first], rows=rows.astype(np.float64))
