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
from alchemist_exp.core.types import ABSTAIN, IntArray, LabelMatrix, SoftLabels, Split
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

_MAX_REASONS: Final = 5
_MAX_ROWS: Final = 10
_REASON_LENGTH: Final = 200
"""Reasons that a note names, the rows of each, and its characters."""


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
        """Refuse a `max_output_tokens` below 1."""
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
        parsed = [parse_response(call.response, classes) for call in calls]
        votes = np.array([vote for vote, _ in parsed], dtype=np.int8)
        kinds = Counter(kind for _, kind in parsed)
        covered = votes != ABSTAIN
        failed = describe_failed(context, calls)
        if not covered.any():
            raise LLMError(explain_no_label(kinds, calls[0].response, failed))
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
            notes=(f"{failed}.{retry_advice(context)}",) if failed else (),
        )


def retry_advice(context: RunContext) -> str:
    """Return how rows without a response are asked for again, as a sentence after a blank; "" if they cannot be."""
    return " With llm.retry_failed=true the same run asks for these rows again." * hasattr(context.llm, "retry_failed")


def describe_failed(context: RunContext, calls: Sequence[LLMCall], rows_of_train: IntArray | None = None) -> str:
    """Name the rows without a complete response, by their reasons.

    Args:
        context: What the stages of the run share.
        calls: The calls, one per row.
        rows_of_train: int64 array of shape (n_calls,): the row that each call is about; None for all rows in order.

    Returns:
        A sentence without its full stop; "" if there are none.

    """
    data = context.data
    numbers, rows = data.rows_of_input(Split.TRAIN), dict[str, list[str]]()
    if rows_of_train is not None:
        numbers = numbers[rows_of_train]
    for row, call in enumerate(calls):
        kind = call.response.finish_reason
        if kind.value in FAILED_KINDS:
            # The text of a truncated response is a part of an answer, and that of the others says why there is none.
            reason = single_line(call.response.text)[:_REASON_LENGTH].rstrip(". ")
            stated = reason and kind in (FinishReason.REFUSED, FinishReason.FAILED)
            rows.setdefault(f"{kind}: {reason}" if stated else kind.value, []).append(f"{numbers[row] + 1}")
    if not rows:
        return ""
    groups = [
        f"row{'s' * (len(listed) > 1)} {', '.join(listed[:_MAX_ROWS])}"
        f"{f' and {len(listed) - _MAX_ROWS:,} more' if len(listed) > _MAX_ROWS else ''} ({reason})"
        for reason, listed in rows.items()
    ]
    more = [f"and {len(groups) - _MAX_REASONS:,} more reasons"] * (len(groups) > _MAX_REASONS)
    n_failed, file = sum(map(len, rows.values())), Path(data.files.get(Split.TRAIN, Split.TRAIN)).name
    shown = ", ".join([*groups[:_MAX_REASONS], *more])
    return f"{n_failed:,} of {len(calls):,} rows of {file} got no response: {shown}"


def explain_no_label(kinds: Mapping[str, int], first: Response, failed: str) -> str:
    """Return the sentence for a run in which no row got a label, with the advice that fits the responses.

    Args:
        kinds: The number of responses of each kind.
        first: The first response.
        failed: What `describe_failed` returned.

    """
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


def parse_response(response: Response, classes: tuple[str, ...]) -> tuple[int, str]:
    """Return the vote of a response, and the kind of response it is.

    Args:
        response: The response.
        classes: The class names.

    Returns:
        The class index or `ABSTAIN`; and `LABELED`, `UNPARSEABLE` or one of `FAILED_KINDS`.

    """
    if response.finish_reason is not FinishReason.COMPLETE:
        return ABSTAIN, response.finish_reason.value
    vote = prompts.parse_answer(response.text, classes)
    return vote, UNPARSEABLE if vote == ABSTAIN else LABELED
