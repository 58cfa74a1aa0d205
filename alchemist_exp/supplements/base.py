"""What a supplement is, and what it is made from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.component import Component
from alchemist_exp.core.types import IntArray, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.llm.types import LLM
from alchemist_exp.programs.trials import Trials


class TextOrigin(StrEnum):
    """Where a supplement's words are from."""

    NONE = "none"
    LLM = "llm"
    USER = "user"
    DATA = "data"
    DOCUMENTS = "documents"


@dataclass(frozen=True, kw_only=True)
class ResolvedSupplement:
    """A supplement as it goes into a prompt.

    strategy: its name in tables. sources: of the words, where they are not the LLM's own. gold_used: which gold labels
    they show ("valid: exemplars").
    """

    strategy: str
    text: str
    written_by: TextOrigin
    sources: tuple[str, ...] = ()
    gold_used: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Desk:
    """What a script is written from. gold: the labels that may be shown, by split."""

    data: TextData
    gold: Mapping[Split, IntArray]
    llm: LLM
    trials: Trials
    store: ArtifactCache


@dataclass(kw_only=True)
class Supplement(Component, ABC):
    """A supplement group member."""

    @property
    def strategy(self) -> str:
        """Its name in the record and the tables."""
        return self.name

    @property
    def needs_gold(self) -> bool:
        """Whether it shows labeled rows."""
        return False

    def members(self) -> tuple["Supplement", ...]:
        """The supplements it consists of; programs are written for each."""
        return (self,)

    @abstractmethod
    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """Asks what must be asked for it. LLMError when the LLM gave nothing that can be used."""
