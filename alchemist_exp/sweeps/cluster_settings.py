"""The keys of hydra.launcher for Slurm and for processes of submitit, and the checks before jobs are submitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from omegaconf import OmegaConf

from alchemist_exp.core.errors import ConfigError, require_packages
from alchemist_exp.sweeps import slurm

_EARLIEST_S: Final = 60
"""Seconds by which Slurm may send the signal before the time limit too early."""

_NUMBERS: Final = frozenset(
    ("cpus", "memory_gb", "time_min", "gpus", "array_parallelism", "signal_delay_s", "requeues", "n_jobs")
)


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
    requeues: int = 0
    setup: Sequence[str] = ()
    options: Mapping[str, Any] | None = None
    wait: bool = True


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """The keys of conf/hydra/launcher/slurm_local.yaml, which explains each."""

    n_jobs: int = 1
    time_min: int = 60


def settings_of(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return the settings of a launcher.

    Args:
        kind: SlurmSettings or LocalSettings.
        values: The keys of hydra.launcher.

    Returns:
        An instance of `kind`.

    Raises:
        ConfigError: A key is unknown, or a value has another type.

    """
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in values.items()
    }
    for name, value in plain.items():
        optional = value is None and name in ("memory_gb", "gpus")
        if name in _NUMBERS and not optional and type(value) not in (int, float):
            raise ConfigError(f"hydra.launcher.{name} is {value!r}; expected a number.")
    if not isinstance(plain.get("options") or {}, Mapping):
        raise ConfigError(
            f"hydra.launcher.options is {plain['options']!r}; expected options of sbatch and their values, as in "
            "'hydra.launcher.options={constraint: a100}'."
        )
    try:
        return kind(**plain)
    except TypeError as error:
        unknown = ", ".join(sorted(plain.keys() - set(kind.__dataclass_fields__)))
        raise ConfigError(f"hydra.launcher has no key {unknown or error}; see conf/hydra/launcher.") from error


def check_resources(settings: SlurmSettings) -> None:
    """Check that this machine can submit jobs, and that Slurm accepts their resources.

    Args:
        settings: The resources of a job.

    Raises:
        AlchemistError: A job could not be submitted or not be watched.

    """
    require_submitit()
    if settings.signal_delay_s and settings.signal_delay_s + _EARLIEST_S >= 60 * settings.time_min:
        raise ConfigError(
            f"hydra.launcher.signal_delay_s is {settings.signal_delay_s} s, and Slurm may send the signal "
            f"{_EARLIEST_S} s earlier, which is the beginning of a job with a time limit of {settings.time_min} min; "
            "raise hydra.launcher.time_min, or set hydra.launcher.signal_delay_s=0 for no signal."
        )
    names = ("partition", "account", "qos", "cpus", "memory_gb", "time_min", "gpus")
    options = slurm.sbatch_options(**{name: getattr(settings, name) for name in names})
    extra = (settings.options or {}).items()
    slurm.check([*options, *(f"--{name}" if value is True else f"--{name}={value}" for name, value in extra)])


def require_submitit() -> None:
    """Check that the extra slurm is installed.

    Raises:
        MissingPackageError: It is not.

    """
    require_packages("this launcher", "slurm", "submitit", "hydra_plugins.hydra_submitit_launcher")
