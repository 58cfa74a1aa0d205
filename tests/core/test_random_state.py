import random

import numpy as np

from alchemist_exp.core.random_state import preserve_global_random_state


def test_global_generators_are_restored() -> None:
    import torch

    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002

    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    with preserve_global_random_state():
        draw()
        random.seed(7), np.random.seed(7), torch.manual_seed(7)  # noqa: NPY002
    assert draw() == expected
