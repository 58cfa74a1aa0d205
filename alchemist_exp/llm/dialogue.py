"""Dialogues with an LLM, written as generators, so that a run and a plan execute the same code.

A dialogue yields request batches and is sent the LLM calls. A run sends it real responses, a plan sends it guesses.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from alchemist_exp.llm.types import LLMCall, Request


@dataclass(frozen=True, kw_only=True)
class RequestBatch:
    """Requests that do not depend on each other's responses.

    Attributes:
        description: Shown in the progress bar.
        requests: The requests, in the order in which the calls are returned. A request may occur more than once.
        response_tokens: The expected length of one response in tokens; used by plans only.
        per_row: Whether there is one request per row. Only then may a provider's batch API be used.

    """

    description: str
    requests: Sequence[Request]
    response_tokens: int
    per_row: bool = False


Result = TypeVar("Result")

Dialogue = Generator[RequestBatch, Sequence[LLMCall], Result]
"""A generator that yields request batches, is sent their calls in the order of the requests, and returns a result."""


def run_dialogue(dialogue: Dialogue[Result], respond: Callable[[RequestBatch], Sequence[LLMCall]]) -> Result:
    """Run a dialogue to its end and return its result.

    Args:
        dialogue: A generator that was not started yet.
        respond: Returns the call of each request of a batch, in the order of the requests.

    Returns:
        The value that the generator returns.

    """
    try:
        batch = next(dialogue)
        while True:
            batch = dialogue.send(respond(batch))
    except StopIteration as end:
        result: Result = end.value
        return result


def interleave(dialogues: Sequence[Dialogue[Result]]) -> Dialogue[list[Result]]:
    """Run several dialogues as one, which yields what they request at the same time as one batch.

    Args:
        dialogues: Generators that were not started yet. An exception in one of them ends all of them.

    Returns:
        A dialogue whose result is the list of all results, in the order of `dialogues`.

    """
    results: dict[int, Result] = {}
    batches: dict[int, RequestBatch] = {}

    def resume(index: int, calls: Sequence[LLMCall] | None) -> None:
        """Continue one dialogue until it yields its next batch or ends; None starts it."""
        try:
            batches[index] = next(dialogues[index]) if calls is None else dialogues[index].send(calls)
        except StopIteration as end:
            results[index] = end.value

    for index in range(len(dialogues)):
        resume(index, None)
    while batches:
        waiting, batches = batches, {}
        combined = RequestBatch(
            description=" and ".join(dict.fromkeys(batch.description for batch in waiting.values())),
            requests=[request for batch in waiting.values() for request in batch.requests],
            response_tokens=max(batch.response_tokens for batch in waiting.values()),
        )
        # The calls come back in the order of the requests, so each dialogue takes as many as it asked for.
        calls = iter((yield combined))
        for index, batch in waiting.items():
            resume(index, list(islice(calls, len(batch.requests))))
    return [results[index] for index in range(len(dialogues))]
