"""Checks overrides before Hydra reads them, from the command line and from a file of jobs."""

from collections.abc import Sequence
from itertools import takewhile

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException

from alchemist_exp import config
from alchemist_exp.config_checks import refuse_secrets
from alchemist_exp.config_errors import intended_value
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.overrides import typed

SECTION = "sweep."
"""The beginning of the keys that choose the jobs of a sweep."""


def key_of_override(override: str) -> str:
    """Return the key or group of an override, without the signs before it.

    Args:
        override: An override such as "+experiment=tiny".

    """
    return override.lstrip("+~").partition("=")[0]


def without_sweep_keys(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a run without those that choose the jobs of its sweep.

    Args:
        overrides: Hydra overrides.

    """
    return [override for override in overrides if not key_of_override(override).startswith(SECTION)]


def checked_overrides(overrides: Sequence[str]) -> list[str]:
    """Check overrides, and bring them into the form that Hydra reads as intended.

    Args:
        overrides: The words of a command line that are not options.

    Returns:
        The overrides; glob(...) of a group is replaced by its members, because Hydra's glob also finds schemas and
        parts.

    Raises:
        ConfigError: A word is not an override, or an override names several members of a group.

    """
    # What is no override is mostly one of the words of a text that the shell has split.
    for number, word in enumerate(overrides):
        if "=" in word or word.startswith("~"):
            continue
        before = overrides[number - 1] if number else ""
        words = takewhile(lambda word: "=" not in word, overrides[number:])
        key, equals, text = " ".join([before, *words]).partition("=")
        advice = (
            f"; to make it a part of the text before it write {typed(key, intended_value(key, text))}"
            if equals
            else "."
        )
        raise ConfigError(f"{word!r} is not an override, which is key=value{advice}")
    config.refuse_no_members(overrides)
    # Hydra writes the overrides of a sweep to a file before a job checks its configuration.
    refuse_secrets(dict(text.lstrip("+~").partition("=")[::2] for text in overrides))
    return list(map(_expand_glob, overrides))


def _expand_glob(override: str) -> str:
    """Return group=glob(...) with the members that fit; any other override as it is."""
    key, _, text = override.partition("=")
    if key not in config.groups() or not text.startswith("glob("):
        return override
    try:
        glob: object = OverridesParser.create().parse_override(override).value()
    except HydraException:
        return override  # Hydra refuses it
    if not isinstance(glob, Glob):
        return override
    known = config.members(key)
    if not (fitting := glob.filter(known)):
        raise ConfigError(f"no member of {key} fits {text}; known: {', '.join(known)}.")
    return f"{key}={','.join(fitting)}"
