"""Labels tasks in the workers of a Dask cluster: processes of this machine, an existing cluster, or Slurm jobs.

A task of Dask is one of `plan.LabelingTask`. Workers receive paths, make the labeler once per process from the
directory of the run, run programs in the sandbox and write the outputs themselves; only the summary of a task is sent
back. A task whose worker ends is run again by another worker, which finds the finished parts.
"""

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alchemist_exp.core.errors import ConfigError, require_packages
from alchemist_exp.labeling.job import LabelingJob
from alchemist_exp.labeling.local_engine import TaskResult, TaskStatus, find_finished, label_task
from alchemist_exp.labeling.plan import LabelingTask

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMJob
    from distributed import Client

LOCAL: Final = "local"
SLURM: Final = "slurm"

LOGS: Final = ".slurm"
"""The directory of the output of Slurm jobs, in the output directory."""

CONNECT_S: Final = 30
"""Seconds to wait for the scheduler of an existing cluster."""

MAX_MARGIN_S: Final = 300
"""The longest time in seconds that a worker stops before the time limit of its Slurm job, on average."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where the workers are.

    Attributes:
        cluster: "local", "slurm", or the address of a scheduler (HOST:PORT).
        n_workers: The number of worker processes that are started; it does not count for an existing cluster.
        walltime: The time limit of a Slurm job, as HH:MM:SS or D-HH:MM:SS.
        memory: The memory of a Slurm job, such as "4GB".

    Raises:
        ConfigError: The walltime or the memory is invalid.

    """

    cluster: str = LOCAL
    n_workers: int = 1
    walltime: str = "01:00:00"
    memory: str = "4GB"

    def __post_init__(self) -> None:
        """Check the memory and the walltime."""
        if not re.fullmatch(r"\d+(\.\d+)?[MG]i?B", self.memory):
            raise ConfigError(f"invalid --memory {self.memory!r}; expected a number with MB or GB, as in 4GB.")
        self.lifetime_s()

    def lifetime_s(self) -> tuple[int, int]:
        """Return after how many seconds a worker of a Slurm job stops, and the most seconds of a random difference.

        It stops before the time limit of its job, so that its task is given to another worker at once. The workers of a
        command start together and would otherwise all stop together.

        """
        match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", self.walltime)
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if total < 60:
            raise ConfigError(
                f"invalid --walltime {self.walltime!r}; expected HH:MM:SS or D-HH:MM:SS, one minute or more."
            )
        margin = min(MAX_MARGIN_S, total // 10)
        return total - margin, margin // 2


def label_with_dask(
    job: LabelingJob, tasks: Sequence[LabelingTask], options: ClusterOptions, *, force: bool
) -> Iterator[TaskResult]:
    """Label tasks in the workers of a cluster, which must see the same files under the same paths.

    Args:
        job: What the tasks have in common.
        tasks: The tasks.
        options: Where the workers are.
        force: Whether to make outputs again that are finished.

    Yields:
        What became of each task, in the order in which they end. Finished tasks come first; no cluster is started
        if there are no others.

    Raises:
        ConfigError: A package is missing, or the cluster cannot be used.
        AlchemistError: See `label_task`.

    """
    packages = ["dask", "distributed", *(["dask_jobqueue"] if options.cluster == SLURM else [])]
    require_packages("--engine dask", "dask", *packages)
    left = []
    for task in tasks:
        if not force and (found := find_finished(job, task)):
            yield found
        else:
            left.append(task)
    if left:
        with connect(options, logs=job.out / LOGS) as client:
            yield from _label(client, job, left, force)


def _label(client: "Client", job: LabelingJob, tasks: Sequence[LabelingTask], force: bool) -> Iterator[TaskResult]:
    from distributed import KilledWorker, as_completed

    def submit(task: LabelingTask, **options: bool) -> Any:
        """Submit a task and return its future."""
        # Not pure: a result in the cluster's memory says nothing about the files.
        return client.submit(label_task, job, task, pure=False, **options)

    running = {submit(task, force=force): task for task in tasks}
    futures = as_completed(list(running), loop=client.loop)
    for future in futures:
        task = running.pop(future)
        error = future.exception()
        if isinstance(error, KilledWorker):
            reason = "the worker process ended each time that these rows were labeled, for example for lack of memory"
            yield TaskResult(task=task, status=TaskStatus.BAD, reason=reason)
            continue
        if error is not None:
            raise error
        result = future.result()
        if result.status is TaskStatus.BUSY:
            again = submit(task, wait=True)
            running[again] = task
            futures.add(again)
        else:
            yield result


@contextmanager
def connect(options: ClusterOptions, logs: Path | None = None) -> Iterator["Client"]:
    """Start a cluster, or connect to an existing one.

    Args:
        options: Where the workers are.
        logs: The directory of the output of Slurm jobs, if the configuration of dask-jobqueue names none; None for the
            current one.

    Yields:
        The client. A cluster that was started ends with the `with` block; an existing one continues.

    Raises:
        ConfigError: The scheduler cannot be reached, or the cluster cannot be started.

    """
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if options.cluster == LOCAL:
            # Loopback, because every process that reaches a scheduler can run code in its workers.
            cluster: Any = LocalCluster(
                n_workers=options.n_workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                # Any free port for the scheduler's health page; a fixed one prints a warning if it is in use.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
            )
            client = stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
        elif options.cluster == SLURM:
            import dask.config
            from dask_jobqueue.slurm import SLURMCluster

            cluster = stack.enter_context(
                SLURMCluster(
                    scheduler_options={"dashboard": False, "dashboard_address": ":0"},
                    log_directory=dask.config.get("jobqueue.slurm.log-directory") or (logs and str(logs)),
                    **slurm_options(options),
                )
            )
            # A worker that has stopped before its time limit is replaced by a new job.
            cluster.adapt(minimum_jobs=options.n_workers, maximum_jobs=options.n_workers)
            client = stack.enter_context(Client(cluster, set_as_default=False))
        else:
            try:
                client = Client(options.cluster, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ConfigError(
                    f"the scheduler {options.cluster!r} cannot be reached ({reason}); expected local, slurm or "
                    "HOST:PORT as --cluster."
                ) from error
            stack.enter_context(client)
        yield client


def slurm_options(options: ClusterOptions) -> dict[str, Any]:
    """Return the options of the Slurm jobs, as dask-jobqueue names them.

    Partition, account, network interface and further directives are taken from the configuration of dask-jobqueue.

    Args:
        options: The walltime and the memory.

    """
    lifetime, stagger = options.lifetime_s()
    worker_arguments = ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s", "--no-dashboard"]
    return {
        "cores": 1,
        "processes": 1,
        "memory": options.memory,
        "walltime": options.walltime,
        "python": sys.executable,
        "worker_extra_args": worker_arguments,
    }


def slurm_job(options: ClusterOptions, scheduler: str) -> "SLURMJob":
    """Return a Slurm job that is not submitted.

    Args:
        options: The walltime and the memory.
        scheduler: The address of the scheduler.

    """
    from dask_jobqueue.slurm import SLURMJob

    return SLURMJob(scheduler=scheduler, name="worker", **slurm_options(options))
