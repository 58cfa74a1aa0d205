"""Builds the objects of a configuration, as a run does."""

from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.pipeline.experiment import Experiment


def build_experiment(*overrides: str) -> Experiment:
    """Compose the configuration and build its components.

    Args:
        overrides: Overrides as on the command line ("dataset=sms").

    Returns:
        The experiment.

    """
    config.register()
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        return config.build(compose("config", overrides=list(overrides)))
