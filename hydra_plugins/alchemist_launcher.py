"""The launchers `slurm`, `slurm_local` and `ray` of alchemist_exp (conf/hydra/launcher).

Hydra imports this module in every Hydra application of the environment, so it imports alchemist_exp, submitit and Ray
only when jobs are launched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Run the jobs of a sweep as job arrays of Slurm (conf/hydra/launcher/slurm.yaml)."""

    def __init__(self, **settings: Any) -> None:
        """Keep the values of the launcher's YAML, which are checked when jobs are launched."""
        self.settings = settings
        self.run_keys: Mapping[tuple[str, ...], str] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember the sweep.

        Args:
            hydra_context: The callbacks and the loader of Hydra.
            task_function: The function that a job calls.
            config: The composed configuration of the sweep.

        """
        self.context, self.task, self.config = hydra_context, task_function, config

    def set_run_keys(self, run_keys: Mapping[tuple[str, ...], str]) -> None:
        """Receive the run key of each job by its overrides, so that jobs in the queue are found.

        Args:
            run_keys: The keys, as far as they can be computed.

        """
        self.run_keys = run_keys

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for them.

        Args:
            job_overrides: The overrides of each job.
            initial_job_idx: The number of the first one in the sweep, from 0.

        Returns:
            What each job has returned.

        """
        from alchemist_exp.sweeps.cluster_launcher import launch_on_slurm
        from alchemist_exp.sweeps.cluster_settings import SlurmSettings, settings_of

        settings = settings_of(SlurmSettings, self.settings)
        return launch_on_slurm(self._sweep(), settings, job_overrides, initial_job_idx)

    def _sweep(self) -> Any:
        from alchemist_exp.sweeps.cluster_launcher import Sweep

        return Sweep(context=self.context, task=self.task, config=self.config, run_keys=self.run_keys)


class SlurmLocalLauncher(SlurmLauncher):
    """Run the jobs of a sweep in processes of submitit, without Slurm (conf/hydra/launcher/slurm_local.yaml)."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for them.

        Args:
            job_overrides: The overrides of each job.
            initial_job_idx: The number of the first one in the sweep, from 0.

        Returns:
            What each job has returned.

        """
        from alchemist_exp.sweeps.cluster_launcher import launch_locally
        from alchemist_exp.sweeps.cluster_settings import LocalSettings, settings_of

        settings = settings_of(LocalSettings, self.settings)
        return launch_locally(self._sweep(), settings, job_overrides, initial_job_idx)


class RayLauncher(Launcher):
    """Run the jobs of a sweep in processes of Ray (conf/hydra/launcher/ray.yaml)."""

    def __init__(self, **settings: Any) -> None:
        """Keep the values of the launcher's YAML, which are checked when jobs are launched."""
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember the sweep.

        Args:
            hydra_context: The callbacks and the loader of Hydra.
            task_function: The function that a job calls.
            config: The composed configuration of the sweep.

        """
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for them.

        Args:
            job_overrides: The overrides of each job.
            initial_job_idx: The number of the first one in the sweep, from 0.

        Returns:
            What each job has returned.

        """
        from alchemist_exp.sweeps.cluster_settings import settings_of
        from alchemist_exp.sweeps.ray_launcher import RaySettings, launch_on_ray

        settings = settings_of(RaySettings, self.settings)
        return launch_on_ray(self.config, self.context, self.task, settings, job_overrides, initial_job_idx)
