"""Rounds in a run and in a plan; the LLM is scripted."""

from contextlib import asynccontextmanager

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, LLMError
from alchemist_exp.core.types import Split
from alchemist_exp.llm.budget import BudgetError
from alchemist_exp.llm.types import LLM, FinishReason, LLMCall, Message, Request, Response, Role
from alchemist_exp.pipeline.compatibility import check_experiment
from alchemist_exp.pipeline.rounds import plan_rounds
from alchemist_exp.pipeline.rounds_section import round_notes, rounds_section
from alchemist_exp.pipeline.run import label_rows
from alchemist_exp.results.round_tables import round_metrics, rounds_table
from tests.support.contexts import run_context, text_data

pytestmark = pytest.mark.usefixtures("shared_stages")

ROWS = ["win a prize"] * 12 + ["see you soon"] * 12 + ["urgent reply jo@example.org"] * 12
GOLD = np.repeat([1, 0, 1], 12)
FIRST = "```python\ndef label_function(text):\n    return 1 if 'win' in text else 0 if 'see' in text else -1\n```"
GOOD = "```python\ndef label_function(text):\n    return 1 if 'urgent' in text else -1\n```"
BAD = "```python\ndef label_function(text):\n    return 0 if 'urgent' in text else 1\n```"


class Answering(LLM):
    """Answers requests for further programs with a text, others with the first program."""

    def __init__(self, further: str | Exception) -> None:
        self.name, self.model, self.price = "scripted", "m", None
        self.further, self.asked = further, list[str]()

    def request(self, system, prompt, *, sample=0, schema=None, max_output_tokens=None) -> Request:
        messages = (Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt))
        return Request(provider="scripted", model="m", messages=messages, sample=sample)

    @asynccontextmanager
    async def connect(self):
        yield self

    async def complete(self, request: Request) -> Response:
        prompt = request.messages[-1].text
        text: str | Exception = FIRST
        if "There are already" in prompt:
            self.asked.append(prompt)
            text = self.further
        if isinstance(text, Exception):
            raise text
        return Response(text=text, model="m", finish_reason=FinishReason.COMPLETE, usage=None)


@pytest.fixture
def refined(composed, tmp_path):
    """Label `ROWS` with rounds; returns the experiment, its context and the result."""

    def label(llm: LLM, *overrides: str, gold: np.ndarray | None = GOLD):
        experiment = config.build(composed("refine=rounds", "label_model=majority", "method.n_programs=1", *overrides))
        data = text_data({"train": ROWS, "valid": ROWS}, experiment.dataset.describe_task())
        context = run_context(experiment, data, tmp_path, llm=llm, gold=None if gold is None else {Split.VALID: gold})
        return experiment, context, label_rows(experiment, context)

    return label


@pytest.mark.parametrize("gold", [True, False])
def test_a_round_adds_programs_for_uncovered_rows_until_nothing_is_weak(refined, gold):
    llm = Answering(GOOD)
    experiment, context, result = refined(llm, gold=GOLD if gold else None)
    assert result.sources.matrices[Split.TRAIN].coverage == 1
    assert result.labels[Split.VALID].hard().tolist() == GOLD.tolist()
    assert [program.origin for program in result.sources.programs] == ["general 0", "round 1.1 0"]
    assert len(llm.asked) == len(set(llm.asked))
    assert all("33% of the rows have no vote" in prompt for prompt in llm.asked[:1])
    assert not any("jo@" in prompt or "example.org" in prompt for prompt in llm.asked)
    section = rounds_section(experiment, context.data, result.sources)
    assert [one["coverage"]["train"] for one in section["list"]][:2] == [pytest.approx(2 / 3), 1]
    assert section["list"][1]["asked"][0] == {"weakness": "uncovered", "classes": [], "share": pytest.approx(1 / 3)}
    assert any("scores by class shown" in use for use in context.gold.uses) == gold
    assert len(round_notes(context, result.sources)) == gold
    assert [values["rounds/coverage/train"] for values in round_metrics(section)][1] == 1
    assert rounds_table(section)


