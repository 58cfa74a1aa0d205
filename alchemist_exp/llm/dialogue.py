"""What a job asks, written so that a run and a plan follow the same words.

A script yields what it asks and is sent the calls; whether those are replies or guesses is not its concern.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from alchemist_exp.llm.types import LLMCall, Request


@dataclass(frozen=True, kw_only=True)
class RequestBatch:
    """Requests that do not depend on each other's replies.

    what: for the progress bar. answer_tokens: how long a reply is expected to be, for plans. rows: whether it is one
    request per row, for which a batch API may be used.
    """

    what: str
    requests: Sequence[Request]
    answer_tokens: int
    rows: bool = False


Result = TypeVar("Result")

Dialogue = Generator[RequestBatch, Sequence[LLMCall], Result]
"""Asks, is sent the calls in the order of the requests, and asks on, until it returns what it was after.

The same script is followed by a run, which gets replies, and by a plan, which guesses their lengths.
"""


def run_dialogue(script: Dialogue[Result], answer: Callable[[RequestBatch], Sequence[LLMCall]]) -> Result:
    """The result of `script`, each of its asks answered by `answer`."""
    try:
        ask = next(script)
        while True:
            ask = script.send(answer(ask))
    except StopIteration as end:
        result: Result = end.value
        return result


def interleave(scripts: Sequence[Dialogue[Result]]) -> Dialogue[list[Result]]:
    """The results of all `scripts`; what they ask at the same time is asked in one go."""
    results: dict[int, Result] = {}
    asks: dict[int, RequestBatch] = {}

    def resume(number: int, replies: Sequence[LLMCall] | None) -> None:
        try:
            asks[number] = next(scripts[number]) if replies is None else scripts[number].send(replies)
        except StopIteration as end:
            results[number] = end.value

    for number in range(len(scripts)):
        resume(number, None)
    while asks:
        waiting, asks = asks, {}
        replies = iter((yield _in_one(list(waiting.values()))))
        for number, ask in waiting.items():
            resume(number, list(islice(replies, len(ask.requests))))
    return [results[number] for number in range(len(scripts))]


def _in_one(asks: Sequence[RequestBatch]) -> RequestBatch:
    return RequestBatch(
        what=" and ".join(dict.fromkeys(ask.what for ask in asks)),
        requests=[request for ask in asks for request in ask.requests],
        answer_tokens=max(ask.answer_tokens for ask in asks),
    )
