import json
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.providers.recorded import RECORDINGS, RecordedLLM
from alchemist_exp.llm.types import FinishReason, LLMCall
from alchemist_exp.programs.trials import AssumedTrials
from tests.support.contexts import run_context, text_data

pytestmark = pytest.mark.usefixtures("shared_stages")


@pytest.fixture
def recorded(composed):
    def build(*overrides: str) -> RecordedLLM:
        llm = config.build(composed(*overrides)).llm
        assert isinstance(llm, RecordedLLM)
        return llm

    return build


@pytest.mark.parametrize("pack", sorted(path.stem for path in RECORDINGS.glob("*.jsonl")))
def test_every_shipped_pack_reads(recorded, pack: str) -> None:
    responses = recorded(f"llm.recording={pack}").responses
    about_rows = [prompt for prompt in responses if prompt.system.startswith("You are an annotator")]
    of_rounds = [prompt for prompt in responses if "The weakness to work on:" in prompt.prompt]
    assert len(responses) - len(about_rows) - len(of_rounds) == (22 if pack.endswith("birds") else 54)
    assert all(response.text.strip() for response in responses.values())


@pytest.mark.parametrize(
    "dataset",
    [d for d in config.members("dataset") if d not in ("files", "hub", "image_files", "toy_birds", "waterbirds")],
)
def test_every_strategy_of_every_dataset_is_recorded(composed, prompts, dataset: str, tmp_path: Path) -> None:
    experiment = config.build(composed(f"dataset={dataset}", "supplement=mixed"))
    llm, task = experiment.llm, experiment.dataset.describe_task()
    data = text_data({"train": ["x"]}, task)
    context, trials = run_context(experiment, data, tmp_path), AssumedTrials(data=data, accepting=True)

    def complete(batch: RequestBatch) -> list[LLMCall]:
        return [LLMCall(request=request, response=llm.response_to(request)) for request in batch.requests]

    for supplement in experiment.supplement.members():
        resolved = run_dialogue(supplement.resolve(context, trials), complete)
        prompt = prompts.program_request(task, resolved.text)
        responses = [llm.response_to(llm.request(prompts.program_system, prompt, sample=i)) for i in range(10)]
        assert all(
            response.finish_reason is FinishReason.COMPLETE and "label_function" in response.text
            for response in responses
        )
        assert len({response.text for response in responses}) == 10


def test_a_changed_prompt_is_refused_and_the_difference_shown(recorded, prompts) -> None:
    llm = recorded()
    question = next(q for q in llm.responses if q.system == prompts.program_system)
    altered = question.prompt[:40] + "X" + question.prompt[41:]
    with pytest.raises(LLMError, match=r"is not in the recording youtube\.jsonl.*\(character 40\)"):
        llm.response_to(llm.request(prompts.program_system, altered))


def test_a_sample_that_was_not_recorded_says_how_many_there_are(composed, prompts) -> None:
    experiment = config.build(composed())
    prompt = prompts.program_request(experiment.dataset.describe_task())
    with pytest.raises(LLMError, match=r"10 responses to this prompt, and sample 10 .*method\.n_programs=10"):
        experiment.llm.response_to(experiment.llm.request(prompts.program_system, prompt, sample=10))


def test_an_unknown_recording_names_the_known_ones(recorded) -> None:
    with pytest.raises(LLMError, match=r"for 'yotube'; did you mean 'youtube'\? It .*method=program_files"):
        _ = recorded("llm.recording=yotube").responses
    with pytest.raises(LLMError, match="which is not a file"):
        _ = recorded("llm.recording=/absent/a.jsonl").responses


def test_a_recording_of_the_user(recorded, tmp_path: Path) -> None:
    row = {"system": "s", "prompt": "p\u2028q", "sample": 0, "model": "m", "response": "r"}
    pack = tmp_path / "mine.jsonl"
    pack.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    llm = recorded(f"llm.recording={pack}")
    assert llm.response_to(llm.request("s", "p\u2028q")).text == "r"


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"system": 1}'])
def test_a_broken_recording_names_the_line(recorded, tmp_path: Path, line: str) -> None:
    pack = tmp_path / "mine.jsonl"
    pack.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(LLMError, match="line 1 is not a recorded response"):
        _ = recorded(f"llm.recording={pack}").responses


def test_the_content_of_a_recording_is_part_of_the_cache_key(recorded, tmp_path: Path) -> None:
    row = {"system": "s", "prompt": "p", "sample": 0, "model": "m", "response": "r"}
    keys = set()
    for text in ("one", "two"):
        pack = tmp_path / "mine.jsonl"
        pack.write_text(json.dumps(row | {"response": text}) + "\n", encoding="utf-8")
        llm = recorded(f"llm.recording={pack}")
        keys.add(str(llm.cache_key()))
    assert len(keys) == 2


def test_two_responses_to_one_prompt_are_refused(recorded, tmp_path: Path) -> None:
    row = {"system": "s", "prompt": "p", "sample": 0, "model": "m", "response": "a"}
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    assert len(recorded(f"llm.recording={path}").responses) == 1
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row | {'response': 'b'})}\n")
    with pytest.raises(LLMError, match=r"line 2 has another response to the prompt and sample of an earlier line"):
        recorded(f"llm.recording={path}").check()
