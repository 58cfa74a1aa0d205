"""Programs label the rows, and an LLM labels the rows of train that their votes leave in doubt. Not in the paper."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from omegaconf import MISSING

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.llm.budget import BudgetError
from alchemist_exp.llm.dialogue import Dialogue, RequestBatch
from alchemist_exp.llm.types import LLMCall, Request
from alchemist_exp.methods.alchemist import AlchemistMethod
from alchemist_exp.methods.doubt import doubtful_rows, tie_key
from alchemist_exp.methods.types import AskedRows, GeneratedPrograms, LabelingResult
from alchemist_exp.methods.zero_shot import (
    RESPONSE_TOKENS,
    ZeroShotMethod,
    describe_failed,
    explain_no_label,
    parse_response,
    retry_advice,
)
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.trials import AssumedTrials, ProgramTrials
from alchemist_exp.supplements.base import Supplement

OVER_BUDGET: Final = "over_budget"
"""The outcome of rows that were not asked about because the budget was used up."""


@component("method", "hybrid")
@dataclass(kw_only=True)
class HybridMethod(AlchemistMethod):
    """Programs as of `AlchemistMethod`; then one request for each of the rows that are uncovered or contested.

    Attributes:
        n_rows: Most rows of different text that the LLM is asked about; None for all doubtful rows.
        llm_confidence: The probability of the class that a response names; the other classes share the rest.
        max_output_tokens: The longest response about a row.

    """

    labels_images = False
    supports_multi_label = False
    n_rows: int | None = MISSING
    llm_confidence: float = MISSING
    max_output_tokens: int = MISSING

    def __post_init__(self) -> None:
        """Refuse numbers below 1 and a confidence outside 0.5 to 1."""
        super().__post_init__()
        if self.n_rows is not None and self.n_rows < 1:
            raise ConfigError(
                f"method.n_rows is {self.n_rows}; expected 1 or more rows, or null for all doubtful rows. Programs "
                "alone are method=alchemist."
            )
        if not 0.5 < self.llm_confidence <= 1:
            raise ConfigError(
                f"method.llm_confidence is {self.llm_confidence:g}; expected a probability above 0.5, at most 1."
            )
        if self.max_output_tokens < 1:
            raise ConfigError(f"method.max_output_tokens is {self.max_output_tokens}; expected 1 or more.")

    def dialogue(
        self, context: RunContext, trials: ProgramTrials, supplement: Supplement, repair: Repair
    ) -> Dialogue[GeneratedPrograms]:
        """Ask for programs. A plan, which has no votes, then asks about as many rows as a run at most asks about."""
        generated = yield from super().dialogue(context, trials, supplement, repair)
        if isinstance(trials, AssumedTrials):
            texts = context.data.texts(Split.TRAIN)
            distinct = sorted({context.data.kind.show(text): text for text in texts}.values(), key=tie_key)
            requests = self._requests(context, distinct)
            if self.n_rows is not None and self.n_rows < len(distinct):
                # Those with a cached response first: a run with fewer rows asks about the first of the rows of a run
                # with more, so what is cached is not paid again.
                cached = [request for request in requests if context.llm_client.cached_response(request)]
                keys = {request.key for request in cached}
                requests = [*cached, *(request for request in requests if request.key not in keys)][: self.n_rows]
            yield self._batch(requests)
        return generated

    def add_labels(self, context: RunContext, result: LabelingResult) -> LabelingResult:
        """Ask the LLM about the most doubtful rows of train."""
        texts = context.data.texts(Split.TRAIN)
        doubtful = doubtful_rows(result.sources.matrices[Split.TRAIN], texts)
        shown = [context.data.kind.show(texts[row]) for row in doubtful]
        first_of = {text: i for i, text in reversed([*enumerate(shown)])}  # equal texts are asked about once
        distinct = sorted(first_of.values())[: self.n_rows]
        wanted = self._requests(context, [texts[doubtful[i]] for i in distinct])
        calls, refusal = self._answer(context, wanted)
        of_text = {shown[i]: request.key for i, request in zip(distinct, wanted, strict=True)}
        answered = [i for i, text in enumerate(shown) if of_text.get(text) in calls]
        rows = doubtful[answered]
        parsed = [parse_response(calls[of_text[shown[i]]].response, context.data.task.classes) for i in answered]
        votes = np.array([vote for vote, _ in parsed], dtype=np.int64)
        kinds = Counter(parse_response(call.response, context.data.task.classes)[1] for call in calls.values())
        if missing := len(wanted) - len(calls):
            kinds[OVER_BUDGET] = missing
        failed = describe_failed(context, [calls[of_text[shown[i]]] for i in answered], rows) if len(rows) else ""
        notes = [f"{failed}.{retry_advice(context)}"] if failed else []
        if len(rows) and (votes == ABSTAIN).all():
            problem = explain_no_label(kinds, calls[of_text[shown[answered[0]]]].response, failed)
            notes = [f"The LLM labels no doubtful row, so the labels are those of method=alchemist: {problem}"]
        if refusal is not None:
            notes.append(
                f"The LLM was asked about {len(calls):,} of {len(wanted):,} doubtful rows: {refusal} A run with "
                "another budget.usd goes on."
            )
        if not len(doubtful):
            notes.append("No row of train is uncovered or contested, so the LLM was asked about none.")
        asked = AskedRows(
            rows=rows,
            votes=votes,
            n_doubtful=len(doubtful),
            calls=tuple(calls.values()),
            outcomes=kinds,
        )
        labeled = votes != ABSTAIN
        result = result.replace_labels(rows[labeled], votes[labeled], self.llm_confidence)
        return replace(result, asked=asked, calls=(*result.calls, *calls.values()), notes=(*result.notes, *notes))

    def _answer(self, context: RunContext, wanted: Sequence[Request]) -> tuple[dict[str, LLMCall], BudgetError | None]:
        """Return the calls by the key of their request, and the error if the budget did not allow all of them."""
        # Calls are kept as they end, so that those before an error count: they are paid.
        calls: dict[str, LLMCall] = {}
        affordable = wanted[: context.llm_client.affordable(wanted)]
        refusal = None
        if len(affordable) < len(wanted):
            refusal = BudgetError("the budget does not allow a larger batch.")
        if not affordable:
            return calls, refusal
        try:
            context.answer(self._batch(affordable), lambda call: calls.update({call.request.key: call}))
        except BudgetError as error:
            refusal = error
        except LLMError as error:
            if not context.llm.replays:
                raise
            raise LLMError(
                f"method=hybrid asks about {len(wanted):,} rows, of which at least one has no recorded response; lower "
                "method.n_rows, or call a model (llm=openai)."
            ) from error
        return calls, refusal

    def _batch(self, requests: Sequence[Request]) -> RequestBatch:
        return RequestBatch(
            description=f"asking for {len(requests):,} doubtful rows",
            requests=requests,
            response_tokens=RESPONSE_TOKENS,
            per_row=True,
        )

    def _requests(self, context: RunContext, texts: Sequence[str]) -> list[Request]:
        """Return the requests of zero-shot labeling, so that both methods share cached responses."""
        zero_shot = ZeroShotMethod(name="zero_shot", max_output_tokens=self.max_output_tokens)
        return zero_shot.requests(context, texts)
