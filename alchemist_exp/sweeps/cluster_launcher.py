"""Gives the jobs of a sweep to Slurm or to processes of submitit, and waits for them.

submitit writes the job scripts and the pickled jobs; hydra-submitit-launcher has the function that a job calls. Waiting
is done here, because submitit asks Slurm at intervals of up to ten minutes and stops at the first lost job.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from alchemist_exp.core.atomic_io import explain_write_errors
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.sweeps import slurm
from alchemist_exp.sweeps.outcome import JobEndedError
from alchemist_exp.sweeps.slurm import QueuedJob, SlurmError
from alchemist_exp.sweeps.submissions import Submission, SubmittedJob, active_states, new_submission

INSTALL: Final = "pip install -c constraints.txt -e '.[slurm]'"

_GRACE_S: Final = 10.0
"""Seconds after the end of a job in which its result may still appear in a network file system."""

_UNKNOWN_S: Final = 60.0
"""Seconds after which a job that Slurm does not know has ended."""

_FIRST_POLL_S, _LAST_POLL_S = 2.0, 15.0
"""Seconds between two questions to Slurm: they become longer with the time that has passed."""


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """The keys of conf/hydra/launcher/slurm.yaml, which explains each."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    cpus: int = 2
    memory_gb: float | None = None
    time_min: int = 60
    gpus: int | None = None
    array_parallelism: int = 100
    signal_delay_s: int = 90
    setup: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    wait: bool = True


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The keys of conf/hydra/launcher/slurm_local.yaml, which explains each."""

    n_jobs: int = 1
    time_min: int = 60


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
        """The directory of outputs."""
        return Path(str(self.config.paths.outputs)).expanduser().resolve()


@dataclass(kw_only=True, eq=False)
class _Job:
    """A job that is waited for.

    Attributes:
        overrides: Its overrides.
        name: The name of its array in Slurm.
        index: Its index in the array.
        submitted: The job of submitit; None for one that another process has submitted.
        queued: What Slurm has said of it last.
        gone_at: When it was first seen to have ended without a result; 0 before.

    """

    overrides: Sequence[str]
    name: str
    index: int
    submitted: Any = None
    queued: QueuedJob | None = None
    gone_at: float = 0.0


def check_resources(settings: SlurmSettings) -> None:
    """Check that this machine can submit jobs, and that Slurm accepts their resources.

    Args:
        settings: The resources of a job.

    Raises:
        AlchemistError: A job could not be submitted or not be watched.

    """
    _require_submitit()
    names = ("partition", "account", "qos", "cpus", "memory_gb", "time_min", "gpus")
    options = slurm.sbatch_options(**{name: getattr(settings, name) for name in names})
    slurm.check([*options, *_extra_options(settings.options)])


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

    """
    check_resources(settings)
    _require_writable(sweep.outputs)
    size = max(1, slurm.max_array_size() - 1)
    queued = {
        (state.task.run_key, state.task.overrides): state
        for state in active_states(sweep.outputs)
        if state.task.run_key
    }
    waiting: dict[int, _Job] = {}
    new: list[int] = []
    for position, overrides in enumerate(jobs):
        if state := queued.get((sweep.run_keys.get(tuple(overrides), ""), tuple(overrides))):
            name = state.submission.name
            waiting[position] = _Job(overrides=overrides, name=name, index=state.index, queued=state.job)
        else:
            new.append(position)
    if waiting:
        _say(f"{_count(len(waiting), 'job')} of this sweep {'is' if len(waiting) == 1 else 'are'} in the queue already")
    for start in range(0, len(new), size):
        positions = new[start : start + size]
        tasks = [
            SubmittedJob(run_key=sweep.run_keys.get(tuple(jobs[p]), ""), overrides=tuple(jobs[p])) for p in positions
        ]
        submission = new_submission(sweep.directory.name, tasks, sweep.outputs)
        arguments = [_arguments(jobs[position], first + position) for position in positions]
        submitted = _submit(sweep, settings, submission, arguments)
        for index, (position, job) in enumerate(zip(positions, submitted, strict=True)):
            waiting[position] = _Job(overrides=jobs[position], name=submission.name, index=index, submitted=job)
    ordered = [waiting[position] for position in range(len(jobs))]
    if not settings.wait:
        return [JobReturn(overrides=job.overrides, status=JobStatus.UNKNOWN) for job in ordered]
    return _wait(ordered, settings)


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
    _require_submitit()
    import submitit

    executor = submitit.AutoExecutor(cluster="local", folder=_folder(sweep))
    executor.update_parameters(timeout_min=settings.time_min, tasks_per_node=1, name="alchemist")
    function = _job_function(sweep)
    running: dict[int, Any] = {}
    returned: dict[int, JobReturn] = {}
    left = [*range(len(jobs))]
    while len(returned) < len(jobs):
        while left and len(running) < settings.n_jobs:
            position = left.pop(0)
            running[position] = executor.submit(function, *_arguments(jobs[position], first + position))
        for position, job in [*running.items()]:
            if job.done():
                del running[position]
                ended = f"its process has ended without a result; see {job.paths.stderr}"
                has_result = job.paths.result_pickle.exists()
                returned[position] = (
                    _result(job, jobs[position], settings.time_min) if has_result else _lost(jobs[position], ended)
                )
        time.sleep(0.2)
    return [returned[position] for position in range(len(jobs))]


