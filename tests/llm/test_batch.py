import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp.core.errors import ConfigError, LLMError, StoreError
from alchemist_exp.llm import batch, batch_size
from alchemist_exp.llm.types import FinishReason, Response, Usage
from tests.support.batch_job import Job, llm_of
from tests.support.batch_server import BatchServer, Script, serving
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("shared_stages")

TEXTS = [f"text {i} ü\ud800\u2028" for i in range(7)]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with serving() as state:
        yield state


every_api = pytest.mark.parametrize("provider", ["openai", "responses", "anthropic"], indirect=True)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_KEY", "sk-secret")
    return request.param


@pytest.fixture
def job(server: BatchServer, provider: str, tmp_path: Path) -> Job:
    return Job(llm_of(provider, server.url), tmp_path / "replies")


def jobs_on_disk(job: Job) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (job.directory / "batches").glob("*.json")]
    return sorted(found, key=lambda job_on_disk: job_on_disk["time"])


def noticed(job: Job, words: str) -> bool:
    return any(words in notice for notice in job.notices)


def texts_of(outcomes: dict[str, Response | str]) -> dict[str, str]:
    return {text: response if isinstance(response, str) else response.text for text, response in outcomes.items()}


def sent(text: str) -> str:
    return text.replace("\ud800", "\ufffd")


ALL = {text: f"reply to {sent(text)}" for text in TEXTS}


@every_api
def test_responses_are_matched_by_id_in_any_order(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(polls=3)]
    outcomes = job.run(TEXTS)
    assert texts_of(outcomes) == ALL
    response = outcomes[TEXTS[0]]
    assert isinstance(response, Response)
    assert (response.batch, response.from_cache, response.finish_reason) == (True, False, FinishReason.COMPLETE)
    assert response.usage == Usage(input_tokens=30, output_tokens=3)
    assert Counter(server.seen) == Counter(job.llm.request("system", text).key for text in TEXTS)
    (job_on_disk,) = jobs_on_disk(job)
    assert (job_on_disk["state"], job_on_disk["to_collect"], job_on_disk["batch"]) == ("collected", [], "batch_0")
    assert job.kept == len(TEXTS)
    assert noticed(job, "1 batch of 7 requests submitted; a run that ends earlier collects them")
    assert noticed(job, "7 of 7 requests in 1 batch of 7 requests are done.")


@every_api
def test_a_batch_sends_the_body_of_a_single_request(job: Job, server: BatchServer, provider: str) -> None:
    job.run(TEXTS[:1])
    ((_, body),) = server.batches[0].rows
    assert body["model"] == "m"
    assert body["temperature"] == 0.5
    assert (body.get("max_tokens") or body.get("max_completion_tokens") or body.get("max_output_tokens")) == 100
    asked = body["input" if provider == "responses" else "messages"]
    assert asked[-1] == {"role": "user", "content": sent(TEXTS[0])}


def test_cached_responses_are_not_requested(job: Job, server: BatchServer) -> None:
    job.run(TEXTS[:4])
    outcomes = job.run(TEXTS)
    assert texts_of(outcomes) == ALL
    assert [r.from_cache for r in outcomes.values() if isinstance(r, Response)] == [True] * 4 + [False] * 3
    assert len(server.seen) == len(set(server.seen)) == 7
    assert job.run([]) == {}


def test_batches_stay_within_the_limits(job: Job, server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "MAX_REQUESTS", 3)
    assert texts_of(job.run(TEXTS)) == ALL
    assert [len(b.rows) for b in server.batches] == [3, 3, 1]
    monkeypatch.setattr(batch_size, "MAX_BYTES", 1000)
    job.run([letter * 600 for letter in "ab"] + ["c", "d"])
    assert [len(b.rows) for b in server.batches[3:]] == [1, 1, 2]


