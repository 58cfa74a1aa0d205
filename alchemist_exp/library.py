"""The functions of the public API: run an experiment, make one component, read a record.

Import them from `alchemist_exp`. They do what the command line does, and raise errors instead of ending the process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alchemist_exp import config
from alchemist_exp.config_errors import explanation
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError, unknown_name
from alchemist_exp.core.progress import NoProgress, Progress
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.run import RunResult
from alchemist_exp.pipeline.run import run as run_experiment
from alchemist_exp.registry import base_classes
from alchemist_exp.results.record import RunRecord


def run(
    overrides: Sequence[str] = (), *, config_dir: str | Path | None = None, progress: Progress | None = None
) -> RunResult:
    """Compose, check and run one experiment, as `alchemist run` does.

    Args:
        overrides: Hydra overrides such as "dataset=sms" and "label_model.epochs=10". A sweep is a loop over calls.
        config_dir: A directory with your YAML files and Python modules, as with --config-dir.
        progress: Shows the stages while they run. By default nothing is shown.

    Returns:
        The record of the run, its directory, and whether it was found finished instead of made.

    Raises:
        AlchemistError: The configuration is invalid or the run cannot be completed; the message says how to fix it.

    """
    if isinstance(overrides, str) or any(override.startswith("-") for override in overrides):
        raise ConfigError(
            f"overrides is {overrides!r}; give a list of KEY=VALUE texts without options of the command line, and loop "
            "over calls for a sweep."
        )
    experiment, container = compose_experiment(overrides, config_dir)
    # As on the command line, what concerns Hydra alone is no part of the record.
    task = [override for override in overrides if not override.lstrip("+~").startswith(("hydra.", "hydra/"))]
    return run_experiment(experiment, container, task, progress or NoProgress())


def compose_experiment(
    overrides: Sequence[str], config_dir: str | Path | None = None
) -> tuple[Experiment, dict[str, Any]]:
    """Compose and check an experiment without running it.

    Args:
        overrides: As in `run`.
        config_dir: As in `run`.

    Returns:
        The experiment and its resolved configuration, for the record.

    Raises:
        ConfigError: The configuration is invalid.

    """
    with _explained():
        composed = config.compose(overrides, config_dir)
        config.check_interpolated_overrides(composed, overrides)
        return config.build(composed), config.to_container(composed)


def load_component(choice: str, /, *, config_dir: str | Path | None = None, **values: Any) -> Any:
    """Make one member of a configuration group with the values of its YAML file.

    Args:
        choice: The group and its member, for example "label_model=dawid_skene".
        config_dir: A directory with your YAML files and Python modules, as with --config-dir.
        values: Values by key that replace those of the YAML file.

    Returns:
        The working object, an instance of the group's base class.

    Raises:
        ConfigError: The member or a key is unknown, or a value is missing or invalid.

    Example:
        >>> load_component("label_model=dawid_skene", smoothing=0.5).smoothing
        0.5

    """
    group, separator, member = choice.partition("=")
    if not separator or not member:
        raise ConfigError(f"{choice!r} names no member; write GROUP=MEMBER, as in label_model=dawid_skene.")
    if group not in base_classes():
        raise ConfigError(unknown_name("the group", group, base_classes()))
    with _explained():
        composed = config.compose([choice], config_dir)
        node = composed[group]
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{choice!r} names no member; write GROUP=MEMBER, as in label_model=dawid_skene.")
        for key, value in values.items():
            if key not in list(node):  # `in node` is false for a key without a value
                raise ConfigError(f"{choice}: {unknown_name('the key', key, map(str, node))}")
            OmegaConf.update(node, key, value)
        return config.build_component(composed, group)


def read_record(directory: str | Path) -> RunRecord:
    """Read the record of a run.

    Args:
        directory: The directory of the run, outputs/runs/<key>.

    Returns:
        The record.

    Raises:
        StoreError: There is no record, or it is broken.

    """
    record = RunRecord.read(Path(directory))
    if record is None:
        raise StoreError(f"{directory} has no record of a run; name a directory under outputs/runs.")
    return record


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors of Hydra and OmegaConf into a ConfigError of one sentence."""
    try:
        yield
    except AlchemistError:
        raise
    except Exception as error:
        if (text := explanation(error)) is None:
            raise
        raise ConfigError(text) from error
