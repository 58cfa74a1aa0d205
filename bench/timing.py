"""Measures time (interleaved rounds, the best time of each function counts) and the memory of a process."""

import resource
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any


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


def peak_mb(process: subprocess.Popen[Any]) -> float:
    """Wait until a process ends and return the peak memory of it and all its descendants.

    Args:
        process: The running process.

    Returns:
        MB; shared pages are counted once.
    """
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.02)
    return peak / 1e6


def memory_of(pid: int) -> int:
    """Return the memory of a process and its children, shared pages counted in part (PSS).

    Args:
        pid: The process.

    Returns:
        Bytes; 0 for a process that has ended.
    """
    import psutil

    memory = 0
    try:
        for one in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            try:
                memory += one.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0
    return int(memory)