def _require_submitit() -> None:
    """Refuse a sweep on a cluster without the extra."""
    try:
        import hydra_plugins.hydra_submitit_launcher.submitit_launcher  # noqa: F401
        import submitit  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"this launcher needs the extra slurm ({error.name} is missing): {INSTALL}") from error


def _require_writable(outputs: Path) -> None:
    """Check the directory of outputs, and create the one of runs, which alchemist status reads."""
    with explain_write_errors(outputs):
        (outputs / "runs").mkdir(parents=True, exist_ok=True)
    if not os.access(outputs, os.W_OK | os.X_OK):
        raise StoreError(f"{outputs} is not writable; choose another paths.outputs=DIR.")


def _folder(sweep: Sweep) -> str:
    """Return the directory of submitit's files; it replaces %j by the number of a job."""
    return str(sweep.directory / ".submitit" / "%j")


def _job_function(sweep: Sweep) -> Any:
    """Return the function that a job calls."""
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

    function = BaseSubmititLauncher()
    function.setup(hydra_context=sweep.context, task_function=sweep.task, config=sweep.config)
    return function


def _arguments(overrides: Sequence[str], number: int) -> tuple[Any, ...]:
    """Return the arguments of a job's function."""
    return [*overrides], "hydra.sweep.dir", number, f"job_{number}", Singleton.get_state()


def _extra_options(options: Mapping[str, Any]) -> list[str]:
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]


