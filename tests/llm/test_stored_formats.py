"""Files that version 0.1.0 wrote are still read: cached responses and batch jobs keep their keys on disk."""

import json
from pathlib import Path

from alchemist_exp import config
from alchemist_exp.llm.batch_jobs import BatchJobState, BatchJobStore
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, Response, Usage

KEY = "bb0edb6d348b73166addb271"
CACHE_ENTRY = """{
  "request": {
    "provider": "openai",
    "model": "gpt-4.1-mini",
    "messages": [{"role": "system", "text": "You label."}, {"role": "user", "text": "Label \u00fc"}],
    "parameters": {"max_output_tokens": 40, "temperature": 0.7, "schema": {"type": "object"}},
    "sample": 2
  },
  "reply": "spam\\n",
  "sha256": "284e3029cce3ae5ee0b05866100e300046359f53ae4c77fe6b34c05aa7a72cee",
  "model": "gpt-4.1-mini-2025-04-14",
  "usage": {
    "input_tokens": 9, "output_tokens": 2, "cached_tokens": 4, "cache_write_tokens": 0, "reasoning_tokens": 0
  },
  "time": "2026-11-30T03:39:39+00:00",
  "batch": true
}
"""
MARK = "818019e159fdfb5b2e1fb174"
BATCH_JOB = {
    "mark": MARK,
    "state": "submitted",
    "batch": "batch_7",
    "provider": "openai",
    "model": "gpt-4.1-mini",
    "time": "2026-11-30T03:39:39.810346+00:00",
    "keys": [KEY, "k2"],
    "to_collect": [KEY, "k2"],
}


def test_a_cached_response_is_found_by_todays_request_and_read(composed, tmp_path: Path) -> None:
    llm = config.build(composed("llm=openai", "llm.model=gpt-4.1-mini", "llm.max_output_tokens=40")).llm
    request = llm.request("You label.", "Label ü", sample=2, schema={"type": "object"})
    assert request.key == KEY
    (tmp_path / KEY[:2]).mkdir()
    (tmp_path / KEY[:2] / f"{KEY}.json").write_text(CACHE_ENTRY, encoding="utf-8")
    assert ResponseCache(tmp_path).read(request) == Response(
        text="spam\n",
        model="gpt-4.1-mini-2025-04-14",
        finish_reason=FinishReason.COMPLETE,
        usage=Usage(input_tokens=9, output_tokens=2, cached_tokens=4),
        batch=True,
        from_cache=True,
    )


def test_a_batch_job_is_read_and_written_with_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / f"{MARK}.json"
    path.write_text(json.dumps(BATCH_JOB))
    store = BatchJobStore(tmp_path)
    (job,) = store.open_jobs()
    assert (job.state, job.batch, job.keys) == (BatchJobState.SUBMITTED, "batch_7", (KEY, "k2"))
    store.mark_collected(job, frozenset([KEY]))
    assert json.loads(path.read_text()) == BATCH_JOB | {"to_collect": ["k2"]}
