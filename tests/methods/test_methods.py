"""How methods ask the LLM, and how they treat responses that cannot be used."""

import dataclasses
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.context import RunContext, UsableGold
from alchemist_exp.core.errors import DataError, LLMError, ProgramsError
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.llm.types import LLM, FinishReason, Message, Request, Response, Role
from alchemist_exp.methods.types import LabelingResult, LabelSources
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.run import label_rows
from alchemist_exp.pipeline.stages import aggregate
from tests.support.contexts import run_context, text_data

pytestmark = pytest.mark.usefixtures("shared_stages")

CODE = "```python\ndef label_function(text):\n    return {} if 'win' in text else {}\n```"
MATRIX = LabelMatrix(votes=np.array([[0], [1], [1]], dtype=np.int8), n_classes=2)


class Scripted(LLM):
    """Answers from a list, and remembers what it was asked."""

    def __init__(self, replies: list[str | FinishReason]) -> None:
        self.name, self.model, self.price = "scripted", "m", None
        self.replies, self.asked = replies, list[Request]()

    def request(self, system, prompt, *, sample=0, schema=None, max_output_tokens=None) -> Request:
        messages = (Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt))
        return Request(provider="scripted", model="m", messages=messages, sample=sample)

    @asynccontextmanager
    async def connect(self):
        yield self

    async def complete(self, request: Request) -> Response:
        reply = self.replies[len(self.asked)]
        self.asked.append(request)
        if isinstance(reply, FinishReason):
            return Response(text="", model="m", finish_reason=reply, usage=None)
        return Response(text=reply, model="m", finish_reason=FinishReason.COMPLETE, usage=None)


class Repetitive(Scripted):
    """Needs to be asked for variety."""

    @property
    def prompts_for_variety(self) -> bool:
        return True


@dataclass
class Labeler:
    """An experiment and what its stages share; the LLM is scripted."""

    experiment: Experiment
    context: RunContext

    def label(self) -> LabelingResult:
        return label_rows(self.experiment, self.context)


@pytest.fixture
def labeler(composed, tmp_path):
    def build(llm: LLM, *overrides: str) -> Labeler:
        experiment = config.build(composed("label_model=majority", *overrides))
        texts = {"train": ["win now", "hello", "win"], "valid": ["bye", "win", "you win"]}
        data = text_data(texts, experiment.dataset.describe_task())
        gold = {Split.VALID: np.array([0, 1, 1])}
        return Labeler(experiment, run_context(experiment, data, tmp_path, llm=llm, gold=gold))

    return build


def test_incomplete_and_codeless_replies_are_rejected_with_their_reason(labeler) -> None:
    llm = Scripted(
        [CODE.format(1, 0), FinishReason.TRUNCATED, FinishReason.REFUSED, "I would rather not.", CODE.format(1, -1)]
    )
    job = labeler(llm, "method.n_programs=5")
    result = job.label()
    assert [(r.origin, r.reason) for r in result.sources.rejected] == [
        ("general 1", "the response is truncated"),
        ("general 2", "the response is refused"),
        ("general 3", "the response has no code"),
    ]
    assert result.sources.origins == ("general 0", "general 4")
    assert result.sources.matrices[Split.TRAIN].votes.tolist() == [[1, 1], [0, -1], [1, 1]]
    assert result.labels[Split.TRAIN].hard().tolist() == [1, 0, 1]
    assert job.context.gold.uses == ["valid: class balance (3 rows)"]
    assert [request.sample for request in llm.asked] == [0, 1, 2, 3, 4]


def test_a_supplement_is_asked_for_first_and_put_before_the_task(labeler) -> None:
    llm = Scripted(["Spam sells.\n", CODE.format(1, 0), CODE.format(1, -1)])
    job = labeler(llm, "method.n_programs=2", "supplement=rules")
    result = job.label()
    assert llm.asked[0].messages[1].text.endswith("that decide the class.")
    assert llm.asked[1].messages[1].text.startswith("Spam sells.\n\nWrite a bug-free")
    assert len(result.calls) == 3


def test_reasoning_is_in_no_prompt_and_is_no_program(labeler) -> None:
    draft = CODE.format(0, 1)
    llm = Scripted(["<think>Hm.</think>\n\nSpam sells.", *[f"<think>\n{draft}\n</think>\n{CODE.format(1, 0)}"] * 2])
    result = labeler(llm, "supplement=rules", "method.n_programs=2").label()
    assert "Spam sells." in llm.asked[1].messages[1].text
    assert "Hm." not in llm.asked[1].messages[1].text
    assert "return 1 if 'win'" in result.sources.programs[0].source


def test_a_supplement_of_reasoning_alone_ends_the_run(labeler) -> None:
    with pytest.raises(LLMError, match="has nothing but reasoning; raise"):
        labeler(Scripted(["<think>Hm."]), "supplement=rules").label()


def test_a_truncated_supplement_ends_the_run(labeler) -> None:
    job = labeler(Scripted([FinishReason.TRUNCATED]), "supplement=rules")
    with pytest.raises(LLMError, match="supplement's question is truncated; raise"):
        job.label()


def test_where_no_temperature_is_to_be_had_another_approach_is_asked_for(labeler) -> None:
    llm = Repetitive([CODE.format(1, 0), "no code", CODE.format(1, -1)])
    job = labeler(llm, "method.n_programs=3")
    result = job.label()
    prompts = [request.messages[1].text for request in llm.asked]
    assert prompts[1].startswith(prompts[0])
    assert "return 1 if 'win' in text else 0" in prompts[1]
    assert prompts[1].endswith("Take a different approach.")
    assert prompts[2] == prompts[1]  # the second reply held no program to differ from
    assert result.sources.origins == ("general 0", "general 2")


