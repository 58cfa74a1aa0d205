"""Searches for values with Optuna: each trial is a job of a sweep, and its score is the one on valid.

Test scores are never read. The record of each trial names the use of the labels of valid. A search always begins with
the same seed, so the same search proposes the same values, and finished trials are answered from their records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from alchemist_exp.config import build_component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import Dataset
from alchemist_exp.pipeline.settings import Gold
from alchemist_exp.sweeps.job_list import CHOOSE_JOBS, SweepJob, compose_job
from alchemist_exp.sweeps.overrides import key_of_override
from alchemist_exp.sweeps.search_space import read_search_space
from alchemist_exp.sweeps.study import new_study, search_result, tell
from alchemist_exp.sweeps.sweep import begin_sweep, launch_jobs, recorded_outcomes

_MAX_REPEATED: Final = 200
"""Proposals without a new combination, one after the other, at which a search ends."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The keys of conf/hydra/sweeper/optuna.yaml, which explains each."""

    n_trials: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers; a wrong one raises ConfigError, which names the key."""
        for name, least in (("n_trials", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value < 2**32:
                raise ConfigError(f"hydra.sweeper.{name} is {value!r}; expected a whole number from {least} on.")


def run_search(
    arguments: Sequence[str],
    *,
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
    settings: SearchSettings,
) -> list[Sequence[JobReturn]]:
    """Run the trials of a search that have no finished run.

    Args:
        arguments: The overrides of the command line and of an experiment; those with several values are searched.
        config: The composed configuration of the sweep.
        context: The callbacks and the loader of Hydra.
        launcher: Runs the jobs.
        settings: The number of trials and the seed of their choice.

    Returns:
        What the launcher returned for each batch. A failed job raises nothing: listeners are notified of it.

    Raises:
        AlchemistError: A value or the dataset does not allow a search.
        LauncherError: The launcher has failed.

    """
    study = new_study(settings.seed)
    for key in ("file", "skip"):
        if config.sweep[key]:
            raise ConfigError(f"sweep.{key} chooses jobs, and so does hydra/sweeper=optuna; leave out one of them.")
    space = read_search_space([text for text in arguments if key_of_override(text) not in CHOOSE_JOBS])
    _require_valid_labels(compose_job(0, space.fixed, config, context.config_loader).config)
    outcomes = begin_sweep(config, context)
    n_trials = int(min(settings.n_trials, space.size))
    for listener in outcomes.listeners:
        listener.on_search_start([*space.distributions], n_trials)
    jobs: dict[tuple[str, ...], SweepJob] = {}
    returned: list[Sequence[JobReturn]] = []
    n_told = n_launched = n_repeated = 0
    with recorded_outcomes(outcomes):
        try:
            # Optuna may propose values again. They are not counted, and make no job.
            while len(jobs) < n_trials and n_repeated < _MAX_REPEATED:
                if config.sweep.fail_fast and any(
                    (outcome := outcomes.outcome_of(job)) and outcome.result is None for job in jobs.values()
                ):
                    break
                n_asked = min(settings.batch_size, n_trials - len(jobs))
                trials = [study.ask({**space.distributions}) for _ in range(n_asked)]
                proposed = [space.overrides(trial.params) for trial in trials]
                new = [overrides for overrides in dict.fromkeys(proposed) if overrides not in jobs]
                n_repeated = 0 if new else n_repeated + 1
                for overrides in new:
                    jobs[overrides] = compose_job(len(jobs) + 1, overrides, config, context.config_loader)
                outcomes.add_jobs([jobs[overrides] for overrides in new])
                outcomes.find_finished()
                outcomes.refuse_missing_packages()
                if waiting := outcomes.without_outcome():
                    returned.append(launch_jobs(waiting, n_launched, outcomes, config, launcher))
                    n_launched += len(waiting)
                for trial, overrides in zip(trials, proposed, strict=True):
                    outcome = outcomes.outcome_of(jobs[overrides])
                    tell(study, trial.number, outcome.result if outcome else None)
                    n_told += 1
        finally:
            result = search_result(study, jobs, space, n_told)
            for listener in outcomes.listeners:
                listener.on_search_end(result)
    return returned


def _require_valid_labels(config: DictConfig) -> None:
    """Check that the labels of valid exist and may choose values.

    Raises:
        AlchemistError: The configuration does not allow it, or valid has no labels.

    """
    gold, dataset = build_component(config, "gold"), build_component(config, "dataset")
    assert isinstance(gold, Gold)
    assert isinstance(dataset, Dataset)
    if not gold.use_valid:
        raise ConfigError(
            f"hydra/sweeper=optuna chooses values by the labels of valid, and gold={gold.name} forbids their use; use "
            "gold=valid, or give one value for each key."
        )
    if dataset.load().rows_with_text.gold(Split.VALID) is None:
        raise ConfigError(
            f"hydra/sweeper=optuna chooses values by the labels of valid, and {dataset.name} has none; label a valid "
            "split, or give one value for each key."
        )
