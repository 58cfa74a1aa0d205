"""Labels by asking the LLM for each row: the baseline that programs are measured against (paper, Table 1)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels, Split
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall, Response
from alchemist_exp.methods.base import LabelingResult, LabelSources, Method, Parts, Workbench
from alchemist_exp.programs.trials import AssumedTrials
from alchemist_exp.prompts import zero_shot as prompts
from alchemist_exp.supplements.base import Desk

RESPONSE_TOKENS = 10
"""An answer like {"class": "spam"}."""

LABELED, UNPARSEABLE = "labeled", "unparseable"


@component("method", "zero_shot")
@dataclass(kw_only=True)
class ZeroShotMethod(Method):
    """One question per training row. An answer that names no class, or is refused, leaves its row without a label."""

    max_output_tokens: int = MISSING

    def __post_init__(self) -> None:
        if self.max_output_tokens < 1:
            raise ConfigError(f"method.max_output_tokens is {self.max_output_tokens}; 1 or more is needed.")

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """The LLM alone: there is one answer to a row, and nothing to weigh."""
        return (parts.llm,)

    def script(self, desk: Desk, parts: Parts) -> Dialogue[tuple[LLMCall, ...]]:
        """One question per row, none of which depends on another."""
        llm, task, texts = desk.llm, desk.data.task, desk.data.texts(Split.TRAIN)
        system, schema, most = prompts.system(task), prompts.schema(task), self.max_output_tokens
        requests = [
            llm.request(system, prompts.question(task, text), schema=schema, max_output_tokens=most) for text in texts
        ]
        what = f"asking for {len(texts):,} rows"
        calls = yield RequestBatch(description=what, requests=requests, response_tokens=RESPONSE_TOKENS, per_row=True)
        return tuple(calls)

    def label(self, bench: Workbench) -> LabelingResult:
        """Labels train. LLMError when no row got a label."""
        classes = bench.data.task.classes
        calls = run_dialogue(
            self.script(bench.desk(AssumedTrials(data=bench.data, accepting=True)), bench.parts), bench.answer
        )
        parsed = [_parsed(call.response, classes) for call in calls]
        votes = np.array([vote for vote, _ in parsed], dtype=np.int8)
        answers = Counter(what for _, what in parsed)
        covered = votes != ABSTAIN
        if not covered.any():
            counts = ", ".join(f"{count} {what}" for what, count in answers.items())
            first = single_line(calls[0].response.text)[:80]
            raise LLMError(
                f"none of {len(votes)} answers names a class ({counts}; the first is {first!r}); name another "
                "llm.model, or raise method.max_output_tokens if answers are truncated."
            )
        probs = np.zeros((len(votes), len(classes)), dtype=np.float32)
        probs[np.flatnonzero(covered), votes[covered]] = 1.0
        voters = LabelSources(
            source=self.name,
            requested=1,
            ids=(calls[0].response.model,),
            origins=(calls[0].response.model,),
            matrices={Split.TRAIN: LabelMatrix(votes=votes[:, np.newaxis], n_classes=len(classes))},
            answers=answers,
        )
        return LabelingResult(
            labels={Split.TRAIN: SoftLabels(probs=probs, covered=covered)},
            labeled_by=self.name,
            voters=voters,
            calls=tuple({call.request.key: call for call in calls}.values()),  # as paid
            balance=None,
            gold_used=(),
        )


def _parsed(reply: Response, classes: tuple[str, ...]) -> tuple[int, str]:
    """The vote a reply stands for, and what kind of answer it is."""
    if reply.finish_reason is not FinishReason.COMPLETE:
        return ABSTAIN, reply.finish_reason.value
    vote = prompts.parse_answer(reply.text, classes)
    return vote, UNPARSEABLE if vote == ABSTAIN else LABELED