def test_zero_shot_labels_train_by_one_answer_a_row(labeler) -> None:
    llm = Scripted(['{"class": "spam"}', "The class is ham.", "Who knows?"])
    job = labeler(llm, "method=zero_shot")
    result = job.label()
    labels = result.labels[Split.TRAIN]
    assert labels.hard().tolist() == [1, 0, -1]
    assert labels.covered.tolist() == [True, True, False]
    assert result.sources.responses == {"labeled": 2, "unparseable": 1}
    assert (result.labeled_by, result.class_balance, job.context.gold.uses) == ("zero_shot", None, [])
    assert llm.asked[0].messages[1].text == "what is the category of this youtube comment: win now"


def test_zero_shot_without_any_label_is_one_sentence(labeler) -> None:
    job = labeler(Scripted(["?", FinishReason.REFUSED, "!"]), "method=zero_shot")
    with pytest.raises(LLMError, match="none of 3 responses names a class"):
        job.label()


def test_no_program_at_all_is_one_sentence(labeler) -> None:
    job = labeler(Scripted(["no"] * 2), "method.n_programs=2")
    with pytest.raises(ProgramsError, match=r"none of 2 programs was accepted \(general 0: the response has no code"):
        job.label()


@pytest.mark.parametrize(
    ("responses", "overrides", "advice"),
    [
        (["no"] * 2, [], "use another llm.model"),
        ([FinishReason.TRUNCATED] * 2, [], "use another llm.model, or raise llm.max_output_tokens"),
        (["```python\nx = 1\n```"] * 2, [], "use another llm.model, or have programs repaired with repair=on"),
        (["```python\nx = 1\n```"] * 100, ["repair=on"], "use another llm.model"),
        (
            [CODE.format(0, 0), CODE.format(1, 1)],
            [],
            "check that the column of the texts, dataset.classes and dataset.prompt belong together, or have programs "
            "repaired with repair=on",
        ),
    ],
)
def test_the_advice_fits_why_programs_were_rejected(labeler, responses, overrides: list[str], advice: str) -> None:
    job = labeler(Scripted(responses), "method.n_programs=2", *overrides)
    with pytest.raises(ProgramsError, match=rf"\); {re.escape(advice)}\.$"):
        job.label()


def test_a_label_model_that_uses_gold_is_given_it_and_says_so(labeler) -> None:
    job = labeler(Scripted([]), "label_model=accuracy_weighted")
    alone = LabelSources(method="x", n_requested=1, ids=("a",), origins=("a",), matrices={Split.TRAIN: MATRIX})
    with pytest.raises(ProgramsError, match="needs votes on labeled validation rows, but there are none"):
        aggregate(job.context, alone)
    sources = dataclasses.replace(alone, matrices={Split.TRAIN: MATRIX, Split.VALID: MATRIX})
    result = aggregate(job.context, sources)
    assert job.context.gold.uses == ["valid: class balance (3 rows)", "valid: label model (3 rows)"]
    assert result.labeled_votes is not None
    assert result.labeled_votes.gold.tolist() == [0, 1, 1]
    no_gold = dataclasses.replace(job.context, gold=UsableGold(labels={}), label_model=Majority(name="majority"))
    assert aggregate(no_gold, sources).labeled_votes is None
    assert no_gold.gold.uses == []


def test_the_chosen_label_model_makes_the_labels_and_those_of_valid_out_of_fold(labeler) -> None:
    """Program 0 is right and program 1 is wrong on each row, which only gold labels can tell."""
    gold = np.array([0, 1] * 30)
    matrix = LabelMatrix(votes=np.stack([gold, 1 - gold], axis=1).astype(np.int8), n_classes=2)
    job = labeler(Scripted([]), "label_model=auto", "label_model.candidates=[majority,stacked]")
    sources = LabelSources(
        method="x",
        n_requested=2,
        ids=("a", "b"),
        origins=("a", "b"),
        matrices={Split.TRAIN: matrix, Split.VALID: matrix},
    )
    context = dataclasses.replace(job.context, gold=UsableGold(labels={Split.VALID: gold}))
    result = aggregate(context, sources)
    assert result.labeled_by == "auto: stacked"
    assert result.label_model is not None
    assert (result.label_model.name, result.choice.chosen) == ("stacked", "stacked")
    assert result.choice.scores == {"majority": pytest.approx(0.5, abs=0.2), "stacked": 1.0}
    assert context.gold.uses == ["valid: class balance (60 rows)", "valid: label model (60 rows)"]
    assert result.labels[Split.VALID].hard().tolist() == gold.tolist()
    # The models of the parts have fewer rows than the model of train, so their confidence is lower.
    assert (result.labels[Split.VALID].probs.max(axis=1) < result.labels[Split.TRAIN].probs.max(axis=1)).all()
    no_gold = aggregate(dataclasses.replace(context, gold=UsableGold(labels={})), sources)
    assert no_gold.labeled_by == "auto: majority"
    assert no_gold.choice.left_out == {"stacked": "needs gold labels of valid"}


def test_human_votes_are_needed_on_train(labeler) -> None:
    job = labeler(Scripted([]), "method=human")
    with pytest.raises(DataError, match="needs human votes on train, and youtube has none"):
        job.label()
