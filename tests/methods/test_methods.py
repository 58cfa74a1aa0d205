"""How labelers ask, and what they make of odd replies."""

import dataclasses
from contextlib import asynccontextmanager

import datasets
import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.errors import DataError, LLMError, ProgramsError
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.data.base import TextData
from alchemist_exp.label_models.majority import Majority
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLM, FinishReason, Message, Request, Response, Role
from alchemist_exp.methods.base import LabelSources, Workbench, aggregate
from tests.support.progress import NoProgress

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


@pytest.fixture
def bench(composed, tmp_path):
    def build(llm: LLM, *overrides: str) -> tuple[Workbench, object]:
        experiment = config.build(composed("label_model=majority", *overrides))
        splits = {"train": ["win now", "hello", "win"], "valid": ["bye", "win", "you win"]}
        table = {split: datasets.Dataset.from_dict({"text": texts}) for split, texts in splits.items()}
        data = TextData(task=experiment.dataset.describe_task(), table=datasets.DatasetDict(table))
        workbench = Workbench(
            data=data,
            gold={Split.VALID: np.array([0, 1, 1])},
            llm_client=LLMClient(llm, ResponseCache(tmp_path / "replies"), tmp_path),
            parts=experiment.parts,
            store=ArtifactCache(tmp_path / "cache"),
            stages=StageProgress(NoProgress()),
            features=dict,
        )
        return workbench, experiment.method

    return build


def test_incomplete_and_codeless_replies_are_rejected_with_their_reason(bench) -> None:
    llm = Scripted(
        [CODE.format(1, 0), FinishReason.TRUNCATED, FinishReason.REFUSED, "I would rather not.", CODE.format(1, -1)]
    )
    workbench, method = bench(llm, "method.n_programs=5")
    labeling = method.label(workbench)
    assert [(r.origin, r.reason) for r in labeling.voters.rejected] == [
        ("general 1", "the reply is truncated"),
        ("general 2", "the reply is refused"),
        ("general 3", "the reply holds no code"),
    ]
    assert labeling.voters.origins == ("general 0", "general 4")
    assert labeling.voters.matrices[Split.TRAIN].votes.tolist() == [[1, 1], [0, -1], [1, 1]]
    assert labeling.labels[Split.TRAIN].hard().tolist() == [1, 0, 1]
    assert labeling.gold_used == ("valid: class balance",)
    assert [request.sample for request in llm.asked] == [0, 1, 2, 3, 4]


def test_a_supplement_is_asked_for_first_and_put_before_the_task(bench) -> None:
    llm = Scripted(["Spam sells.\n", CODE.format(1, 0), CODE.format(1, -1)])
    workbench, method = bench(llm, "method.n_programs=2", "supplement=rules")
    labeling = method.label(workbench)
    assert llm.asked[0].messages[1].text.endswith("that decide the class.")
    assert llm.asked[1].messages[1].text.startswith("Spam sells.\n\nWrite a bug-free")
    assert len(labeling.calls) == 3


def test_a_truncated_supplement_ends_the_run(bench) -> None:
    workbench, method = bench(Scripted([FinishReason.TRUNCATED]), "supplement=rules")
    with pytest.raises(LLMError, match="supplement's question is truncated; raise"):
        method.label(workbench)


def test_where_no_temperature_is_to_be_had_another_approach_is_asked_for(bench) -> None:
    llm = Repetitive([CODE.format(1, 0), "no code", CODE.format(1, -1)])
    workbench, method = bench(llm, "method.n_programs=3")
    labeling = method.label(workbench)
    prompts = [request.messages[1].text for request in llm.asked]
    assert prompts[1].startswith(prompts[0])
    assert "return 1 if 'win' in text else 0" in prompts[1]
    assert prompts[1].endswith("Take a different approach.")
    assert prompts[2] == prompts[1]  # the second reply held no program to differ from
    assert labeling.voters.origins == ("general 0", "general 2")


def test_zero_shot_labels_train_by_one_answer_a_row(bench) -> None:
    llm = Scripted(['{"class": "spam"}', "The class is ham.", "Who knows?"])
    workbench, method = bench(llm, "method=zero_shot")
    labeling = method.label(workbench)
    labels = labeling.labels[Split.TRAIN]
    assert labels.hard().tolist() == [1, 0, -1]
    assert labels.covered.tolist() == [True, True, False]
    assert labeling.voters.answers == {"labeled": 2, "unparseable": 1}
    assert (labeling.labeled_by, labeling.balance, labeling.gold_used) == ("zero_shot", None, ())
    assert llm.asked[0].messages[1].text == "what is the category of this youtube comment: win now"


def test_zero_shot_without_any_label_is_one_sentence(bench) -> None:
    workbench, method = bench(Scripted(["?", FinishReason.REFUSED, "!"]), "method=zero_shot")
    with pytest.raises(LLMError, match="none of 3 answers names a class"):
        method.label(workbench)


def test_no_program_at_all_is_one_sentence(bench) -> None:
    workbench, method = bench(Scripted(["no"] * 2), "method.n_programs=2")
    with pytest.raises(ProgramsError, match=r"none of 2 programs was accepted \(general 0: the reply holds no code"):
        method.label(workbench)


def test_a_label_model_that_learns_from_gold_is_given_it_and_says_so(bench) -> None:
    workbench, _ = bench(Scripted([]), "label_model=accuracy_weighted")
    alone = LabelSources(source="x", requested=1, ids=("a",), origins=("a",), matrices={Split.TRAIN: MATRIX})
    with pytest.raises(ProgramsError, match="needs votes on labeled validation rows, and there are none"):
        aggregate(alone, workbench)
    voters = LabelSources(
        source="x", requested=1, ids=("a",), origins=("a",), matrices={Split.TRAIN: MATRIX, Split.VALID: MATRIX}
    )
    labeling = aggregate(voters, workbench)
    assert labeling.gold_used == ("valid: class balance", "valid: label model")
    assert labeling.labeled is not None
    assert labeling.labeled.gold.tolist() == [0, 1, 1]
    parts = dataclasses.replace(workbench.parts, label_model=Majority(name="majority"))
    without = aggregate(voters, dataclasses.replace(workbench, gold={}, parts=parts))
    assert (without.gold_used, without.labeled) == ((), None)


def test_human_votes_are_needed_on_train(bench) -> None:
    workbench, method = bench(Scripted([]), "method=human")
    with pytest.raises(DataError, match="needs human votes on train, and youtube has none"):
        method.label(workbench)
