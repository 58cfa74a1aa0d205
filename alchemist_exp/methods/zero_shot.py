"""Zero-shot prompting: the LLM is asked for the class of each row, the paper's baseline (Table 1)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels, Split
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response
from alchemist_exp.methods.base import SoftLabelMethod
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import ProgramTrials
from alchemist_exp.prompts import zero_shot as prompts
from alchemist_exp.supplements.base import Supplement

RESPONSE_TOKENS: Final = 10
"""The expected length of a response such as {"class": "spam"}, for plans."""

LABELED, UNPARSEABLE = "labeled", "unparseable"


@component("method", "zero_shot")
@dataclass(kw_only=True)
class ZeroShotMethod(SoftLabelMethod):
    """One request per training row. A response that names no class leaves its row without a label.

    Attributes:
        max_output_tokens: The longest response.

    """

    uses = ("llm", "prompt")
    labels_images = False
    max_output_tokens: int = MISSING

    def __post_init__(self) -> None:
        if self.max_output_tokens < 1:
            raise ConfigError(f"method.max_output_tokens is {self.max_output_tokens}; expected 1 or more.")

    def dialogue(
        self,
        context: RunContext,
        trials: ProgramTrials | None = None,
        supplement: Supplement | None = None,
        repair: Repair | None = None,
    ) -> Dialogue[tuple[LLMCall, ...]]:
        """Ask about every training row in one batch of requests."""
        texts = context.data.texts(Split.TRAIN)
        requests = self.requests(context, texts)
        what = f"asking for {len(texts):,} rows"
        calls = yield RequestBatch(description=what, requests=requests, response_tokens=RESPONSE_TOKENS, per_row=True)
        return tuple(calls)

    def requests(self, context: RunContext, texts: Sequence[str]) -> list[Request]:
        """Build the requests that ask about rows.

        Args:
            context: What the stages of the run share.
            texts: The rows.

        Returns:
            One request per row.

        """
        task, show = context.data.task, context.data.kind.show
        system, schema = context.prompts.zero_shot_instructions(task), prompts.schema(task)
        return [
            context.llm.request(
                system, prompts.question(task, show(text)), schema=schema, max_output_tokens=self.max_output_tokens
            )
            for text in texts
        ]

    def label(self, context: RunContext) -> LabelingResult:
        """Label train with one vote per row."""
        classes = context.data.task.classes
        calls = run_dialogue(self.dialogue(context), context.answer)
        parsed = [_parse(call.response, classes) for call in calls]
        votes = np.array([vote for vote, _ in parsed], dtype=np.int8)
        kinds = Counter(kind for _, kind in parsed)
        covered = votes != ABSTAIN
        if not covered.any():
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            first = single_line(calls[0].response.text)[:80]
            raise LLMError(
                f"none of {len(votes)} responses names a class ({counts}; the first is {first!r}); use another "
                "llm.model, or raise method.max_output_tokens if responses are truncated."
            )
        probs = np.zeros((len(votes), len(classes)), dtype=np.float32)
        probs[np.flatnonzero(covered), votes[covered]] = 1.0
        model = (calls[0].response.model,)
        sources = LabelSources(
            method=self.name,
            n_requested=1,
            ids=model,
            origins=model,
            matrices={Split.TRAIN: LabelMatrix(votes=votes[:, np.newaxis], n_classes=len(classes))},
            responses=kinds,
        )
        return LabelingResult(
            labels={Split.TRAIN: SoftLabels(probs=probs, covered=covered)},
            labeled_by=self.name,
            sources=sources,
            calls=tuple({call.request.key: call for call in calls}.values()),  # equal rows are asked about once
        )


def _parse(response: Response, classes: tuple[str, ...]) -> tuple[int, str]:
    """The vote of a response, and the kind of response it is."""
    if response.finish_reason is not FinishReason.COMPLETE:
        return ABSTAIN, response.finish_reason.value
    vote = prompts.parse_answer(response.text, classes)
    return vote, UNPARSEABLE if vote == ABSTAIN else LABELED
