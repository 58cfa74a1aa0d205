"""Several strategies in one run, programs from each (paper, Section 4.4)."""

from dataclasses import dataclass

from omegaconf import MISSING

from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, Supplement


@component("supplement", "mixed")
@dataclass(kw_only=True)
class MixedSupplement(Supplement):
    """The strategies named in `strategies`, each as it stands in `of`."""

    strategies: list[str] = MISSING
    of: dict[str, Supplement] = MISSING

    def __post_init__(self) -> None:
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise ConfigError(
                f"supplement.strategies is {self.strategies}; different strategies, 1 or more, are needed."
            )
        for name in self.strategies:
            if name not in self.of:
                added = " Another member of the group is added by +supplement@supplement.of.NAME=MEMBER."
                raise ConfigError(unknown_name("the strategy", name, self.of) + added)
        names = [member.strategy for member in self.members()]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"supplement.strategies gives the names {names}; give each its own by supplement.of.X.name."
            )

    def members(self) -> tuple[Supplement, ...]:
        """The named ones, in their order."""
        return tuple(member for name in self.strategies for member in self.of[name].members())

    @property
    def needs_gold(self) -> bool:
        """Whether one of them does."""
        return any(member.needs_gold for member in self.members())

    def check(self) -> None:
        """Each of them."""
        for member in self.members():
            member.check()

    def cache_key(self) -> dict[str, object]:
        """Those that are used."""
        return {"name": self.name, "of": [member.key() for member in self.members()]}

    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """Its members have scripts; there is none for all."""
        raise TypeError(f"{self.name} is several supplements: follow the scripts of its members")
