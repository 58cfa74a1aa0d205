"""Scripts: followed to their end, alone and side by side."""

import pytest

from alchemist_exp.llm.dialogue import Dialogue, RequestBatch, interleave, run_dialogue
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response


def ask(*names: str) -> RequestBatch:
    requests = [Request(provider="p", model=name, messages=()) for name in names]
    return RequestBatch(description="asking", requests=requests, response_tokens=len(names))


def talk(*rounds: tuple[str, ...]) -> Dialogue[list[str]]:
    heard: list[str] = []
    for names in rounds:
        heard += [call.response.text for call in (yield ask(*names))]
    return heard


class Echo:
    """Answers each request with its model's name; remembers what was asked together."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []

    def __call__(self, asked: RequestBatch) -> list[LLMCall]:
        self.rounds.append([request.model for request in asked.requests])
        return [
            LLMCall(
                request=request,
                response=Response(text=request.model, model="m", finish_reason=FinishReason.COMPLETE, usage=None),
            )
            for request in asked.requests
        ]


def test_what_is_asked_at_the_same_time_is_asked_in_one_go() -> None:
    echo = Echo()
    scripts = [talk(("a1", "a2"), ("a3",)), talk(), talk(("c1",)), talk(("d1",), ("d2",), ("d3", "d4"))]
    heard = run_dialogue(interleave(scripts), echo)
    assert heard == [["a1", "a2", "a3"], [], ["c1"], ["d1", "d2", "d3", "d4"]]
    assert echo.rounds == [["a1", "a2", "c1", "d1"], ["a3", "d2"], ["d3", "d4"]]


def test_no_scripts_ask_nothing() -> None:
    assert run_dialogue(interleave([]), Echo()) == []


def test_an_error_in_one_script_ends_all() -> None:
    def failing() -> Dialogue[list[str]]:
        yield ask("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_dialogue(interleave([talk(("a",), ("b",)), failing()]), Echo())
