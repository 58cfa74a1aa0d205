"""The launchers `slurm` and `slurm_local` of alchemist_exp (conf/hydra/launcher), and one that only lists jobs.

Hydra imports this module in every Hydra application of the environment, so it imports alchemist_exp and submitit only
when jobs are launched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher, log
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, read_write


class SlurmLauncher(Launcher):
    """Run the jobs of a sweep as job arrays of Slurm (conf/hydra/launcher/slurm.yaml)."""

    def __init__(self, **settings: Any) -> None:
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


class VisitLauncher(BasicLauncher):
    """Call the function of a command that looks at jobs, with the configurations that the sweeper has composed."""

    def visit(self, number: int, config: DictConfig, overrides: Sequence[str]) -> None:
        """Call the function for one job. An error of the function ends this job only, as in a sweep.

        Args:
            number: The number of the job in the sweep, from 0.
            config: Its composed configuration, without Hydra's.
            overrides: Its overrides.

        """
        assert self.task_function is not None
        assert self.config is not None
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        log.info(f"\t#{number} : {' '.join(filter_overrides(overrides))}")
        with read_write(self.config.hydra):
            self.config.hydra.overrides.task = [*overrides]
        state = HydraConfig.instance()
        before = state.cfg
        state.set_config(self.config)
        try:
            self.task_function(config)
        except Exception:  # noqa: BLE001 - as in a sweep
            log.debug("the job has failed", exc_info=True)
        finally:
            state.cfg = before
