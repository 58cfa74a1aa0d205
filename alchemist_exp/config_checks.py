"""Checks of a composed configuration: keys that no component reads, secrets, and overrides without an effect."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alchemist_exp.config_keys import explain_outdated_key
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.secrets import find_secret, secret_variables


def refuse_appended(config: DictConfig, prefix: str) -> None:
    """Refuse keys that no component reads: Hydra's +key=value is not checked against the schemas.

    Args:
        config: The configuration, or a part of it.
        prefix: The key of the part with a dot behind it; "" for the whole configuration.

    Raises:
        ConfigError: A key is unknown.

    """
    schema = OmegaConf.get_type(config)
    known = [f.name for f in fields(schema)] if schema and is_dataclass(schema) else [str(key) for key in config]
    for key in map(str, config):
        if key not in known:
            if outdated := explain_outdated_key(prefix + key):
                raise ConfigError(outdated)
            raise ConfigError(unknown_name("the key", prefix + key, [prefix + name for name in known]))
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            refuse_appended(node, f"{prefix}{key}.")


def refuse_secrets(values: Mapping[Any, Any], *variables: str) -> None:
    """Refuse values that contain an API key of the environment.

    Args:
        values: Nested mappings and lists of JSON values, under configuration keys.
        *variables: Environment variables that hold a key whatever their name is.

    Raises:
        ConfigError: A value contains a key; the message does not.

    """
    if (found := find_secret(values, secret_variables(*variables))) is not None:
        key, variable = found
        raise ConfigError(
            f"{key} contains the value of the environment variable {variable}, which would be written to records and "
            "logs; remove it: llm.api_key_env=NAME names the variable of an API key."
        )


def check_interpolated_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse overrides of a part of a value that an interpolation gives; Hydra would drop them without a message.

    Args:
        config: The composed configuration.
        overrides: The overrides it was composed with.

    Raises:
        ConfigError: An override changes a part of such a value.

    """
    for override in overrides:
        *above, _ = override.lstrip("+~").partition("=")[0].split(".")
        node: Any = config
        for depth, key in enumerate(above, start=1):
            if not isinstance(node, DictConfig) or key not in node:
                break
            if OmegaConf.is_interpolation(node, key):
                whole = ".".join(above[:depth])
                raise ConfigError(
                    f"{override} changes a part of {whole}, which is taken from elsewhere; give all of it, as in "
                    f"'{whole}={{...}}'."
                )
            node = node._get_node(key)
