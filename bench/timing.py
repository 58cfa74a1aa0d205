"""Compares the time of several functions: interleaved rounds, the best time of each counts."""

import resource
import time
from collections.abc import Callable, Mapping


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def best_of(
    rounds: int, contestants: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Time functions in turns, so that a change of the machine's load affects all of them.

    Args:
        rounds: How often each function is called.
        contestants: Functions by name.
        clock: Returns seconds.

    Returns:
        The least time of each function, in seconds.

    """
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, run in contestants.items():
            began = clock()
            run()
            best[name] = min(best[name], clock() - began)
    return best
