"""Several strategies in one run, with programs from each (paper, Section 4.4)."""

from dataclasses import dataclass

from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.supplements.base import ResolvedSupplement, Supplement


@component("supplement", "mixed")
@dataclass(kw_only=True)
class MixedSupplement(Supplement):
    """Several strategies.

    Attributes:
        strategies: The names of the strategies that are used.
        of: The configuration of each strategy, by name.

    """

    strategies: list[str] = MISSING
    of: dict[str, Supplement] = MISSING

    def __post_init__(self) -> None:
        """Refuse no strategies, unknown ones, and two of the same name."""
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise ConfigError(f"supplement.strategies is {self.strategies}; expected 1 or more different strategies.")
        for name in self.strategies:
            if name not in self.of:
                added = " Another member of the group is added by +supplement@supplement.of.NAME=MEMBER."
                raise ConfigError(unknown_name("the strategy", name, self.of) + added)
        names = [member.strategy for member in self.members()]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"supplement.strategies gives the names {names}; give each strategy a different supplement.of.X.name."
            )

    def members(self) -> tuple[Supplement, ...]:
        """Return the named strategies, in their order."""
        return tuple(member for name in self.strategies for member in self.of[name].members())

    @property
    def needs_gold(self) -> bool:
        """Whether one of the strategies shows labeled rows."""
        return any(member.needs_gold for member in self.members())

    def check(self) -> None:
        """Check each of the strategies."""
        for member in self.members():
            member.check()

    def cache_key(self) -> dict[str, object]:
        """Return the keys of the strategies that are used."""
        return {"name": self.name, "of": [member.key() for member in self.members()]}

    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Raise TypeError: only the members have a text."""
        raise TypeError(f"{self.name} combines several supplements: resolve its members")
