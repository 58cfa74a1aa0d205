"""Calls a function on many items in several threads, in order."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the result for each item, in their order; for functions that release the interpreter lock.

    Args:
        function: Called once per item, in one of as many threads as this process may use cores.
        items: Any number of items.

    Returns:
        One result per item. An exception of the function ends the call; items that have not begun are dropped.

    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
