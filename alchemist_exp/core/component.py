"""The base class of every configuration group's members, and the decorator that registers them."""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from omegaconf import MISSING

from alchemist_exp.core.errors import AlchemistError, ConfigError, unknown_name
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.source import source_fingerprint


@dataclass(kw_only=True)
class Component:
    """A keyword-only dataclass whose values come from a YAML file.

    A field without a default has the default `MISSING`; its value is in the YAML. A subclass checks its values in
    `__post_init__`, which runs only when every value is there.

    Attributes:
        name: The member's name in its configuration group, for example "snorkel".

    Example:
        >>> from dataclasses import dataclass
        >>> from omegaconf import MISSING
        >>> @dataclass(kw_only=True)
        ... class Smoothing(Component):
        ...     pseudo_counts: float = MISSING
        >>> Smoothing(name="laplace", pseudo_counts=1.0).cache_key()
        {'name': 'laplace', 'pseudo_counts': 1.0}
        >>> Smoothing(name="laplace")
        Traceback (most recent call last):
        ...
        alchemist_exp.core.errors.ConfigError: pseudo_counts is missing; Smoothing needs it as a keyword argument.

    """

    name: str = MISSING

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the `__post_init__` of a subclass run after the check that no value is missing."""
        super().__init_subclass__(**options)
        if check_values := vars(cls).get("__post_init__"):

            @functools.wraps(check_values)
            def check_all(self: Component) -> None:
                """Check that every value is there, then what the subclass checks."""
                Component.__post_init__(self)
                check_values(self)

            cls.__post_init__ = check_all  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Check that every value is there, and convert the names of enum members."""
        group, registered_name = registered_as(type(self)) or ("", "")
        if self.name == MISSING and registered_name:
            self.name = registered_name
        missing = [f.name for f in fields(self) if isinstance(value := getattr(self, f.name), str) and value == MISSING]
        if missing:
            keys = [f"{group}.{key}" if group else key for key in missing]
            defaults = f', or take the defaults of a YAML file: load_component("{group}={registered_name}")'
            raise ConfigError(
                f"{' and '.join(keys)} {'is' if len(keys) == 1 else 'are'} missing; {type(self).__name__} needs "
                f"{'it as a keyword argument' if len(keys) == 1 else 'them as keyword arguments'}"
                f"{defaults if group else ''}."
            )
        # A caller may pass the name of an enum's member, as YAML files have it.
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if isinstance(hint, type) and issubclass(hint, Enum) and type(value) is str:
                if value not in hint.__members__:
                    key = f"{group or type(self).__name__}.{name}"
                    raise ConfigError(unknown_name(key, value, hint.__members__))
                setattr(self, name, hint[value])

    def check(self) -> None:
        """Check that the component can work on this machine, before anything is spent.

        Raises:
            AlchemistError: It cannot; the message says why and how to fix it.

        """

    def cache_key(self) -> dict[str, object]:
        """Return the values that alter what the component makes.

        Returns:
            By default every field, as JSON values. A subclass leaves out what alters nothing, such as a time limit, and
            adds what its fields only point to, such as the content of a file.

        """
        return {f.name: _key_part(getattr(self, f.name)) for f in fields(self)}

    def key(self) -> dict[str, object]:
        """Return what the component adds to the keys of stored results: values, and the source of a foreign class.

        Returns:
            `cache_key()`. A class from outside this package adds `source_fingerprint`, a key of its source code, so
            that results made before an edit of that code are not reused.

        """
        source = source_fingerprint(type(self))
        return self.cache_key() | ({} if source is None else {"source_fingerprint": source})


def _key_part(value: object) -> object:
    """Return `value` as JSON; a component inside it is replaced by its key."""
    if isinstance(value, Component):
        return value.key()
    if isinstance(value, Mapping):
        return {str(name): _key_part(of_name) for name, of_name in value.items()}
    if isinstance(value, list | tuple):
        return [_key_part(item) for item in value]
    return to_jsonable(value)


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
        ConfigError: The class is not a Component, or another class has this group and name.

    """

    def register(cls: C) -> C:
        """Register the class and return it unchanged.

        Raises:
            ConfigError: See `component`.

        """
        if not (isinstance(cls, type) and issubclass(cls, Component)):
            raise ConfigError(
                f'{defined_in(cls)}: @component("{group}", "{name}") is on {cls.__name__}, which is not a component; '
                f"derive it from the base class of {group}."
            )
        known = REGISTRY.setdefault(group, {}).setdefault(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f'{defined_in(cls)}: {cls.__name__} is registered as ("{group}", "{name}"), and so is '
                f"{known.__name__} in {defined_in(known)}; give one of them another name."
            )
        REGISTRY[group][name] = cls
        return cls

    return register


def registered_as(cls: type[Component]) -> tuple[str, str] | None:
    """Return the group and name that a class is registered under.

    Args:
        cls: The class itself; the registration of a base class does not count.

    Returns:
        The arguments of its `@component`, or None without one.

    """
    return next(((group, name) for group, of in REGISTRY.items() for name, known in of.items() if known is cls), None)


@contextmanager
def naming_plugin(component: Component, method: str) -> Iterator[None]:
    """Turn an exception inside a plugin's method into one sentence that names the plugin.

    Args:
        component: The component whose method is called; exceptions of built-in components pass unchanged.
        method: The method's name.

    Yields:
        Nothing.

    Raises:
        ConfigError: The component is a plugin and its method failed.

    """
    try:
        yield
    except AlchemistError:
        raise
    except Exception as error:
        cls = type(component)
        if source_fingerprint(cls) is None:
            raise
        raise ConfigError(
            f"{defined_in(cls)}: {cls.__name__}.{method} failed ({type(error).__name__}: {error}); correct it "
            "(debug=trace shows where)."
        ) from error


def defined_in(cls: type) -> str:
    """Return where a class is defined, for an error message.

    Args:
        cls: Any class.

    Returns:
        Its file, or the name of its module when there is no file.

    """
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
