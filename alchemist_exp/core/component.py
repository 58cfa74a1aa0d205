"""The common ground of everything a configuration group can hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from omegaconf import MISSING

from alchemist_exp.core.hashing import to_jsonable


@dataclass(kw_only=True)
class Component:
    """A keyword-only dataclass whose values come from YAML; `__post_init__` checks them. `name` is its YAML's name."""

    name: str = MISSING

    def check(self) -> None:
        """Finds what would stop the component from working here; called before anything is spent."""

    def cache_key(self) -> dict[str, object]:
        """All that alters what the component makes, as JSON knows it. By default every value."""
        key: dict[str, object] = to_jsonable(self)
        return key


C = TypeVar("C", bound=type[Component])

REGISTRY: dict[str, dict[str, type[Component]]] = {}
"""The registered classes by group and name."""


def component(group: str, name: str) -> Callable[[C], C]:
    """Register a component class, so that a YAML of its group can name it in its defaults list as `_<name>`.

    Args:
        group: The configuration group, a directory under conf/ (for example "label_model").
        name: The schema's name without its underscore, unique in the group.

    Returns:
        A class decorator that returns the class unchanged.

    Raises:
        ValueError: Another class has this group and name.

    """

    def register(cls: C) -> C:
        known = REGISTRY.setdefault(group, {}).setdefault(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{group}={name} is both {known.__qualname__} and {cls.__qualname__}")
        REGISTRY[group][name] = cls
        return cls

    return register
