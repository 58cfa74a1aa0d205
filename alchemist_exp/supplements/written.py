"""Supplements in words: none, the user's, or the LLM's in a first call (paper, Section 3.1)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import read_prefix, resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import FinishReason
from alchemist_exp.prompts import supplement as prompts
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, Supplement, TextOrigin

RESPONSE_TOKENS: Final = 450
"""How long supplements and programs are expected to be: about the mean of the recorded ones, for plans."""

_LONGEST: Final = 100_000
"""Characters of a user's supplement: more is a slip, and would go into every prompt."""


@component("supplement", "none")
@dataclass(kw_only=True)
class NoSupplement(Supplement):
    """The general prompt."""

    @property
    def strategy(self) -> str:
        """What the paper calls it."""
        return "general"

    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """Nothing is asked."""
        yield from ()
        return ResolvedSupplement(strategy=self.strategy, text="", written_by=TextOrigin.NONE)


@component("supplement", "written")
@dataclass(kw_only=True)
class WrittenSupplement(Supplement):
    """What the user says by `text` or in `file`, else what the LLM writes in a first call, as `instruction` says."""

    instruction: str = MISSING
    text: str | None = MISSING
    file: str | None = MISSING

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise ConfigError("supplement.instruction is empty; say what the LLM should write, or use supplement=none.")
        if self.text is not None and self.file is not None:
            raise ConfigError("supplement.text and supplement.file are both given; leave one of them out.")
        if self.text is not None:
            _require_words(self.text, "supplement.text")

    def check(self) -> None:
        """ConfigError when the user's file cannot be read."""
        _ = self.own

    def cache_key(self) -> dict[str, object]:
        """The user's words count, wherever they lie."""
        return super().cache_key() | {"text": self.own, "file": None}

    @cached_property
    def own(self) -> str | None:
        """The user's words; None where the LLM is to write. ConfigError when they cannot be had."""
        if self.file is None:
            return self.text
        try:
            text = read_prefix(resolve_user_path(self.file, "supplement.file"), 4 * _LONGEST + 4).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"supplement.file is {self.file!r}, which cannot be read: {reason}.") from error
        _require_words(text, f"the file {self.file}")
        return text

    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """One question, where the user gave no words."""
        if self.own is not None:
            sources = () if self.file is None else (self.file,)
            return ResolvedSupplement(
                strategy=self.strategy, text=self.own, written_by=TextOrigin.USER, sources=sources
            )
        text = yield from asked(desk, prompts.question(desk.data.task, self.instruction))
        return ResolvedSupplement(strategy=self.strategy, text=text, written_by=TextOrigin.LLM)


def _require_words(text: str, where: str) -> None:
    if not text.strip():
        raise ConfigError(f"{where} is empty; say something about the task, or use supplement=none.")
    if len(text) > _LONGEST:
        raise ConfigError(
            f"{where} has {len(text):,} characters, all of which would go into every prompt; {_LONGEST:,} at most. For "
            "long documents use supplement=rag."
        )


def asked(desk: Desk, question: str) -> Dialogue[str]:
    """The LLM's answer to `question`. LLMError when it gave none."""
    request = desk.llm.request(prompts.SYSTEM, question)
    (reply,) = yield RequestBatch(
        description="asking for the supplement", requests=[request], response_tokens=RESPONSE_TOKENS
    )
    if reply.response.finish_reason is not FinishReason.COMPLETE:
        raise LLMError(
            f"the reply to the supplement's question is {reply.response.finish_reason}; raise "
            "llm.max_output_tokens, name another llm.model, or use supplement=none."
        )
    return reply.response.text
