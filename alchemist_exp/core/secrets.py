"""Finds secrets of the environment in values that are written to records, logs and job scripts."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MIN_LENGTH: Final = 8
"""Characters of a secret. A shorter value of such a variable, for example "none", is a placeholder."""

_NAME: Final = re.compile(r"(?:key|token|secret|passw(?:or)?d|credentials?)(?:_|$)", re.IGNORECASE)


def secret_variables(*names: str) -> dict[str, str]:
    """Return the environment variables that hold a secret.

    Args:
        *names: Variables that hold one whatever their name is.

    Returns:
        The value of each variable with such a name; paths are left out.

    """
    found = {name: value.strip() for name, value in os.environ.items() if name in names or _NAME.search(name)}
    return {name: value for name, value in found.items() if len(value) >= MIN_LENGTH and not value.startswith("/")}


def find_secret(values: Mapping[Any, Any], secrets: Mapping[str, str]) -> tuple[str, str] | None:
    """Find a value that contains a secret.

    Args:
        values: Nested mappings and lists of JSON values.
        secrets: The secrets by the names of their variables.

    Returns:
        The key of the value, as in llm.model, and the name of the variable; None if there is none.

    Example:
        >>> find_secret({"llm": {"model": "key-0123456789"}}, {"MY_KEY": "key-0123456789"})
        ('llm.model', 'MY_KEY')

    """
    for key, text in _texts(values, ""):
        for name, secret in secrets.items():
            if secret in text:
                return key, name
    return None


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield each text in a value, and each key of a mapping, with the key of the value that it is in."""
    match value:
        case str():
            yield key, value
        case Mapping():
            for name, item in value.items():
                yield f"a name in {key or 'the configuration'}", str(name)
                yield from _texts(item, f"{key}.{name}" if key else str(name))
        case list() | tuple():
            for item in value:
                yield from _texts(item, key)
