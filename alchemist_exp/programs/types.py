"""A labeling program, and the result of vetting candidates for one."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.hashing import key_of

FUNCTION = "label_function"
"""The name of the function that every program must define."""

Votes = npt.NDArray[np.int8] | npt.NDArray[np.int64]
"""A class per row; for several classes per row, masks."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How an LLM wrote a program.

    Attributes:
        model: The model's name, as the server gives it.
        prompt_key: A key of the prompt that asks for such programs.
        response_key: The key of the LLM response, which is that of its request; for a repair, of the repair request.
        strategy: The strategy whose supplement the prompt had.
        sample: The number of the draw for this prompt, from 0.
        version: 0 for a first draft, n after n repairs.
        list_price_usd: The list price of the response in US dollars; None when it is not known.

    """

    model: str
    prompt_key: str
    response_key: str
    strategy: str
    sample: int
    version: int
    list_price_usd: float | None


@dataclass(frozen=True, kw_only=True)
class Program:
    """Python source that defines `label_function`.

    Attributes:
        source: The source.
        origin: Where it is from, for people: "rules 3" or "my_rules.py".
        provenance: How an LLM wrote it; None when no LLM wrote it in this run.
        header: The lines of its file's header, by name.

    """

    source: str
    origin: str
    provenance: Provenance | None = None
    header: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """A short key of the source, for people: two hostile programs can share one, so nothing is looked up by it."""
        return key_of("program", self.source)[:12]

    @property
    def strategy(self) -> str:
        """The strategy it was written with; empty when no LLM wrote it."""
        return self.provenance.strategy if self.provenance else ""


class RejectionStage(StrEnum):
    """The vetting stage that rejected a candidate, in the order of the stages."""

    NO_RESPONSE = "no complete response"
    NO_CODE = "no code"
    UNREADABLE = "unreadable file"
    TOO_LONG = "too long"
    SYNTAX = "syntax"
    SIGNATURE = "signature"
    IMPORT = "import"
    DUPLICATE = "duplicate"
    LOAD = "loading"
    ERRORS = "errors on probe rows"
    NONDETERMINISTIC = "not deterministic"
    NOT_FINISHED = "not finished"
    NO_VOTE = "no vote"
    CONSTANT = "constant"
    COVERAGE = "coverage"
    SAME_VOTES = "same votes"
    BELOW_CHANCE = "below chance"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A response, file or program that does not vote.

    Attributes:
        origin: Where the candidate is from, for people.
        stage: The vetting stage that rejected it.
        reason: One sentence.
        program: The program; None when there was no code.

    """

    origin: str
    stage: RejectionStage
    reason: str
    program: Program | None = None

    @property
    def id(self) -> str | None:
        """The program's id; None when there was no code."""
        return None if self.program is None else self.program.id


Candidate = Program | Rejected
"""A program before vetting, or what a response or file turned out to be instead."""


@dataclass(frozen=True, kw_only=True)
class VettingResult:
    """The accepted programs and the rejected candidates, each in the order in which they were given."""

    accepted: tuple[Program, ...]
    rejected: tuple[Rejected, ...]


def reject(program: Program, stage: RejectionStage, reason: str) -> Rejected:
    """Return `program` as a rejected candidate.

    Args:
        program: The program.
        stage: The stage that rejects it.
        reason: One sentence.

    Returns:
        The rejection, with the program in it.

    """
    return Rejected(origin=program.origin, stage=stage, reason=reason, program=program)
