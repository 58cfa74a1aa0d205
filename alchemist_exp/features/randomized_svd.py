"""The randomized singular value decomposition of scikit-learn, with the products of the sparse matrix in threads.

These products are three quarters of the time. Each thread computes other rows of a product, so that the result does not
depend on the number of threads. Source: N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness",
SIAM Review 53 (2011), Algorithms 4.4 and 5.1.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from alchemist_exp.core.parallel import available_cores, map_in_threads
from alchemist_exp.core.types import FloatArray

_OVERSAMPLES = 10
"""Directions that are computed in addition, for accuracy; scikit-learn's default."""


def right_singular_vectors(matrix: Any, rank: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest singular values and their right singular vectors.

    Args:
        matrix: SciPy sparse float32 matrix of shape (n_rows, n_columns).
        rank: How many, 1 to the smaller number of rows and columns.

    Returns:
        The values in descending order, of shape (rank,), and the vectors, of shape (rank, n_columns): what
        `sklearn.utils.extmath.randomized_svd(matrix, rank, random_state=0)` returns, float32.

    """
    from scipy import linalg
    from sklearn.utils.extmath import svd_flip
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    wide = matrix.shape[0] < matrix.shape[1]
    tall, transposed = matrix.tocsr(), matrix.T.tocsr()
    if wide:
        tall, transposed = transposed, tall
    # The seed is part of the method, as the number of iterations is: features must not differ between runs.
    n_iterations = 7 if rank < 0.1 * min(matrix.shape) else 4
    normal = np.random.RandomState(0).normal(size=(tall.shape[1], rank + _OVERSAMPLES))
    directions = normal.astype(np.float32)
    # More threads gain nothing in the dense steps, and cost much where jobs share the cores.
    with threadpool_limits(1):
        for _ in range(n_iterations):
            directions, _ = linalg.lu(_product(tall, directions), permute_l=True, check_finite=False)
            directions, _ = linalg.lu(_product(transposed, directions), permute_l=True, check_finite=False)
        basis, _ = linalg.qr(_product(tall, directions), mode="economic", check_finite=False)
        left, values, right = linalg.svd(_product(transposed, basis).T, full_matrices=False)
        left, right = svd_flip(basis @ left, right, u_based_decision=not wide)
    return values[:rank], left[:, :rank].T if wide else right[:rank]


def _product(matrix: Any, dense: FloatArray) -> FloatArray:
    """Return `matrix @ dense`, the rows of `matrix` shared among threads."""
    bounds = np.linspace(0, matrix.shape[0], available_cores() + 1, dtype=int)
    parts = map_in_threads(lambda part: matrix[part[0] : part[1]] @ dense, [*pairwise(bounds)])
    return np.vstack(parts)
