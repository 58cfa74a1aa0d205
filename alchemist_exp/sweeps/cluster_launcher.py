"""Gives the jobs of a sweep to Slurm or to processes of submitit, and waits for them.

submitit writes the job scripts and the pickled jobs.
"""

import os
import shlex
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from alchemist_exp.core.atomic_io import explain_write_errors
from alchemist_exp.core.errors import AlchemistError, StoreError, Terminated
from alchemist_exp.core.terminal import single_line
from alchemist_exp.pipeline.settings import OnInterrupt
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.cluster_settings import LocalSettings, SlurmSettings, check_resources, require_submitit
from alchemist_exp.sweeps.cluster_wait import WaitingJob, lost, n_jobs, result_of, say, wait_for
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.slurm import SlurmError
from alchemist_exp.sweeps.submissions import Submission, SubmittedJob, active_states, new_submission


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a launcher of Hydra knows of the sweep.

    Attributes:
        context: The callbacks and the loader of Hydra.
        task: The function that a job calls.
        config: The composed configuration of the sweep.
        run_keys: The run key of each job by its overrides, as far as they can be computed.

    """

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    run_keys: Mapping[tuple[str, ...], str]

    @property
    def directory(self) -> Path:
        """The directory of the sweep."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @property
    def outputs(self) -> Path:
        """The directory that gets all outputs."""
        return Path(str(self.config.paths.outputs)).expanduser().resolve()


