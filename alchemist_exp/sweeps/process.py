"""What a process that a launcher has started does before its first job."""

import os
import signal
import sys
import threading
import time
from functools import cache
from typing import Final

from alchemist_exp.core.parallel import available_cores

_ENDING_S: Final = 10.0
"""Seconds in which a job ends after its launcher was killed."""

_THREADS: Final = "OMP_NUM_THREADS"


@cache
def prepare_process(*, ends_with_parent: bool) -> None:
    """Use the cores of one job only. Hydra has given the process its components and resolvers.

    Args:
        ends_with_parent: Whether the process ends when the launcher is killed. Otherwise the processes of joblib go on
            with the jobs that they have.

    """
    cores = available_cores()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(min(torch.get_num_threads(), cores))
    else:  # torch reads the variable when it is imported; jobs that train nothing do not import it
        given = os.environ.get(_THREADS, "")
        os.environ[_THREADS] = str(min(cores, int(given)) if given.isdecimal() else cores)
    if ends_with_parent:
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended."""
    while os.getppid() == parent:  # an orphan gets another parent
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)  # the job records that it was interrupted
    # The interruption reaches Python code only; a job that does not end in time must not outlive its launcher.
    time.sleep(_ENDING_S)
    os._exit(1)