@every_api
def test_only_unanswered_requests_are_submitted_again(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(outcomes={"b": "busy", "c": "wrong", "d": "expired", "e": "unreached", "f": "truncated"})]
    outcomes = job.run(list("abcdef"))
    texts = texts_of(outcomes)
    assert [texts[t] for t in "abdef"] == [f"reply to {t}" for t in "abdef"]
    assert "refused the request with 400: wrong" in texts["c"]
    assert isinstance(outcomes["f"], Response)
    assert outcomes["f"].finish_reason is FinishReason.TRUNCATED
    assert {key for key, _ in server.batches[1].rows} == {job.llm.request("system", t).key for t in "bde"}
    assert noticed(job, "batch batch_0: 3 requests without a response")
    # The truncated response is not cached, so it is requested again; so is the refused request.
    server.scripts = []
    assert texts_of(job.run(list("abcdef"))) == {t: f"reply to {t}" for t in "abcdef"}
    assert len(server.batches[2].rows) == 2


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_batch_that_ends_early_gives_its_results(job: Job, server: BatchServer, status: str) -> None:
    server.scripts = [Script(status=status, outcomes={"b": "unreached", "c": "expired"})]
    assert texts_of(job.run(list("abc"))) == {t: f"reply to {t}" for t in "abc"}
    assert [len(b.rows) for b in server.batches] == [3, 2]


def test_a_request_is_submitted_max_attempts_times(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(outcomes={"b": "busy", "c": "unreached"})] * 9
    texts = texts_of(job.run(list("abc")))
    assert texts["a"] == "reply to a"
    assert texts["b"].startswith("no response in 3 batches (the server at http")
    assert texts["c"].startswith("no response in 3 batches (the batch ended")
    assert [len(b.rows) for b in server.batches] == [3, 2, 2]


def test_a_batch_that_fails_as_a_whole_says_why(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-secret")
    server.scripts = [Script(error="Enqueued token limit reached for sk-secret")] * 3
    job = Job(llm_of("openai", server.url), tmp_path)
    assert job.run(["a"]) == {
        "a": "no response in 3 batches (the batch ended as failed without it: Enqueued token limit reached for [key])"
    }


def test_unrelated_lines_are_counted_and_ignored(job: Job, server: BatchServer) -> None:
    key = job.llm.request("system", "a").key
    broken = ("{", "", "[]", "null", '{"custom_id": 5}', '{"no": 1}', "[" * 100_000)
    strange = tuple(json.dumps({"custom_id": name, "result": {}, "response": {}}) for name in ("zz", "zz", "../x"))
    late = (json.dumps({"custom_id": key, "result": "?", "response": "?"}),)
    server.scripts = [Script(lines=broken + strange + late)]
    assert texts_of(job.run(["a", "b"])) == {"a": "reply to a", "b": "reply to b"}
    assert noticed(job, "batch batch_0: 2 responses to requests that are not in it, ignored")
    assert noticed(job, "batch batch_0: 6 unreadable lines, ignored")


@pytest.mark.parametrize("line", ['"x"', "{}", '{"response": {"status_code": 200}, "result": {"type": "succeeded"}}'])
@every_api
def test_a_line_without_a_response_is_transient(job: Job, server: BatchServer, line: str) -> None:
    broken = json.loads(line) if line.startswith("{") else {"response": "x", "result": "x", "error": "x"}
    text = json.dumps(broken | {"custom_id": job.llm.request("system", "b").key})
    server.scripts = [Script(outcomes={"b": "unreached"}, lines=(text,))]
    assert texts_of(job.run(["a", "b"])) == {"a": "reply to a", "b": "reply to b"}
    assert [len(b.rows) for b in server.batches] == [2, 1]


def test_errors_while_polling_lose_nothing(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(polls=3)]
    server.poll_errors = [500, 503, 429, 502, 500]
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.batches) == 1
    assert len(job.waits) >= 7
    assert sum("the state of a batch is unknown" in notice for notice in job.notices) == 1


def test_errors_while_fetching_lose_nothing(job: Job, server: BatchServer) -> None:
    server.download_errors = [500, 503]
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.batches) == 1
    assert job.kept == len(TEXTS)


