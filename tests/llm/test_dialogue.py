"""Dialogues: run to their end, alone and interleaved."""

import pytest

from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, interleave, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response


def request_batch(*names: str) -> RequestBatch:
    requests = [Request(provider="p", model=name, messages=()) for name in names]
    return RequestBatch(description="asking", requests=requests, response_tokens=len(names))


def talk(*rounds: tuple[str, ...]) -> Dialogue[list[str]]:
    texts: list[str] = []
    for names in rounds:
        texts += [call.response.text for call in (yield request_batch(*names))]
    return texts


class Echo:
    """Answers each request with the name of its model, and records the batches."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []

    def __call__(self, batch: RequestBatch) -> list[LLMCall]:
        self.rounds.append([request.model for request in batch.requests])
        return [
            LLMCall(
                request=request,
                response=Response(text=request.model, model="m", finish_reason=FinishReason.COMPLETE, usage=None),
            )
            for request in batch.requests
        ]


def test_batches_of_interleaved_dialogues_are_combined() -> None:
    echo = Echo()
    dialogues = [talk(("a1", "a2"), ("a3",)), talk(), talk(("c1",)), talk(("d1",), ("d2",), ("d3", "d4"))]
    texts = run_dialogue(interleave(dialogues), echo)
    assert texts == [["a1", "a2", "a3"], [], ["c1"], ["d1", "d2", "d3", "d4"]]
    assert echo.rounds == [["a1", "a2", "c1", "d1"], ["a3", "d2"], ["d3", "d4"]]


def test_no_dialogues_have_no_batches() -> None:
    assert run_dialogue(interleave([]), Echo()) == []


def test_an_error_in_one_dialogue_ends_all() -> None:
    def failing() -> Dialogue[list[str]]:
        yield request_batch("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_dialogue(interleave([talk(("a",), ("b",)), failing()]), Echo())
