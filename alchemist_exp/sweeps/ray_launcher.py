"""Gives the jobs of a sweep to Ray, on this machine or on a running Ray cluster, and waits for them.

hydra-ray-launcher is not used: it requires cloudpickle below 3, which Dask and joblib do not accept, and a killed job
ends its sweep.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.parallel import CORES_VARIABLE, available_cores
from alchemist_exp.sweeps.outcome import JobEndedError

INSTALL: Final = "pip install -c constraints.txt -e '.[ray]'"

_CANCEL_S: Final = 3.0
"""Seconds in which jobs record that they were interrupted."""


@dataclass(frozen=True, kw_only=True)
class RaySettings:
    """The keys of conf/hydra/launcher/ray.yaml, which explains each."""

    num_cpus: int | None = None
    cpus_per_job: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        """Check the settings; a wrong one raises ConfigError, which names the key."""
        for name in ("num_cpus", "cpus_per_job"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"hydra.launcher.{name} is {value!r}; expected a whole number from 1 on.")
        if self.address is not None and self.num_cpus is not None:
            raise ConfigError(
                "hydra.launcher.num_cpus is for a Ray that is started here, and hydra.launcher.address names a running "
                "one; leave out one of them."
            )
        if self.address is None and self.cpus_per_job > self.cores:
            raise ConfigError(
                f"hydra.launcher.cpus_per_job is {self.cpus_per_job}, and Ray gets {self.cores} cores; raise "
                "hydra.launcher.num_cpus, or lower it."
            )

    @property
    def cores(self) -> int:
        """The cores of a Ray that is started here."""
        return self.num_cpus or available_cores()


def launch_on_ray(
    config: DictConfig,
    context: HydraContext,
    task: TaskFunction,
    settings: RaySettings,
    jobs: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run jobs in processes of Ray.

    Args:
        config: The composed configuration of the sweep.
        context: The callbacks and the loader of Hydra.
        task: The function that a job calls.
        settings: The cores of Ray and of a job.
        jobs: The overrides of each job.
        first: The number of the first job in the sweep, from 0.

    Returns:
        What each job has returned. A job whose process was killed has a `JobEndedError`.

    Raises:
        ConfigError: Ray is not installed, or cannot be started or reached.

    """
    ray = _connect(settings)
    # A job that was killed is not run again by Ray: the same command does that.
    function = ray.remote(num_cpus=settings.cpus_per_job, max_retries=0)(_run)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    submitted = []
    for number, overrides in enumerate(jobs, start=first):
        composed = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id, composed.hydra.job.num = f"job_{number}", number
        submitted.append(function.remote(context, composed, task, Singleton.get_state(), settings.cpus_per_job))
    try:
        return [_result(ray, job, overrides) for job, overrides in zip(submitted, jobs, strict=True)]
    except KeyboardInterrupt:
        for job in submitted:
            ray.cancel(job)
        ray.wait(submitted, num_returns=len(submitted), timeout=_CANCEL_S)
        raise
    finally:
        ray.shutdown()


def _connect(settings: RaySettings) -> Any:
    """Start Ray, or connect to a running one; return the package.

    Raises:
        ConfigError: Ray is not installed, or cannot be started or reached.

    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines of different jobs are similar
    options: dict[str, Any] = {"address": settings.address}
    if settings.address is None:
        # Ray listens on all interfaces, also with a loopback address: without a token, others could run code here.
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        options = {"address": "local", "num_cpus": settings.cores, "include_dashboard": False}
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"hydra/launcher=ray needs the extra ray: {INSTALL}") from error
    try:
        ray.init(logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "cannot be started" if settings.address is None else f"cannot be reached at {settings.address!r}"
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ConfigError(f"Ray {where} ({reason}); see hydra.launcher.address.") from error
    return ray


def _run(context: HydraContext, config: DictConfig, task: TaskFunction, singletons: Any, cores: int) -> JobReturn:
    """Run a job in a process of Ray."""
    os.environ[CORES_VARIABLE] = str(cores)
    setup_globals()
    Singleton.set_state(singletons)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(ray: Any, job: Any, overrides: Sequence[str]) -> JobReturn:
    """Wait for a job, and return its result; a `JobEndedError` for a job without one."""
    try:
        result: JobReturn = ray.get(job)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")[:300]
        result = JobReturn(overrides=[*overrides], status=JobStatus.FAILED)
        result.return_value = JobEndedError(f"its process has ended without a result ({reason})")
    return result
