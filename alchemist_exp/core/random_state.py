"""Functions here take their randomness as an argument; this module protects the global generators from libraries."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def preserve_global_random_state() -> Iterator[None]:
    """Restore the global generators of random, numpy and torch after the `with` block.

    For libraries that reseed them, as Snorkel's `LabelModel.fit` does. torch is not imported for this: when it was
    not imported before the block, its generator is left alone.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy generator is the global one
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch and torch_state is not None:
            torch.set_rng_state(torch_state)
