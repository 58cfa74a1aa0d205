"""The cores that a job may use, and calling a function on many items in several threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CORES_VARIABLE: Final = "ALCHEMIST_CORES_PER_JOB"
"""The environment variable that says how many cores a job may use, where jobs of a sweep run in parallel."""


def available_cores() -> int:
    """Return how many CPU cores this job may use.

    Returns:
        The smallest of the CPU affinity, `SLURM_CPUS_PER_TASK` and `ALCHEMIST_CORES_PER_JOB`; 1 or more.

    """
    given = (os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", CORES_VARIABLE))
    limits = [int(text) for text in given if text.isdecimal() and int(text) > 0]
    return min([len(os.sched_getaffinity(0)), *limits])


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the result for each item, in their order; for functions that release the interpreter lock.

    Args:
        function: Called once per item, in one of as many threads as this job may use cores.
        items: Any number of items.

    Returns:
        One result per item. An exception of the function ends the call; items that have not begun are dropped.

    """
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
