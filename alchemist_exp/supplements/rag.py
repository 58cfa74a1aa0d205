"""Passages of the user's documents about the task, as they are or summed up by the LLM (paper, Section 3.1)."""

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.retrieval import index
from alchemist_exp.supplements.base import ResolvedSupplement, Supplement, TextOrigin
from alchemist_exp.supplements.written import ask_for_text

_log = logging.getLogger(__name__)


@component("supplement", "rag")
@dataclass(kw_only=True)
class RetrievedSupplement(Supplement):
    """Passages of documents, ranked by BM25 for the task and for each class.

    Attributes:
        documents: A file or a directory.
        passage_words: The approximate length of a passage.
        top_k: How many passages the prompt contains.
        queries: What is searched for; None for the task and its classes.
        summarize: Whether the LLM sums the passages up.
        instruction: What the LLM is asked then.

    """

    documents: str = MISSING
    passage_words: int = MISSING
    top_k: int = MISSING
    queries: list[str] | None = MISSING
    summarize: bool = MISSING
    instruction: str = MISSING

    def __post_init__(self) -> None:
        """Refuse empty documents and queries, and numbers that are too small."""
        if not self.documents.strip():
            raise ConfigError(
                "supplement.documents is empty; name a file or a directory, as in supplement.documents=docs."
            )
        for key, least in (("passage_words", 20), ("top_k", 1)):
            if getattr(self, key) < least:
                raise ConfigError(f"supplement.{key} is {getattr(self, key)}; expected {least} or more.")
        if self.queries is not None and not any(query.strip() for query in self.queries):
            raise ConfigError("supplement.queries is empty; give words to search for, or null for the task's own.")

    @property
    def path(self) -> Path:
        """The absolute path of the documents."""
        return resolve_user_path(self.documents, "supplement.documents")

    def check(self) -> None:
        """Raise DataError or ConfigError when there is nothing to read or a package for it is missing."""
        index.check(self.path)

    def cache_key(self) -> dict[str, object]:
        """Return all values, and the content of the documents instead of their path."""
        return super().cache_key() | {"documents": index.fingerprint(self.path)}

    def resolve(self, context: RunContext, trials: ProgramTrials) -> Dialogue[ResolvedSupplement]:
        """Return the best passages; one LLM call when they are to be summed up."""
        task = context.data.task
        found = index.open_index(self.path, passage_words=self.passage_words, store=context.cache)
        _log_once(f"{self.documents}: {found.summary()}", logging.WARNING if found.skipped else logging.INFO)
        queries = self.queries
        if queries is None:
            queries = [task.description, *(f"{task.subject} {name}" for name in task.classes)]
        passages = found.top(queries, self.top_k)
        if not passages:
            raise LLMError(
                f"no passage of {self.documents} has a word of the queries {queries}; give 'supplement.queries=[...]' "
                "with words of the documents."
            )
        text = context.prompts.passage_supplement(task, [(passage.text, passage.source) for passage in passages])
        if self.summarize:
            text = yield from ask_for_text(context, context.prompts.supplement_request(task, self.instruction, text))
        return ResolvedSupplement(
            strategy=self.strategy,
            text=text,
            text_origin=TextOrigin.LLM if self.summarize else TextOrigin.DOCUMENTS,
            sources=tuple(passage.source for passage in passages),
        )


@cache
def _log_once(text: str, level: int) -> None:
    """Log each text once, because a plan runs its dialogue twice."""
    _log.log(level, text)
