"""A labeling program and what becomes of it before it runs."""

from dataclasses import dataclass

from alchemist_exp.core.hashing import key_of

FUNCTION = "label_function"
"""The name every program must give its function."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """Python source that defines `label_function`. origin: where it came from ("sample 3", "my_rules.py")."""

    source: str
    origin: str

    @property
    def id(self) -> str:
        """A short key of the source, for people: an attacker can make two programs that share one."""
        return key_of("program", self.source)[:12]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A reply or file that gave no program to run, and why. id: None where there was no code at all."""

    origin: str
    reason: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Vetted:
    """What passed and what did not, each in its first order."""

    accepted: tuple[Program, ...]
    rejected: tuple[Rejected, ...]
