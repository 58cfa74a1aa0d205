"""The common ground of everything a configuration group can hold."""

from dataclasses import dataclass

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
