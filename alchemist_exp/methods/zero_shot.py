"""Zero-shot prompting: the LLM is asked for the class of each row, the paper's baseline (Table 1)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.core.types import ABSTAIN, LabelMatrix, SoftLabels, Split
from alchemist_exp.data.base import TextData
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

FAILED_KINDS: Final = frozenset(reason.value for reason in FinishReason if reason is not FinishReason.COMPLETE)
"""The kinds of responses that are not cached, so that the rows can be asked for again."""

_MAX_SHOWN: Final = 10
_REASON_LENGTH: Final = 200
"""Rows without a response that a note names, and the characters of each reason."""


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
        failed = _describe_failed(context.data, calls)
        if not covered.any():
            raise LLMError(_explain_no_label(kinds, calls[0].response, failed))
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
            notes=(f"{failed}. With llm.retry_failed=true the same run asks for these rows again.",) if failed else (),
        )


def _describe_failed(data: TextData, calls: Sequence[LLMCall]) -> str:
    """Name the rows without a complete response, and the reasons; empty if there are none."""
    failed = [
        (row, call.response) for row, call in enumerate(calls) if call.response.finish_reason.value in FAILED_KINDS
    ]
    numbers = data.rows_of_input(Split.TRAIN)
    shown = [
        f"row {numbers[row] + 1} ({response.finish_reason}: {single_line(response.text)[:_REASON_LENGTH]})"
        if response.finish_reason in (FinishReason.REFUSED, FinishReason.FAILED)
        else f"row {numbers[row] + 1} ({response.finish_reason})"
        for row, response in failed[:_MAX_SHOWN]
    ]
    more = f" and {len(failed) - _MAX_SHOWN:,} more" if len(failed) > _MAX_SHOWN else ""
    file = Path(data.files.get(Split.TRAIN, Split.TRAIN)).name
    return f"{len(failed):,} of {len(calls):,} rows got no response: {', '.join(shown)}{more} of {file}" * bool(failed)


def _explain_no_label(kinds: Mapping[str, int], first: Response, failed: str) -> str:
    """Return the sentence for a run in which no row got a label, with the advice that fits the responses."""
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    problem = f"none of {sum(kinds.values())} responses names a class ({counts}"
    if kinds.get(UNPARSEABLE):
        problem += f"; the first is {single_line(first.text)[:80]!r}"
    advice = {
        UNPARSEABLE: "check the column of the texts, dataset.classes and dataset.zero_shot_prompt, or use another "
        "llm.model",
        FinishReason.TRUNCATED.value: "raise method.max_output_tokens",
        FinishReason.EMPTY.value: "use another llm.model",
    }
    fitting = [text for kind, text in advice.items() if kinds.get(kind)]
    return f"{problem}){f'; {failed}' if failed else ''}{'; ' if fitting else ''}{', and '.join(fitting)}."


def _parse(response: Response, classes: tuple[str, ...]) -> tuple[int, str]:
    """The vote of a response, and the kind of response it is."""
    if response.finish_reason is not FinishReason.COMPLETE:
        return ABSTAIN, response.finish_reason.value
    vote = prompts.parse_answer(response.text, classes)
    return vote, UNPARSEABLE if vote == ABSTAIN else LABELED
