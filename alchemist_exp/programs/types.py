"""A labeling program and what becomes of it before it runs."""

from dataclasses import dataclass
from enum import StrEnum

from alchemist_exp.core.hashing import key_of

FUNCTION = "label_function"
"""The name every program must give its function."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a program was written.

    model: as the server names it. prompt: a key of the text that asks for such programs. reply: the key of the request,
    a repair's too. strategy: which supplement the prompt had. sample: which draw for this prompt. version: 0 for a
    draft, n after n repairs. usd: the list price of the reply, None where it is not known.
    """

    model: str
    prompt: str
    reply: str
    strategy: str
    sample: int
    version: int
    usd: float | None


@dataclass(frozen=True, kw_only=True)
class Program:
    """Python source that defines `label_function`.

    origin: where it came from, for people ("rules 3", "my_rules.py"). written: None where no LLM wrote it in this run.
    header: what its file says of it, by name.
    """

    source: str
    origin: str
    written: Provenance | None = None
    header: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """A short key of the source, for people: an attacker can make two programs that share one."""
        return key_of("program", self.source)[:12]

    @property
    def strategy(self) -> str:
        """The strategy it was written by; empty where no LLM wrote it."""
        return self.written.strategy if self.written else ""


class RejectionStage(StrEnum):
    """Where in the funnel a candidate was lost, in the funnel's order."""

    NO_REPLY = "no whole reply"
    NO_CODE = "no code"
    UNREADABLE = "unreadable file"
    TOO_LONG = "too long"
    SYNTAX = "syntax"
    SIGNATURE = "signature"
    IMPORT = "import"
    COPY = "copy"
    LOAD = "loading"
    FAULTS = "faults on probes"
    NONDETERMINISTIC = "not deterministic"
    NOT_FINISHED = "not finished"
    NO_VOTE = "no vote"
    CONSTANT = "constant"
    COVERAGE = "coverage"
    SAME_VOTES = "same votes"
    BELOW_CHANCE = "below chance"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A reply, file or program that will not vote, and why. program: None where there was no code at all."""

    origin: str
    stage: RejectionStage
    reason: str
    program: Program | None = None

    @property
    def id(self) -> str | None:
        """The program's."""
        return None if self.program is None else self.program.id


Candidate = Program | Rejected


@dataclass(frozen=True, kw_only=True)
class VettingResult:
    """What passed and what did not, each in its first order."""

    accepted: tuple[Program, ...]
    rejected: tuple[Rejected, ...]

    def __add__(self, other: "VettingResult") -> "VettingResult":
        return VettingResult(accepted=self.accepted + other.accepted, rejected=self.rejected + other.rejected)


EMPTY_RESULT = VettingResult(accepted=(), rejected=())


def reject(program: Program, stage: RejectionStage, reason: str) -> Rejected:
    """`program`, rejected."""
    return Rejected(origin=program.origin, stage=stage, reason=reason, program=program)