def test_pauses_grow(job: Job, server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_POLL_S", 0.02)
    server.scripts = [Script(polls=5)]
    job.run(["a"])
    assert job.waits == pytest.approx([0.01, 0.015, 0.02, 0.02])


def test_a_silent_provider_ends_the_run(job: Job, server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_SILENCE_S", 0.02)
    server.every_poll_error = 500
    with pytest.raises(
        LLMError, match=r"the state of batch batch_0 is unknown \(the server at .* answered 500.* continue.*delete"
    ):
        job.run(["a"])
    server.every_poll_error = 0
    assert texts_of(job.run(["a"])) == {"a": "reply to a"}
    assert len(server.batches) == 1


def test_a_refused_key_ends_the_run_and_not_the_batch(job: Job, server: BatchServer) -> None:
    server.poll_errors = [401]
    with pytest.raises(LLMError, match=r"TEST_KEY was refused.* the same run, started again, collects them"):
        job.run(TEXTS)
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.batches) == 1
    assert noticed(job, "1 batch of 7 requests submitted by an earlier run; collecting")


def test_a_deleted_batch_names_its_job_on_disk(job: Job, server: BatchServer) -> None:
    server.poll_errors = [401]
    with pytest.raises(LLMError):
        job.run(["a"])
    server.batches.clear()
    with pytest.raises(
        LLMError, match=r"the server does not know it.*If the batch no longer exists, delete (\S+\.json)\."
    ) as e:
        job.run(["a"])
    Path(str(e.value).rsplit("delete ")[-1].rstrip(".")).unlink()
    assert texts_of(job.run(["a"])) == {"a": "reply to a"}


def test_a_refused_batch_leaves_no_job_on_disk(job: Job, server: BatchServer) -> None:
    server.refusals = [401]
    with pytest.raises(LLMError, match=r"^the key in TEST_KEY was refused.*valid\.$"):
        job.run(TEXTS)
    assert jobs_on_disk(job) == []


def test_a_second_batch_that_is_refused_leaves_the_first(
    job: Job, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "MAX_REQUESTS", 4)
    server.scripts = [Script()]
    accept = server.accept

    def accepting(*args: Any) -> Any:
        server.refusals = [403]
        return accept(*args)

    monkeypatch.setattr(server, "accept", accepting)
    with pytest.raises(LLMError, match=r"has no access to m.*Submitted batches continue"):
        job.run(TEXTS)
    monkeypatch.setattr(server, "accept", accept)
    server.refusals = []
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.seen) == 7


def test_an_error_while_submitting_is_retried(job: Job, server: BatchServer) -> None:
    server.refusals = [500, 429]
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.batches) == 1
    server.refusals = [500] * 3
    with pytest.raises(
        LLMError, match=r"the batch API of .* failed 3 times .the server at .* answered 500.*; run again later"
    ):
        job.run(["new"])
    assert texts_of(job.run(["new"])) == {"new": "reply to new"}
    assert [job_on_disk["state"] for job_on_disk in jobs_on_disk(job)] == ["collected", "lost", "collected"]


def test_a_batch_whose_id_is_lost_is_found_if_the_api_can_search(job: Job, server: BatchServer, provider: str) -> None:
    server.batches = [server.accept([], {"alchemist": str(i)}) for i in range(1)] * 5
    server.batches = [replace(b, name=f"old_{i}") for i, b in enumerate(server.batches)]
    server.scripts = [Script(lost=True), Script()]
    assert texts_of(job.run(TEXTS)) == ALL
    if provider == "anthropic":
        assert len(server.seen) == 14
        assert noticed(job, "if the provider accepted it, which it cannot tell, it is billed too")
    else:
        assert len(server.seen) == 7
        assert not noticed(job, "submitted again")


