"""What of a response is reasoning."""

import pytest

from alchemist_exp.core.reasoning import without_reasoning

HARMONY = "<|channel|>analysis<|message|>ham?<|end|><|start|>assistant<|channel|>final<|message|>spam"


@pytest.mark.parametrize(
    "text",
    [
        "spam", "<think>ham?</think>spam", "<THINK>ham?</THINK>spam", "ham?\n</think>spam",
        "<think>a</think>ham<think>b</think>spam", "[THINK]ham?[/THINK]spam", "<seed:think>ham?</seed:think>spam",
        "<|START_THINKING|>ham?<|END_THINKING|>spam", "<|begin_of_thought|>ham?<|end_of_thought|>spam",
        "◁think▷ham?◁/think▷spam", "spam\n<think>but ham", "spam\n<think>ham?</think>\n", HARMONY,
        f"{HARMONY}<|return|>",
        f"{HARMONY}<|end|>", HARMONY.replace("final", "final <|constrain|>json"), "analysisham?assistantfinalspam",
    ],
)  # fmt: skip
def test_the_answer_is_what_is_not_reasoning(text: str) -> None:
    assert without_reasoning(text).strip() == "spam"


@pytest.mark.parametrize("text", ["<think>spam", " <think>\nspam", "<|channel|>analysis<|message|>spam", "[THINK]spam"])
def test_unclosed_reasoning_is_no_answer(text: str) -> None:
    assert without_reasoning(text).strip() == ""


@pytest.mark.parametrize("text", ["The tag <think> is for models.", "analysis", "analysis of spam", "if a < b:"])
def test_a_text_without_reasoning_is_unchanged(text: str) -> None:
    assert without_reasoning(text) == text


def test_a_long_hostile_text_takes_little_time() -> None:
    assert without_reasoning("<think>" * 100_000) == ""
    assert without_reasoning("<|channel|>a" * 100_000)
    assert without_reasoning("analysis" * 100_000)
