"""The decomposition equals scikit-learn's, whatever the number of threads."""

import numpy as np
import pytest
from scipy.sparse import random_array
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from alchemist_exp.core.parallel import CORES_VARIABLE
from alchemist_exp.features.randomized_svd import right_singular_vectors


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (25, 25), (5, 60), (1, 9), (9, 1)])
@pytest.mark.parametrize("cores", ["1", "2"])
def test_it_equals_that_of_scikit_learn(shape: tuple[int, int], cores: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES_VARIABLE, cores)
    matrix = random_array(shape, density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(sum(shape)))
    rank = min(3, *shape)
    with threadpool_limits(1):
        _, values, vectors = randomized_svd(matrix, rank, random_state=0)
    found_values, found_vectors = right_singular_vectors(matrix, rank)
    assert np.array_equal(found_values, values)
    assert np.array_equal(found_vectors, vectors)