def killed(job: Job, provider: str, url: str, when: Any, killed_after: int = 0) -> None:
    """Runs the job in another process and kills it: itself after so many responses, else once `when` is set."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.batch_job",
            provider,
            url,
            str(job.directory),
            str(killed_after),
            *"abcde",
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        if when is not None:
            assert when.wait(60)
            process.kill()
        assert process.wait(60) == -9
    finally:
        process.kill()
        process.wait()


def test_a_run_killed_while_polling_pays_each_row_once(job: Job, server: BatchServer, provider: str) -> None:
    server.scripts = [Script(polls=10**9)]
    killed(job, provider, server.url, server.polled)
    assert [job_on_disk["state"] for job_on_disk in jobs_on_disk(job)] == ["submitted"]
    server.batches[0].script.polls = 0
    # Requests that are new go into another batch.
    assert texts_of(job.run(list("cdefg"))) == {t: f"reply to {t}" for t in "cdefg"}
    assert [len(b.rows) for b in server.batches] == [5, 2]
    # The results of the first batch that this run did not need are still to be collected.
    assert [len(job_on_disk["to_collect"]) for job_on_disk in jobs_on_disk(job)] == [2, 0]
    assert texts_of(job.run(list("abcdefg"))) == {t: f"reply to {t}" for t in "abcdefg"}
    assert len(server.seen) == len(set(server.seen)) == 7
    assert [job_on_disk["state"] for job_on_disk in jobs_on_disk(job)] == ["collected", "collected"]


def test_a_run_killed_while_collecting_pays_each_row_once(job: Job, server: BatchServer, provider: str) -> None:
    killed(job, provider, server.url, None, killed_after=2)
    assert len([path for path in job.directory.iterdir() if path.is_file()]) == 2
    assert texts_of(job.run(list("abcde"))) == {t: f"reply to {t}" for t in "abcde"}
    assert len(server.seen) == 5


def test_a_run_killed_before_the_id_arrived(job: Job, server: BatchServer, provider: str) -> None:
    server.scripts = [Script(hang=True), Script()]
    killed(job, provider, server.url, server.submitted)
    (intent,) = jobs_on_disk(job)
    assert (intent["state"], intent["batch"]) == ("intent", None)
    assert texts_of(job.run(list("abcde"))) == {t: f"reply to {t}" for t in "abcde"}
    if provider == "anthropic":
        assert len(server.seen) == 10
        assert noticed(job, "a batch of 5 requests got no id and is submitted again; if the provider accepted")
        assert [job_on_disk["state"] for job_on_disk in jobs_on_disk(job)] == ["lost", "collected"]
    else:
        assert len(server.seen) == 5
        assert [job_on_disk["state"] for job_on_disk in jobs_on_disk(job)] == ["collected"]


def test_concurrent_runs_pay_each_row_once(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(polls=4, outcomes={"c": "busy"})]
    jobs = [Job(job.llm, job.directory) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda j: j.run(list("abcde")), jobs))
    assert [texts_of(a) for a in answers] == [{t: f"reply to {t}" for t in "abcde"}] * 3
    assert Counter(Counter(server.seen).values()) == {1: 4, 2: 1}
    assert {job_on_disk["state"] for job_on_disk in jobs_on_disk(job)} == {"collected"}


def test_a_batch_is_not_waited_for_if_all_its_responses_are_cached(job: Job, server: BatchServer) -> None:
    server.poll_errors = [401]
    with pytest.raises(LLMError):
        job.run(["a", "b"])
    server.every_poll_error = 500
    for text in "ab":
        (job.directory / job.llm.request("system", text).key).write_text(text)
    assert texts_of(job.run(["a", "b"])) == {"a": "a", "b": "b"}


def test_collected_results_are_not_taken_again(job: Job, server: BatchServer) -> None:
    server.scripts = [Script(outcomes={"a": "truncated"}), Script()]
    server.poll_errors = [401]
    with pytest.raises(LLMError):
        job.run(["a", "b"])
    assert isinstance(response := job.run(["a"])["a"], Response)
    assert response.finish_reason is FinishReason.TRUNCATED
    assert isinstance(response := job.run(["a", "b"])["a"], Response)
    assert response.finish_reason is FinishReason.COMPLETE
    assert [len(b.rows) for b in server.batches] == [2, 1]


def test_ctrl_c_leaves_the_job_on_disk(job: Job, server: BatchServer) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    server.scripts = [Script(polls=2)]
    job.on_wait = interrupt
    with pytest.raises(KeyboardInterrupt):
        job.run(TEXTS)
    job.on_wait = lambda: None
    assert texts_of(job.run(TEXTS)) == ALL
    assert len(server.seen) == 7


@pytest.mark.parametrize("change", [{"state": "odd"}, {"mark": "other"}, {"batch": None}, {"keys": 5}, {"new": 1}])
def test_a_broken_job_on_disk_is_an_error_that_names_it(job: Job, server: BatchServer, change: dict[str, Any]) -> None:
    server.poll_errors = [401]
    with pytest.raises(LLMError):
        job.run(["a"])
    (path,) = (job.directory / "batches").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match=rf"{path.name} .*delete it"):
        job.run(["a"])


def test_jobs_on_disk_hold_no_secret_and_no_text(job: Job) -> None:
    job.run(["a very private text"])
    for path in job.directory.rglob("*.json"):
        assert "sk-secret" not in path.read_text()
        assert "private" not in path.read_text()


def test_models_without_a_batch_api_are_refused(server: BatchServer) -> None:
    spec = llm_of("openai", server.url).spec
    with pytest.raises(ConfigError, match="has no batch API"):
        replace(llm_of("openai", server.url), spec=replace(spec, batch=False))
