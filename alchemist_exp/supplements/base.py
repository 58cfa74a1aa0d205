"""What a supplement is: extra text before the task in the prompt that asks for programs (paper, Section 3.1)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import Component
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.programs.trials import ProgramTrials


class TextOrigin(StrEnum):
    """Where the text of a supplement is from."""

    NONE = "none"
    LLM = "llm"
    USER = "user"
    DATA = "data"
    DOCUMENTS = "documents"


@dataclass(frozen=True, kw_only=True)
class ResolvedSupplement:
    """A supplement as the prompt contains it.

    Attributes:
        strategy: Its name in the record and the tables.
        text: The text; empty for the general prompt.
        text_origin: Where the text is from.
        sources: Files or rows that the text quotes.
        gold_used: The gold labels that the text shows, for example "valid: exemplars, 10 rows shown to the LLM".

    """

    strategy: str
    text: str
    text_origin: TextOrigin
    sources: tuple[str, ...] = ()
    gold_used: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Supplement(Component, ABC):
    """A strategy of asking for programs: what the prompt says before the task.

    Example:
        A supplement that is always the same text; its dialogue makes no LLM call.

        >>> class Fixed(Supplement):
        ...     def resolve(self, context, trials):
        ...         yield from ()
        ...         return ResolvedSupplement(strategy=self.strategy, text="Be brief.", text_origin=TextOrigin.USER)
        >>> from alchemist_exp.llm.dialogue import run_dialogue
        >>> run_dialogue(Fixed(name="fixed").resolve(None, None), respond=None).text
        'Be brief.'

    """

    @property
    def strategy(self) -> str:
        """Its name in the record and the tables."""
        return self.name

    @property
    def needs_gold(self) -> bool:
        """Whether it shows labeled rows."""
        return False

    def members(self) -> tuple["Supplement", ...]:
        """Return the supplements that it consists of; programs are written for each.

        Returns:
            Itself, unless it combines several strategies.

        """
        return (self,)

    @abstractmethod
    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Ask the LLM what must be asked, and return the supplement's text.

        Args:
            context: What the stages of the run share.
            trials: Trials of programs, for supplements that depend on votes or features.

        Returns:
            The resolved supplement, at the end of the dialogue.

        Raises:
            LLMError: The LLM gave no text that can be used.

        """
