"""Refinement: whether the LLM is asked for further programs after the first ones, and what it is shown."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError

_MAX_ROUNDS: Final = 20
_MAX_PROGRAMS: Final = 100


class Show(StrEnum):
    """What the prompts of a round show. Members are in lower case because a configuration names them."""

    none = "none"
    rows = "rows"


@component("refine", "none")
@dataclass(kw_only=True)
class Refinement(Component):
    """No rounds: the first programs are all programs."""

    @property
    def has_rounds(self) -> bool:
        """Whether the LLM is asked for further programs."""
        return False


@component("refine", "rounds")
@dataclass(kw_only=True)
class Rounds(Refinement):
    """Rounds of further programs; conf/refine/rounds.yaml explains each value."""

    rounds: int = MISSING
    n_programs: int = MISSING
    show: Show = MISSING
    n_rows: int = MISSING

    @property
    def has_rounds(self) -> bool:
        """Whether the LLM is asked for further programs."""
        return True

    def __post_init__(self) -> None:
        """Refuse numbers of rounds, programs and rows out of range."""
        for key, value, most in (
            ("rounds", self.rounds, _MAX_ROUNDS),
            ("n_programs", self.n_programs, _MAX_PROGRAMS),
            ("n_rows", self.n_rows, 50),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"refine.{key} is {value}; expected 1 to {most}.")
