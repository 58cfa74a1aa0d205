"""Composes the configuration; what differs only in a path or an address is composed once."""

import re
from functools import cache

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from alchemist_exp import config

PATH_OR_ADDRESS = re.compile(r"(?P<key>[a-z_]+(\.[a-z_]+)+)=(?P<value>(/|http://127\.0\.0\.1:)[\w./-]*)")


def compose_cached(*overrides: str) -> DictConfig:
    """Compose the configuration with overrides, as the command line does.

    Composing takes 0.2 to 0.5 s and copying some milliseconds, so each combination of overrides is composed once. An
    absolute path or an address of this machine is set afterwards, because most tests have one of their own.

    Args:
        overrides: The overrides.

    Returns:
        A copy that the caller may change.

    """
    keys = [override.partition("=")[0] for override in overrides]
    later = {
        match["key"]: match["value"]
        for override in overrides
        if (match := PATH_OR_ADDRESS.fullmatch(override)) and keys.count(match["key"]) == 1
    }
    composed = _compose(tuple(o for o in overrides if o.partition("=")[0] not in later)).copy()
    if any(_is_unknown(composed, key) for key in later):
        return _compose(overrides).copy()  # fails with Hydra's own message
    for key, value in later.items():
        OmegaConf.update(composed, key, value)
    return composed


@cache
def _compose(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def _is_unknown(composed: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(composed, parent)
    return not isinstance(section, DictConfig) or name not in section.keys()  # noqa: SIM118  (null and ??? count)
