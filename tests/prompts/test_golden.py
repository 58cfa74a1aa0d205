"""Prompts, byte for byte those the recorded replies answer and, but for instructions and signature, the paper's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.concepts.parsing import parse_concepts
from alchemist_exp.core.task import Task
from alchemist_exp.prompts import zero_shot

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text(encoding="utf-8"))
STRATEGIES = sorted(GOLDEN["supplement_instruction"])


@pytest.fixture(params=sorted(GOLDEN["tasks"]))
def task(request: pytest.FixtureRequest, composed) -> Task:
    return config.build(composed(f"dataset={request.param}")).dataset.describe_task()


def test_every_dataset_of_the_paper_has_golden_prompts() -> None:
    assert set(config.members("dataset")) - {"files", "hub", "image_files", "toy_birds", "waterbirds"} == set(
        GOLDEN["tasks"]
    )


def test_program_prompts(task: Task, prompts) -> None:
    golden = GOLDEN["tasks"][task.name]
    assert GOLDEN["system"] == prompts.program_system
    assert prompts.labeling_instructions(task) == golden["labeling_instructions"]
    assert prompts.program_request(task).endswith(golden["function_signature"])
    assert prompts.program_request(task) == golden["general_prompt"]
    assert prompts.program_request(task, "\n[supplement]\n\n") == golden["supplemented_prompt"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_supplement_prompts(task: Task, composed, prompts, strategy: str) -> None:
    instruction = config.build(composed(f"supplement={strategy}")).supplement.instruction
    assert GOLDEN["supplement_system"] == prompts.supplement_system
    assert prompts.supplement_request(task, instruction) == GOLDEN["tasks"][task.name]["supplement_prompts"][strategy]


def test_zero_shot_prompts(task: Task, prompts) -> None:
    golden = GOLDEN["tasks"][task.name]
    assert prompts.zero_shot_instructions(task) == golden["zero_shot_system"]
    assert zero_shot.question(task, "a [text] b") == golden["zero_shot"].replace("[text]", "a [text] b")


@pytest.mark.parametrize("name", ["toy_birds", "waterbirds"])
def test_prompts_on_images_are_those_of_the_recordings(name: str, composed, prompts) -> None:
    experiment = config.build(composed(f"dataset={name}"))
    responses = {(asked.system, asked.prompt): response.text for asked, response in experiment.llm.responses.items()}
    task = experiment.dataset.describe_task()
    named = responses[prompts.supplement_system, prompts.concept_request(task)]
    descriptions = parse_concepts(named, task.classes).descriptions
    described = prompts.score_description(task, descriptions, "raw")
    scores = replace(task, description=described, parameter="scores", annotation="list[float]")
    for asked in (scores, replace(task, parameter="image", annotation="")):
        assert (prompts.program_system, prompts.program_request(asked)) in responses
