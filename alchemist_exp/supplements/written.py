"""Supplements in words: none, the user's, or what the LLM writes in a first call (paper, Section 3.1)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.atomic_io import read_prefix, resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.reasoning import without_reasoning
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason
from alchemist_exp.programs.generation import RESPONSE_TOKENS
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.supplements.base import ResolvedSupplement, Supplement, TextOrigin

_MAX_CHARACTERS: Final = 100_000
"""Characters of a user's supplement. A longer one is a mistake, and every prompt would contain it."""


@component("supplement", "none")
@dataclass(kw_only=True)
class NoSupplement(Supplement):
    """The general prompt, which begins with the task."""

    @property
    def strategy(self) -> str:
        """The paper's name of it."""
        return "general"

    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Return an empty text; makes no LLM call."""
        yield from ()
        return ResolvedSupplement(strategy=self.strategy, text="", text_origin=TextOrigin.NONE)


@component("supplement", "written")
@dataclass(kw_only=True)
class WrittenSupplement(Supplement):
    """The user's text, or what the LLM writes in a first call when there is none.

    Attributes:
        instruction: What the LLM is asked to write.
        text: The user's text.
        file: A file with the user's text.

    """

    instruction: str = MISSING
    text: str | None = MISSING
    file: str | None = MISSING

    def __post_init__(self) -> None:
        """Refuse an empty instruction, and a text in addition to a file."""
        if not self.instruction.strip():
            raise ConfigError("supplement.instruction is empty; say what the LLM should write, or use supplement=none.")
        if self.text is not None and self.file is not None:
            raise ConfigError("supplement.text and supplement.file are both given; leave one of them out.")
        if self.text is not None:
            _check_length(self.text, "supplement.text")

    def check(self) -> None:
        """Raise ConfigError when the user's file cannot be read."""
        _ = self.user_text

    def cache_key(self) -> dict[str, object]:
        """Return all values; the file's content instead of its path."""
        return super().cache_key() | {"text": self.user_text, "file": None}

    @cached_property
    def user_text(self) -> str | None:
        """The user's text; None when the LLM is to write one."""
        if self.file is None:
            return self.text
        limit = 4 * _MAX_CHARACTERS + 4  # bytes: UTF-8 has up to four for a character, and a byte order mark
        try:
            text = read_prefix(resolve_user_path(self.file, "supplement.file"), limit).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"supplement.file is {self.file!r}, which cannot be read: {reason}.") from error
        _check_length(text, f"the file {self.file}")
        return text

    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Return the user's text, or make one LLM call."""
        if self.user_text is not None:
            sources = () if self.file is None else (self.file,)
            return ResolvedSupplement(
                strategy=self.strategy, text=self.user_text, text_origin=TextOrigin.USER, sources=sources
            )
        text = yield from ask_for_text(context, context.prompts.supplement_request(context.data.task, self.instruction))
        return ResolvedSupplement(strategy=self.strategy, text=text, text_origin=TextOrigin.LLM)


def _check_length(text: str, where: str) -> None:
    if not text.strip():
        raise ConfigError(f"{where} is empty; say something about the task, or use supplement=none.")
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(
            f"{where} has {len(text):,} characters, all of which every prompt would contain; {_MAX_CHARACTERS:,} at "
            "most. For long documents use supplement=rag."
        )


def ask_for_text(context: RunContext, prompt: str) -> Dialogue[str]:
    """Ask the LLM for the text of a supplement.

    Args:
        context: What the stages of the run share.
        prompt: The prompt.

    Returns:
        The text of the response.

    Raises:
        LLMError: The response is truncated, refused or empty, or has nothing but reasoning.

    """
    request = context.llm.request(context.prompts.supplement_system, prompt)
    batch = RequestBatch(description="asking for the supplement", requests=[request], response_tokens=RESPONSE_TOKENS)
    (call,) = yield batch
    if (reason := call.response.finish_reason) is not FinishReason.COMPLETE:
        advice = "raise llm.max_output_tokens" if reason is FinishReason.TRUNCATED else "use another llm.model"
        raise LLMError(f"the response to the supplement's question is {reason}; {advice}, or use supplement=none.")
    text = without_reasoning(call.response.text)
    if not text.strip():
        raise LLMError(
            "the response to the supplement's question has nothing but reasoning; raise llm.max_output_tokens, use "
            "another llm.model, or use supplement=none."
        )
    # A text without reasoning stays as it is: the keys of the cached programs depend on it.
    return text if text == call.response.text else text.strip()
