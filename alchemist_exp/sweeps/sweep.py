"""Runs a sweep: jobs with a finished run are answered from their records, and the launcher gets only the others.

It works with every launcher of Hydra, because it calls the launcher.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from alchemist_exp.core.errors import AlchemistError, Terminated
from alchemist_exp.core.parallel import CORES_VARIABLE
from alchemist_exp.sweeps.fail_fast import allow_jobs
from alchemist_exp.sweeps.job_list import SweepJob, list_jobs
from alchemist_exp.sweeps.job_outcomes import SweepOutcomes


class LauncherError(AlchemistError):
    """The launcher of a sweep has failed, and not one of the jobs."""


class _ComposedConfigs(ConfigLoaderImpl):
    """A loader that returns the configurations of listed jobs; to compose one takes about 0.25 s."""

    def __init__(self, loader: ConfigLoader, jobs: Sequence[SweepJob]) -> None:
        """Index the jobs by the overrides that Hydra asks for."""
        super().__init__(loader.get_search_path())
        self._jobs = {job.overrides: job for job in jobs}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the configuration of a job."""
        return self._jobs[tuple(sweep_overrides)].whole_config(master_config)


def run_sweep(
    arguments: Sequence[str],
    *,
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
    batch_size: int | None = None,
    resume: bool = True,
) -> list[Sequence[JobReturn]]:
    """Run the jobs of a sweep that have no finished run.

    Args:
        arguments: The overrides of the command line and of an experiment; those with several values make the jobs.
        config: The composed configuration of the sweep.
        context: The callbacks and the loader of Hydra.
        launcher: Runs the jobs.
        batch_size: How many jobs the launcher gets at once; None for all.
        resume: Whether jobs with a finished run are left out.

    Returns:
        What the launcher returned for each batch. A failed job raises nothing: listeners are notified of it.

    Raises:
        AlchemistError: The list of jobs is invalid, or a job needs a package that is not installed.
        LauncherError: The launcher has failed.

    """
    listed = list_jobs(arguments, config, context.config_loader)
    outcomes = begin_sweep(config, context)
    outcomes.add_jobs(listed.jobs, listed.notes)
    if resume:
        outcomes.find_finished()
        outcomes.refuse_missing_packages()
    waiting = outcomes.without_outcome()
    size = batch_size or max(1, len(waiting))
    with recorded_outcomes(outcomes):
        return [
            launch_jobs(waiting[start : start + size], start, outcomes, config, launcher)
            for start in range(0, len(waiting), size)
        ]


def begin_sweep(config: DictConfig, context: HydraContext) -> SweepOutcomes:
    """Create the directory of a sweep.

    Args:
        config: The composed configuration of the sweep.
        context: The callbacks and the loader of Hydra.

    Returns:
        The outcomes of a sweep that has no jobs yet.

    """
    directory = Path(str(config.hydra.sweep.dir))
    directory.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, directory / "multirun.yaml")
    allow_jobs(directory)
    return SweepOutcomes(context)


def launch_jobs(
    jobs: Sequence[SweepJob], n_launched: int, outcomes: SweepOutcomes, config: DictConfig, launcher: Launcher
) -> Sequence[JobReturn]:
    """Give jobs to the launcher, and remember what it returns.

    Args:
        jobs: Jobs without a finished run.
        n_launched: How many jobs the launcher got before.
        outcomes: The outcomes of the sweep.
        config: The composed configuration of the sweep.
        launcher: Runs the jobs.

    Returns:
        What the launcher returned for each job.

    """
    if isinstance(launcher, BasicLauncher) and (given := launcher.hydra_context):  # the jobs run in this process
        loader = _ComposedConfigs(given.config_loader, jobs)
        launcher.hydra_context = HydraContext(config_loader=loader, callbacks=given.callbacks)
    if hasattr(launcher, "set_run_keys"):  # to recognize jobs in the queue of a cluster
        launcher.set_run_keys(outcomes.run_keys(jobs))
    with _shared_cores(config):
        returned = launcher.launch([job.overrides for job in jobs], initial_job_idx=n_launched)
    for job, result in zip(jobs, returned, strict=True):
        outcomes.add_returned(job, result)
    return returned


@contextmanager
def recorded_outcomes(outcomes: SweepOutcomes) -> Iterator[None]:
    """Notify the listeners of all outcomes when the block ends, also after an interruption.

    Args:
        outcomes: The outcomes of the sweep.

    Raises:
        LauncherError: The launcher has failed.

    """
    try:
        yield
    except KeyboardInterrupt as error:
        outcomes.mark_interrupted("terminated" if isinstance(error, Terminated) else "interrupted")
        raise
    except (AlchemistError, HydraException):
        raise
    except Exception as error:  # a job's error is returned; this one is the launcher's, as when a process was killed
        reason = f"{type(error).__name__}: {str(error).split('. ')[0]}"
        raise LauncherError(f"the launcher has stopped ({reason}); the same command runs the jobs left.") from error
    finally:
        outcomes.tell_end()


@contextmanager
def _shared_cores(config: DictConfig) -> Iterator[None]:
    """Tell the processes of a launcher with `n_jobs` parallel jobs how many cores each of them may use."""
    n_jobs = OmegaConf.select(config, "hydra.launcher.n_jobs")
    if not isinstance(n_jobs, int) or n_jobs == 1:
        yield
        return
    cores = len(os.sched_getaffinity(0))
    parallel = n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
    before = os.environ.get(CORES_VARIABLE)
    os.environ[CORES_VARIABLE] = str(max(1, cores // parallel))
    try:
        yield
    finally:
        if before is None:
            del os.environ[CORES_VARIABLE]
        else:
            os.environ[CORES_VARIABLE] = before
