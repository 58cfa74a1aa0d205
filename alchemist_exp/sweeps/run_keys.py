"""Computes the run keys of jobs without running them; each dataset is loaded once, however many jobs use it."""

from collections.abc import Iterable, Sequence

from omegaconf import DictConfig

from alchemist_exp import config
from alchemist_exp.config_checks import check_interpolated_overrides
from alchemist_exp.core.errors import AlchemistError, ConfigError, MissingPackageError
from alchemist_exp.core.hashing import canonical_json
from alchemist_exp.pipeline.experiment import Experiment


class RunKeys:
    """The run keys of the jobs of a sweep."""

    def __init__(self) -> None:
        """Begin without data fingerprints; each dataset is read once for all jobs."""
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
        check_interpolated_overrides(composed, overrides)
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

    def missing_packages(self, composed: DictConfig, overrides: Sequence[str]) -> list[str]:
        """Return a sentence for each package of an extra that a job needs and that is not installed.

        Args:
            composed: The configuration of the job.
            overrides: The overrides that it was composed with.

        Returns:
            The sentences; none for a job that will be refused for another reason.

        """
        try:
            experiment, _ = self.build(composed, overrides)
        except MissingPackageError as error:
            return [str(error)]
        except AlchemistError:
            return []
        return experiment.missing_packages()


def refuse_missing_packages(sentences: Iterable[str]) -> None:
    """Refuse to start the jobs of a sweep if a package is missing.

    Args:
        sentences: What is missing, a sentence for each package and component; equal ones are shown once.

    Raises:
        ConfigError: There is a sentence.

    """
    if missing := [*dict.fromkeys(sentences)]:
        raise ConfigError(f"no job was started: {'; '.join(missing)}")
