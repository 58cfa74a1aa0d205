"""Randomness comes in as an argument; what others do to the global generators is undone."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def preserve_global_random_state() -> Iterator[None]:
    """Leaves the global generators of random, numpy and torch as they were found.

    For libraries that reseed them (Snorkel's LabelModel.fit does). torch counts only when it is already imported.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy state is what is kept
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch and torch_state is not None:
            torch.set_rng_state(torch_state)