def _submit(
    sweep: Sweep, settings: SlurmSettings, submission: Submission, arguments: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Call sbatch once, and complete the record of the submission."""
    import submitit

    executor = submitit.AutoExecutor(cluster="slurm", folder=_folder(sweep), slurm_max_num_timeout=0)
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
        "slurm_additional_parameters": dict(settings.options) or None,
    }
    executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
    try:
        jobs = executor.map_array(_job_function(sweep), *zip(*arguments, strict=True))
    except submitit.core.utils.FailedJobError as error:
        raise SlurmError(f"sbatch has refused the jobs: {single_line(str(error).strip().splitlines()[-1])}") from error
    job_id = str(jobs[0].job_id).partition("_")[0]
    replace(submission, job_id=job_id).write(sweep.outputs)
    _say(f"{_count(len(jobs), 'job')} submitted as Slurm job {job_id} ({submission.name})")
    return list(jobs)


def _wait(jobs: Sequence[_Job], settings: SlurmSettings) -> list[JobReturn]:
    """Wait until every job has a result, or has ended without one."""
    returned: dict[int, JobReturn] = {}
    began, asked_at, shown, failure = time.monotonic(), 0.0, "", ""
    try:
        while True:
            left = {position: job for position, job in enumerate(jobs) if position not in returned}
            now = time.monotonic()
            for position, job in left.items():
                if job.submitted is not None and job.submitted.paths.result_pickle.exists():
                    returned[position] = _result(job.submitted, job.overrides, settings.time_min)
                elif job.gone_at and now - job.gone_at > (_GRACE_S if job.queued else _UNKNOWN_S):
                    returned[position] = _lost(job.overrides, _why(job, settings.time_min))
            if len(returned) == len(jobs):
                return [returned[position] for position in range(len(jobs))]
            if now - asked_at > min(_LAST_POLL_S, _FIRST_POLL_S + (now - began) / 20):
                try:
                    _ask([job for position, job in enumerate(jobs) if position not in returned])
                    failure = ""
                except SlurmError as error:
                    if str(error) != failure:
                        failure = str(error)
                        _say(f"{failure} Waiting goes on.")
                asked_at = time.monotonic()
                shown = _say_counts(jobs, returned, shown)
            time.sleep(0.5)
    except KeyboardInterrupt:
        names = sorted({job.name for job in jobs})
        _say(f"the jobs go on in Slurm; to end them: scancel --name={','.join(names)}")
        raise


def _ask(jobs: Sequence[_Job]) -> None:
    """Ask Slurm for the state of jobs; sacct only where squeue shows that one of them has ended."""
    names = {job.name: None for job in jobs}
    for ended in (False, True):
        found = slurm.find_jobs(names, since="now-7days", ended=ended)
        for job in jobs:
            job.queued = next((one for one in found[job.name] if one.index == job.index), job.queued if ended else None)
        if all(job.queued and job.queued.active for job in jobs):
            break
    for job in jobs:
        active = job.queued is not None and job.queued.active
        job.gone_at = 0.0 if active else job.gone_at or time.monotonic()


def _say_counts(jobs: Sequence[_Job], returned: Mapping[int, JobReturn], shown: str) -> str:
    """Print how many jobs have ended, run and wait, if that has changed."""
    counts: Counter[str] = Counter()
    for position, job in enumerate(jobs):
        if position in returned or job.queued is None or not job.queued.active:
            continue
        reason = f" ({job.queued.reason})" if job.queued.state == "PENDING" and job.queued.reason else ""
        counts[job.queued.state.lower() + reason] += 1
    ended = len(jobs) - counts.total()
    text = ", ".join([f"{ended} of {_count(len(jobs), 'job')} ended", *(f"{n} {word}" for word, n in counts.items())])
    if text != shown:
        _say(text)
    return text


def _result(job: Any, overrides: Sequence[str], time_min: int) -> JobReturn:
    """Return what a job of submitit with a result has returned."""
    try:
        result = job.results()[0]
    except Exception as error:  # noqa: BLE001 - the job has raised it, in another process
        reason = next((line for line in reversed(str(error).splitlines()) if ": " in line and "  - " not in line), "")
        return _lost(overrides, f"the job has failed ({single_line(reason)}); see {job.paths.stderr}")
    value = result._return_value
    # submitit's error of a job that got the signal before its time limit; a job may pass its errors as text.
    if "UncompletedJobError" in f"{type(value).__name__}: {value if isinstance(value, Exception) else ''}":
        return _lost(overrides, _TIME_LIMIT.format(time_min))
    assert isinstance(result, JobReturn)
    return result


def _lost(overrides: Sequence[str], reason: str) -> JobReturn:
    """Return the failure of a job that has no result."""
    return JobReturn(overrides=[*overrides], status=JobStatus.FAILED, _return_value=JobEndedError(reason))


_TIME_LIMIT: Final = "it reached the time limit of {} min (hydra.launcher.time_min)"


def _why(job: _Job, time_min: int) -> str:
    """Return why a job has ended, by its state in Slurm."""
    if job.queued is None:
        return "Slurm does not know the job; its controller may have lost it"
    state = job.queued.state
    texts = {
        "CANCELLED": "it was cancelled",
        "TIMEOUT": _TIME_LIMIT.format(time_min),
        "DEADLINE": "it reached its deadline",
        "OUT_OF_MEMORY": "it used more memory than it may (hydra.launcher.memory_gb)",
        "NODE_FAIL": "its node has failed",
        "PREEMPTED": "it was preempted",
        "COMPLETED": "it has ended without a result",
    }
    log = f"; see {job.submitted.paths.stderr}" if job.submitted is not None else ""
    return f"{texts.get(state, 'it has ended with an error')} (Slurm job {job.queued.job_id}: {state}){log}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _say(text: str) -> None:
    print(single_line(text), file=sys.stderr, flush=True)


def settings_of(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return the settings of a launcher.

    Args:
        kind: SlurmSettings or LocalSettings.
        values: The keys of hydra.launcher.

    Returns:
        An instance of `kind`.

    Raises:
        ConfigError: A key is unknown.

    """
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in values.items()
    }
    try:
        return kind(**plain)
    except TypeError as error:
        unknown = ", ".join(sorted(plain.keys() - set(kind.__dataclass_fields__)))
        raise ConfigError(f"hydra.launcher has no key {unknown or error}; see conf/hydra/launcher.") from error
