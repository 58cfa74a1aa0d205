"""Estimates of what a method asks an LLM: its own dialogue, run with guessed responses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from alchemist_exp.context import RunContext, UsableGold
from alchemist_exp.core.types import Split
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.tokens import count_messages
from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Request, Response, Usage
from alchemist_exp.methods.base import Method
from alchemist_exp.methods.zero_shot import RESPONSE_TOKENS, ZeroShotMethod
from alchemist_exp.pipeline.concept_scores import plan_concepts
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.rounds import plan_rounds
from alchemist_exp.programs.trials import AssumedTrials

_COUNTED_REQUESTS: Final = 1000
"""Requests whose tokens are counted, evenly spaced; the mean of the others is assumed to be the same."""


class GuessedResponses:
    """Answers requests with cached responses, guesses the others by their length, and counts the guessed calls.

    Attributes:
        calls: Calls that have to be made.
        cached_calls: Calls that the cache answers.
        usage: Tokens of the calls that have to be made.
        batch_usage: Tokens of those of them that go through a batch API.
        asked: The keys of the requests that have to be sent.
        cached: The calls with a cached response.
        too_long: The rows, counted from 0, whose requests do not fit into the context of the model.

    """

    def __init__(
        self,
        llm: LLM,
        find: Callable[[Request], Response | None],
        asked_before: frozenset[str] = frozenset(),
        *,
        longest: bool = False,
    ) -> None:
        """Start with no calls.

        Args:
            llm: The LLM.
            find: Returns the cached response to a request.
            asked_before: Keys of requests that other jobs will have sent.
            longest: Whether each response is as long as it may be, instead of as long as expected.

        """
        self._llm = llm
        self._find = find
        self._asked_before = asked_before
        self._longest = longest
        self.calls = self.cached_calls = 0
        self.too_long: list[int] = []
        self.usage = self.batch_usage = Usage(input_tokens=0, output_tokens=0)
        self.asked: set[str] = set()
        self.cached: list[LLMCall] = []

    def answer(self, batch: RequestBatch) -> list[LLMCall]:
        """Answer a batch of requests and count it.

        Args:
            batch: The requests.

        Returns:
            One call per request, with a cached or a guessed response.

        """
        distinct = {request.key: request for request in batch.requests}
        cached = {key: self._find(request) for key, request in distinct.items()}
        known = self.asked | self._asked_before
        missing = [request for key, request in distinct.items() if cached[key] is None and key not in known]
        self.asked |= {request.key for request in missing}
        self.calls += len(missing)
        self.cached_calls += len(distinct) - len(missing)
        output_tokens = sum(self._length(request, batch) for request in missing)
        usage = Usage(input_tokens=input_tokens(missing, self._llm.encoding), output_tokens=output_tokens)
        self.usage += usage
        if batch.per_row and self._llm.uses_batch_api:
            self.batch_usage += usage
        calls = []
        for request in batch.requests:
            # The text has the key, because later prompts quote it and must differ as they do with real responses.
            text = f"```python\n{request.key}\n" + "text " * self._length(request, batch) + "\n```"
            guess = Response(text=text, model="", finish_reason=FinishReason.COMPLETE, usage=None)
            calls.append(LLMCall(request=request, response=cached[request.key] or guess))
        if batch.per_row:
            sent = {request.key for request in missing}
            self.too_long += [
                row
                for row, request in enumerate(batch.requests)
                if request.key in sent and _exceeds_context(request, self._llm)
            ]
        self.cached += [call for call in calls if cached[call.request.key] is not None]
        return calls

    def _length(self, request: Request, batch: RequestBatch) -> int:
        """Tokens of the response."""
        longest: int = request.parameters.get("max_output_tokens", batch.response_tokens)
        return longest if self._longest else batch.response_tokens


def _exceeds_context(request: Request, llm: LLM) -> bool:
    """Return whether a prompt and the longest response to it are longer than the context; False if it is unknown."""
    context_tokens: int | None = getattr(getattr(llm, "spec", None), "context_tokens", None)
    if context_tokens is None:
        return False
    room = context_tokens - int(request.parameters["max_output_tokens"])
    # A token has at least one byte, so most requests need not be counted.
    n_bytes = sum(len(message.text.encode("utf-8", "surrogatepass")) for message in request.messages)
    return n_bytes > room and count_messages(request.messages, llm.encoding) > room


def run_with_guesses(
    method: Method,
    experiment: Experiment,
    context: RunContext,
    guesses: GuessedResponses,
    *,
    accepting: bool = True,
    usable_concepts: bool = True,
) -> None:
    """Count what a method asks when the LLM answers as guessed.

    Args:
        method: The method, which need not be the experiment's.
        experiment: Gives the supplement and the repair.
        context: What the stages of the run share. Its list of gold uses is left alone.
        guesses: Answers and counts the requests.
        accepting: Whether vetting accepts all programs, or none.
        usable_concepts: Whether a guessed response with concepts is usable at once, or only the second one.

    """
    # A copy of the gold labels: showing them in a guessed prompt is not a use that the record should name.
    context = replace(context, gold=UsableGold(labels=context.gold.labels, reviewed=context.gold.reviewed))
    if experiment.scores_concepts and method.reads_scores:
        asked = plan_concepts(context, experiment.concepts, experiment.image_encoder, accepting=usable_concepts)
        context = run_dialogue(asked, guesses.answer)
    trials = AssumedTrials(data=context.data, accepting=accepting, usable_concepts=usable_concepts)
    dialogue = method.dialogue(context, trials, experiment.supplement, experiment.repair)
    if dialogue is not None:
        run_dialogue(dialogue, guesses.answer)
    if method is experiment.method:
        plan_rounds(experiment, context, guesses.answer, accepting=accepting)


def expected_usage(method: Method, experiment: Experiment, context: RunContext) -> tuple[int, Usage]:
    """Return the calls and tokens of a method with an empty cache.

    Args:
        method: The method, which need not be the experiment's.
        experiment: Gives the supplement and the repair.
        context: What the stages of the run share.

    Returns:
        The number of calls, and their tokens.

    """
    guesses = GuessedResponses(experiment.llm, lambda request: None)
    run_with_guesses(method, experiment, context, guesses)
    return guesses.calls, guesses.usage


def zero_shot_usage(method: ZeroShotMethod, context: RunContext) -> tuple[int, Usage]:
    """Return the calls and tokens of one request for each distinct row of train, with an empty cache.

    Only the requests whose tokens are counted are built: an evenly spaced sample of the distinct rows.

    Args:
        method: The method.
        context: What the stages of the run share.

    Returns:
        The number of calls, and their tokens.

    """
    texts, show = context.data.texts(Split.TRAIN), context.data.kind.show
    # 8 bytes per row. Of a million rows two differ and have the same hash with a probability of 3e-8.
    hashes = np.fromiter((hash(show(text)) for text in texts), np.int64, len(texts))
    distinct = np.sort(np.unique(hashes, return_index=True)[1])
    counted = [texts[row] for row in distinct[:: _step(len(distinct))]]
    tokens = input_tokens(method.requests(context, counted), context.llm.encoding, n_requests=len(distinct))
    return len(distinct), Usage(input_tokens=tokens, output_tokens=RESPONSE_TOKENS * len(distinct))


def input_tokens(requests: Sequence[Request], encoding: str | None, *, n_requests: int | None = None) -> int:
    """Count the input tokens of requests; of many requests an evenly spaced sample is counted.

    Args:
        requests: The requests, or a sample of them that is counted as a whole.
        encoding: The tokenizer; None for a rough count by characters.
        n_requests: The number of all requests if `requests` is a sample.

    Returns:
        The tokens of all requests.

    """
    counted = requests[:: _step(len(requests))] if n_requests is None else requests
    tokens = sum(count_messages(request.messages, encoding) for request in counted)
    return round(tokens * (n_requests or len(requests)) / len(counted)) if counted else 0


def _step(n_requests: int) -> int:
    """Return the distance of the counted requests: 1 for less than twice `_COUNTED_REQUESTS`, which are all counted."""
    return max(1, n_requests // _COUNTED_REQUESTS)
