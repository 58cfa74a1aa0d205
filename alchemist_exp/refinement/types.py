"""What rounds of improvement result in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alchemist_exp.core.types import SoftLabels, Split
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.programs.types import Candidate, Program
from alchemist_exp.refinement.weaknesses import Weakness


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What a round makes of a set of programs.

    Attributes:
        programs: The programs after the round; those before it if the round is reverted.
        left_out: Why a program that was in the set, or wanted to join it, is not in it; by source.
        reverted: Why the programs are those before the round; "" if they are others.
        value: The value of `programs` on the rows that decide, see `gates.bank_value`.
        labels: The soft labels of `programs` on each split.

    """

    programs: tuple[Program, ...]
    left_out: Mapping[str, str]
    reverted: str
    value: float
    labels: Mapping[Split, SoftLabels]


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """One round, or the first programs as round 0.

    Attributes:
        number: 0 for the first programs, then 1, 2 and so on.
        weaknesses: What the requested programs are to work on.
        candidates: The candidates, repairs included.
        accepted: Those that vetting accepted.
        calls: The LLM calls, each once.
        verdict: What the round makes of the programs.

    """

    number: int
    weaknesses: tuple[Weakness, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    accepted: tuple[Program, ...] = ()
    calls: tuple[LLMCall, ...] = ()
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class RefinedPrograms:
    """The first programs and those of all rounds.

    Attributes:
        candidates: All candidates in the order in which they were written.
        left_out: Why an accepted program does not vote; by source.
        rounds: The rounds, beginning with the first programs as round 0; empty without rounds.
        stopped: Why there was no further round; "" without rounds.
        out_of_budget: Whether that is because the budget is used up.

    """

    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    stopped: str = ""
    out_of_budget: bool = False

    @property
    def calls(self) -> tuple[LLMCall, ...]:
        """The LLM calls of all rounds, each once."""
        return tuple({call.request.key: call for one in self.rounds for call in one.calls}.values())
