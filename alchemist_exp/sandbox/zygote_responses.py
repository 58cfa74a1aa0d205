"""Parses what a zygote answers, and checks its form."""

import os
import struct
from dataclasses import dataclass
from typing import Any

from alchemist_exp.sandbox.worker import protocol


@dataclass(frozen=True, kw_only=True)
class WorkerExit:
    """How a worker ended.

    Attributes:
        returncode: Exit status, or minus the number of the signal that ended it.
        cpu_seconds: User and system time of the worker in seconds.
    """

    returncode: int
    cpu_seconds: float


def parse_fork_response(response: bytes) -> int:
    """Return the process ID of a new worker.

    Args:
        response: What the zygote has sent.

    Returns:
        The process ID, at least 1.

    Raises:
        ValueError: The worker was not forked, or the response is malformed; the message says which.
    """
    kind, number = _unpack(protocol.FORK_RESPONSE, response)
    if kind == protocol.REFUSED:
        raise ValueError(f"it could not be forked: {os.strerror(int(number))}")
    if kind != protocol.FORK or number < 1:
        raise ValueError("the response to a request for a worker is malformed")
    return int(number)


def parse_wait_response(response: bytes) -> WorkerExit | None:
    """Return how a worker ended.

    Args:
        response: What the zygote has sent.

    Returns:
        Exit status and CPU seconds; None while the worker runs.

    Raises:
        ValueError: The response is malformed.
    """
    kind, status, cpu_seconds = _unpack(protocol.WAIT_RESPONSE, response)
    if kind == protocol.RUNNING:
        return None
    if kind != protocol.WAIT or not 0 <= cpu_seconds < float("inf"):
        raise ValueError("the response about the end of a worker is malformed")
    return WorkerExit(returncode=os.waitstatus_to_exitcode(int(status)), cpu_seconds=float(cpu_seconds))


def _unpack(form: struct.Struct, response: bytes) -> tuple[Any, ...]:
    if len(response) != form.size:
        raise ValueError("" if not response else f"a response has {len(response)} bytes, expected {form.size}")
    return form.unpack(response)
