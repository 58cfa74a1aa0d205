"""Computes the run keys of jobs without running them; each dataset is loaded once, however many jobs use it."""

from collections.abc import Sequence

from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.pipeline.experiment import Experiment


class RunKeys:
    """The run keys of the jobs of a sweep."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str | AlchemistError] = {}

    def build(self, composed: DictConfig, overrides: Sequence[str]) -> tuple[Experiment, str]:
        """Return the experiment of a job and its run key.

        Args:
            composed: The configuration of the job.
            overrides: The overrides that it was composed with.

        Returns:
            The experiment, and the name of the directory of its run.

        Raises:
            AlchemistError: The configuration is invalid, or the dataset cannot be loaded.

        """
        config.check_interpolated_overrides(composed, overrides)
        experiment = config.build(composed)
        dataset = canonical_json(experiment.dataset)
        if dataset not in self._fingerprints:
            try:
                self._fingerprints[dataset] = experiment.dataset.load().fingerprint
            except AlchemistError as error:
                self._fingerprints[dataset] = error
        fingerprint = self._fingerprints[dataset]
        if isinstance(fingerprint, AlchemistError):
            raise fingerprint
        return experiment, experiment.run_key(fingerprint)
