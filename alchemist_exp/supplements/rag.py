"""Passages of the user's documents that fit the task, as they are or summed up by the LLM (paper, Section 3.1)."""

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.task import Task
from alchemist_exp.llm.dialogue import Dialogue
from alchemist_exp.prompts import supplement as prompts
from alchemist_exp.retrieval import index
from alchemist_exp.supplements.base import Desk, ResolvedSupplement, Supplement, TextOrigin
from alchemist_exp.supplements.written import asked

_log = logging.getLogger(__name__)


@component("supplement", "rag")
@dataclass(kw_only=True)
class RetrievedSupplement(Supplement):
    """The `top` passages of the documents under `documents`, ranked by BM25 for the task and for each class."""

    documents: str = MISSING
    passage_words: int = MISSING
    top_k: int = MISSING
    queries: list[str] | None = MISSING
    summarize: bool = MISSING
    instruction: str = MISSING

    def __post_init__(self) -> None:
        if not self.documents.strip():
            raise ConfigError(
                "supplement.documents is empty; name a file or a folder, as in supplement.documents=docs."
            )
        for key, least in (("passage_words", 20), ("top_k", 1)):
            if getattr(self, key) < least:
                raise ConfigError(f"supplement.{key} is {getattr(self, key)}; {least} or more is needed.")
        if self.queries is not None and not any(query.strip() for query in self.queries):
            raise ConfigError("supplement.queries is empty; give words to search for, or null for the task's own.")

    @property
    def path(self) -> Path:
        """Where the documents lie."""
        return resolve_user_path(self.documents, "supplement.documents")

    def check(self) -> None:
        """DataError or ConfigError when there is nothing to read, or a package to read it is missing."""
        index.check(self.path)

    def cache_key(self) -> dict[str, object]:
        """The documents' content counts, wherever they lie."""
        return super().cache_key() | {"documents": index.fingerprint(self.path)}

    def script(self, desk: Desk) -> Dialogue[ResolvedSupplement]:
        """One question where the passages are to be summed up, else none. LLMError when no passage fits."""
        task = desk.data.task
        found = index.open_index(self.path, passage_words=self.passage_words, store=desk.store)
        _tell(f"{self.documents}: {found.summary()}", logging.WARNING if found.left_out else logging.INFO)
        queries = self.queries if self.queries is not None else _queries(task)
        passages = found.top(queries, self.top_k)
        if not passages:
            raise LLMError(
                f"no passage of {self.documents} has a word of the queries {queries}; give supplement.queries=[...] in "
                "the documents' words."
            )
        text = prompts.passages([(passage.text, passage.source) for passage in passages])
        if self.summarize:
            text = yield from asked(desk, prompts.summary_question(task, text, self.instruction))
        return ResolvedSupplement(
            strategy=self.strategy,
            text=text,
            written_by=TextOrigin.LLM if self.summarize else TextOrigin.DOCUMENTS,
            sources=tuple(passage.source for passage in passages),
        )


@cache
def _tell(text: str, level: int) -> None:
    """Once: a plan follows its script twice."""
    _log.log(level, text)


def _queries(task: Task) -> list[str]:
    """The task, and each class of it."""
    return [task.description, *(f"{task.subject} {name}" for name in task.classes)]