def launch_on_slurm(
    sweep: Sweep, settings: SlurmSettings, jobs: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Submit jobs as arrays, without those that are in the queue already, and wait for all of them.

    Args:
        sweep: The sweep.
        settings: The resources of a job.
        jobs: The overrides of each job.
        first: The number of the first job in the sweep, from 0.

    Returns:
        What each job has returned. A job without a result has a `JobEndedError`; with `wait=False` every job has none.

    Raises:
        AlchemistError: Slurm refuses the jobs, or gives no answer.
        KeyboardInterrupt: After Ctrl-C or SIGTERM; the jobs were cancelled or left, as sweep.on_interrupt says.

    """
    check_resources(settings)
    _require_writable(sweep.outputs)
    size = max(1, slurm.max_array_size() - 1)
    queued = {_job_key(state.task): state for state in active_states(sweep.outputs) if state.task.run_key}
    tasks = [SubmittedJob(run_key=sweep.run_keys.get(tuple(job), ""), overrides=tuple(job)) for job in jobs]
    waiting: dict[int, WaitingJob] = {}
    new: list[int] = []
    for position, task in enumerate(tasks):
        if state := queued.get(_job_key(task)):
            waiting[position] = WaitingJob(
                overrides=task.overrides,
                name=state.submission.name,
                index=state.index,
                run_directory=sweep.outputs / "runs" / task.run_key,
                queued=state.job,
            )
        else:
            new.append(position)
    if waiting:
        say(f"{n_jobs(len(waiting))} of this sweep {'is' if len(waiting) == 1 else 'are'} in the queue already")
    names: list[str] = []
    try:
        for start in range(0, len(new), size):
            positions = new[start : start + size]
            # Recorded before sbatch is called: if this process is killed in between, the jobs are found by the name.
            submission = new_submission(
                sweep.directory.name, [tasks[position] for position in positions], sweep.outputs
            )
            names.append(submission.name)
            arguments = [_arguments(jobs[position], first + position) for position in positions]
            submitted = _submit(sweep, settings, submission, arguments)
            for index, (position, job) in enumerate(zip(positions, submitted, strict=True)):
                waiting[position] = WaitingJob(
                    overrides=jobs[position],
                    name=submission.name,
                    index=index,
                    run_directory=sweep.outputs / "runs" / tasks[position].run_key,
                    submitted=job,
                )
        ordered = [waiting[position] for position in range(len(jobs))]
        if settings.wait:
            return wait_for(ordered, settings.time_min)
    except KeyboardInterrupt:
        _cancel_or_leave(sweep, names)
        raise
    return [JobReturn(overrides=job.overrides, status=JobStatus.UNKNOWN) for job in ordered]


def _job_key(job: SubmittedJob) -> tuple[str, tuple[str, ...]]:
    """Return what tells jobs in the queue apart."""
    return job.run_key, tuple(without_sweep_keys(job.overrides))


def _cancel_or_leave(sweep: Sweep, names: Collection[str]) -> None:
    """Cancel the jobs that this command has submitted, or leave them in the queue, as sweep.on_interrupt says.

    Args:
        sweep: The sweep.
        names: The names of its submissions; sbatch may have been interrupted in the last one.

    """
    option = [] if sweep.outputs == Path("outputs").resolve() else ["--outputs", str(sweep.outputs)]
    by_hand = shlex.join(["alchemist", "cancel", sweep.directory.name, *option])
    leave = sweep.config.sweep.on_interrupt is OnInterrupt.leave
    try:
        active = active_states(sweep.outputs)
        own = [state for state in active if state.submission.name in names]
        if own and not leave:
            slurm.cancel(sorted({state.submission.job_id for state in own}))
            say(f"{n_jobs(len(own))} cancelled (sweep.on_interrupt=cancel); the same command submits them again")
        elif own:
            say(f"{n_jobs(len(own))} left in Slurm (sweep.on_interrupt=leave); to cancel: {by_hand}")
    except AlchemistError as error:
        say(f"the jobs may go on in Slurm: {error} To cancel them: {by_hand}")


def launch_locally(sweep: Sweep, settings: LocalSettings, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Run jobs in processes of submitit, `n_jobs` at the same time.

    Args:
        sweep: The sweep.
        settings: The number of processes and the time limit.
        jobs: The overrides of each job.
        first: The number of the first job in the sweep, from 0.

    Returns:
        What each job has returned. A job without a result has a `JobEndedError`.

    """
    require_submitit()
    import submitit

    executor = submitit.AutoExecutor(cluster="local", folder=_folder(sweep))
    executor.update_parameters(timeout_min=settings.time_min, tasks_per_node=1, name="alchemist")
    function = _job_function(sweep, time_min=settings.time_min)
    running: dict[int, Any] = {}
    returned: dict[int, JobReturn] = {}
    left = [*range(len(jobs))]
    try:
        while len(returned) < len(jobs):
            while left and len(running) < settings.n_jobs:
                position = left.pop(0)
                running[position] = executor.submit(function, *_arguments(jobs[position], first + position))
            for position, job in [*running.items()]:
                if job.done():
                    del running[position]
                    ended = f"its process has ended without a result; see {job.paths.stderr}"
                    has_result = job.paths.result_pickle.exists()
                    returned[position] = result_of(job, jobs[position]) if has_result else lost(jobs[position], ended)
            time.sleep(0.2)
    except Terminated:  # Ctrl-C in a terminal reaches the processes too
        for job in running.values():
            os.kill(int(job.job_id), signal.SIGTERM)  # submitit's process passes it to that of the job
        raise
    return [returned[position] for position in range(len(jobs))]


def _require_writable(outputs: Path) -> None:
    """Check the directory of outputs, and create the one of runs, which alchemist status reads."""
    with explain_write_errors(outputs):
        (outputs / "runs").mkdir(parents=True, exist_ok=True)
    if not os.access(outputs, os.W_OK | os.X_OK):
        raise StoreError(f"{outputs} is not writable; choose another paths.outputs=DIR.")


def _folder(sweep: Sweep) -> str:
    """Return the directory of submitit's files; it replaces %j by the number of a job."""
    return str(sweep.directory / ".submitit" / "%j")


def _job_function(sweep: Sweep, **options: int) -> Any:
    """Return the function that a job calls."""
    from alchemist_exp.sweeps.cluster_job import JobFunction

    function = JobFunction(**options)
    function.setup(hydra_context=sweep.context, task_function=sweep.task, config=sweep.config)
    return function


def _arguments(overrides: Sequence[str], number: int) -> tuple[Any, ...]:
    """Return the arguments of a job's function."""
    return [*overrides], "hydra.sweep.dir", number, f"job_{number}", Singleton.get_state()


def _submit(
    sweep: Sweep, settings: SlurmSettings, submission: Submission, arguments: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Call sbatch once, and complete the record of the submission."""
    import submitit

    executor = submitit.AutoExecutor(cluster="slurm", folder=_folder(sweep), slurm_max_num_timeout=0)
    requeue = {"requeue": True} if settings.requeues else {}
    parameters: dict[str, Any] = {
        "name": submission.name,
        "nodes": 1,
        # Each task of a job would make the same run.
        "tasks_per_node": 1,
        "cpus_per_task": settings.cpus,
        "mem_gb": settings.memory_gb,
        "timeout_min": settings.time_min,
        "gpus_per_node": settings.gpus or None,
        "slurm_partition": settings.partition,
        "slurm_account": settings.account,
        "slurm_qos": settings.qos,
        "slurm_array_parallelism": settings.array_parallelism,
        "slurm_signal_delay_s": settings.signal_delay_s,
        "slurm_setup": [*settings.setup] or None,
        "slurm_additional_parameters": {**requeue, **(settings.options or {})} or None,
    }
    executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
    try:
        function = _job_function(sweep, time_min=settings.time_min, requeues=settings.requeues)
        jobs = executor.map_array(function, *zip(*arguments, strict=True))
    except submitit.core.utils.FailedJobError as error:
        raise SlurmError(f"sbatch has refused the jobs: {single_line(str(error).strip().splitlines()[-1])}") from error
    job_id = str(jobs[0].job_id).partition("_")[0]
    replace(submission, job_id=job_id).write(sweep.outputs)
    say(f"{n_jobs(len(jobs))} submitted as Slurm job {job_id} ({submission.name})")
    return list(jobs)
