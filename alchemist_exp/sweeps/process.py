"""What a process that a launcher has started does before its first job."""

import os
import signal
import threading
import time
from functools import cache
from types import FrameType
from typing import Final

from alchemist_exp.core.errors import Terminated
from alchemist_exp.core.parallel import available_cores

_ENDING_S: Final = 10.0
"""Seconds in which a job ends after its launcher was killed."""


@cache
def prepare_process(*, ends_with_parent: bool, on_cluster: bool = False) -> None:
    """Use the cores of one job only. Hydra has given the process its components and resolvers.

    Args:
        ends_with_parent: Whether the process ends when the launcher is killed. Otherwise the processes of joblib go on
            with the jobs that they have.
        on_cluster: Whether SIGTERM ends the job, as in a command. submitit ignores it, and Slurm then kills the job
            before its record says why.

    """
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), available_cores()))
    if on_cluster:
        signal.signal(signal.SIGTERM, _terminate)
    if ends_with_parent:
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """Raise in the main thread, so that the record says that the run was interrupted."""
    raise Terminated


def _end_with(parent: int) -> None:
    """End this process when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)  # the job records that it was interrupted
    time.sleep(_ENDING_S)
    os._exit(1)