def test_a_round_of_worse_programs_is_reverted_and_is_the_last(refined):
    llm = Answering(BAD)
    _, _, result = refined(llm)
    assert [program.origin for program in result.sources.programs] == ["general 0"]
    first, last = result.sources.refined.rounds
    assert (first.verdict.reverted, bool(last.verdict.reverted)) == ("", True)
    assert [program.origin for program in result.sources.unselected] == ["round 1.1 0"]
    assert result.calls[-1].request.messages[-1].text == llm.asked[-1]  # what was asked in vain has cost something, too


def test_a_budget_that_ends_leaves_the_rounds_before(refined):
    _, context, result = refined(Answering(BudgetError("the budget of $1 is used up.")))
    assert [program.origin for program in result.sources.programs] == ["general 0"]
    assert result.sources.refined.stopped == "the budget of $1 is used up"
    assert "force=true" in round_notes(context, result.sources)[-1]


def test_rounds_end_where_a_recording_ends_but_the_first_one_has_to_be_recorded(refined):
    missing = LLMError("the prompt is not in the recording.")
    llm = Answering(GOOD)
    llm.replays = True
    ask, answered = llm.complete, list[Request]()

    async def complete(request: Request) -> Response:
        answered.append(request)
        if "100% of the rows have at least one vote" in request.messages[-1].text:
            raise missing
        return await ask(request)

    llm.complete = complete
    _, _, result = refined(llm)
    assert len(result.sources.programs) == 2
    assert result.sources.refined.stopped == "the prompt is not in the recording"
    unrecorded = Answering(missing)
    unrecorded.replays = True
    with pytest.raises(LLMError, match="not in the recording"):
        refined(unrecorded)


def test_rows_are_shown_only_when_asked_for_and_shown_valid_rows_decide_nothing(refined):
    llm = Answering(GOOD)
    gold = np.where(np.arange(len(GOLD)) == 0, 0, GOLD)  # a wrong label makes spam the weakest class
    _, context, result = refined(llm, "refine.show=rows", "refine.n_rows=3", gold=gold)
    assert '- "urgent reply [e-mail]"' in llm.asked[0]
    assert sum('- "urgent reply [e-mail]", known to be spam' in prompt for prompt in llm.asked) == 1
    assert any(use.startswith("valid: rows shown to the LLM") for use in context.gold.uses)
    assert len(round_notes(context, result.sources)) == 2


def test_a_plan_counts_all_rounds_and_repairs(composed, tmp_path):
    experiment = config.build(composed("refine=rounds", "repair=on", "dataset.limit=20"))
    context = run_context(experiment, experiment.dataset.load().rows_with_text, tmp_path)
    for accepting, per_program in ((True, 1), (False, 1 + experiment.repair.attempts)):
        requests = []

        def answer(batch, requests=requests):
            requests.extend(batch.requests)
            return [_guessed(request) for request in batch.requests]

        plan_rounds(experiment, context, answer, accepting=accepting)
        assert len({request.key for request in requests}) == 2 * 4 * per_program


def _guessed(request: Request) -> LLMCall:
    """Return a call with another program for each request."""
    text = f"```python\n{request.key}\n```"
    return LLMCall(
        request=request, response=Response(text=text, model="", finish_reason=FinishReason.COMPLETE, usage=None)
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["refine.rounds=0"], "refine.rounds is 0; expected 1 to 20."),
        (["refine.n_programs=1000"], "refine.n_programs is 1000; expected 1 to 100."),
    ],
)
def test_values_out_of_range_are_refused(composed, overrides, message):
    with pytest.raises(ConfigError, match=message):
        config.build(composed("refine=rounds", *overrides))


def test_images_are_refused_and_methods_without_programs_ignore_rounds(composed):
    images = config.build(composed("refine=rounds", "dataset=toy_birds", "feature_extractor=clip_toy"))
    with pytest.raises(ConfigError, match="refine=rounds describes rows by their words"):
        check_experiment(images)
    rows = config.build(composed("refine=rounds", "method=zero_shot"))
    assert rows.unused_overrides(["refine=rounds"]) == ["refine=rounds has no effect with method=zero_shot."]
    files = config.build(composed("refine=rounds", "method=program_files", "method.path=programs"))
    assert {"llm", "prompt", "repair", "refine"} <= set(files.used_groups)
    assert "refine" not in config.build(composed()).used_groups
