"""OpenAI's batch API: a file of requests goes in, a file of replies and one of errors come out."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.batch_results import TRANSFER_S, read_results
from alchemist_exp.llm.providers.base import Api, BatchResults, ProviderLLM
from alchemist_exp.llm.providers.errors import clean, fault_of, sorted_faults
from alchemist_exp.llm.providers.openai import payload, response_of
from alchemist_exp.llm.providers.parsing import count_of, fields_of, items_of, parsed, text_of
from alchemist_exp.llm.types import Request, Response, TransientError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MARK = "alchemist"
"""The key of a batch's metadata under which our mark stands."""

PAGES = 10
PAGE = 100
"""Of the newest batches that are searched for a mark."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class OpenAIBatches:
    """See `Batches`. A batch bears our mark, so that it is found though its id was lost."""

    can_find = True

    def __init__(self, llm: ProviderLLM, server: "AsyncOpenAI", key: str) -> None:
        self._llm = llm
        self._transferring = replace(llm, timeout_s=max(llm.timeout_s, TRANSFER_S))
        # A client that repeats a lost request by itself would hand a batch in twice.
        self._server = server.with_options(timeout=self._transferring.timeout_s, max_retries=0)
        self._key = key

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """See `Batches.submit`."""
        url: Literal["/v1/responses", "/v1/chat/completions"]
        url = "/v1/responses" if self._llm.spec.api is Api.responses else "/v1/chat/completions"
        lines = [
            json.dumps({"custom_id": r.key, "method": "POST", "url": url, "body": payload(self._llm, r)})
            for r in requests
        ]
        content = "".join(f"{line}\n" for line in lines).encode()
        async with self._faults(self._transferring):
            sent = await self._server.files.with_raw_response.create(
                file=(f"alchemist-{mark}.jsonl", content), purpose="batch"
            )
            file = _id_in(parsed(sent.http_response.content))
            made = await self._server.batches.with_raw_response.create(
                input_file_id=file, endpoint=url, completion_window="24h", metadata={MARK: mark}
            )
            return _id_in(parsed(made.http_response.content))

    async def find(self, mark: str) -> str | None:
        """See `Batches.find`."""
        after: dict[str, Any] = {}
        for _ in range(PAGES):
            async with self._faults(self._llm):
                listed = await self._server.batches.with_raw_response.list(limit=PAGE, **after)
                page = fields_of(parsed(listed.http_response.content))
            batches = items_of(page.get("data"))
            for batch in batches:
                if fields_of(batch.get("metadata")).get(MARK) == mark:
                    return _id_in(batch)
            if not batches or page.get("has_more") is not True:
                return None
            after = {"after": _id_in(batches[-1])}
        return None

    async def finished(self, batch: str) -> tuple[bool, int]:
        """See `Batches.finished`."""
        state = await self._retrieve(batch)
        counts = fields_of(state.get("request_counts"))
        done = (count_of(counts.get("completed")) or 0) + (count_of(counts.get("failed")) or 0)
        return state.get("status") in ENDED, done

    async def results(self, batch: str) -> BatchResults:
        """See `Batches.results`."""
        state = await self._retrieve(batch)
        raw = b""
        for name in ("output_file_id", "error_file_id"):
            if file := text_of(state.get(name)):
                async with self._faults(self._transferring):
                    raw += (await self._server.files.content(file)).content + b"\n"
        said = [text_of(e.get("message")) for e in items_of(fields_of(state.get("errors")).get("data"))]
        status = clean(text_of(state.get("status")), self._key)
        shortfall = f"the batch ended as {status} without it" + "".join(f": {clean(s, self._key)}" for s in said[:1])
        return read_results(raw, self._answer, key=self._key, shortfall=shortfall)

    def _answer(self, row: Mapping[str, Any]) -> Response:
        """The reply in a line of results."""
        response, error = fields_of(row.get("response")), fields_of(row.get("error"))
        status = count_of(response.get("status_code"))
        if status is None or status < 200:
            said = text_of(error.get("message")) or text_of(error.get("code")) or "a line without a response"
            raise TransientError(clean(said, self._key))
        if status >= 400:
            body = fields_of(response.get("body")) or error
            answer = SimpleNamespace(status_code=status, body=body, response=SimpleNamespace(headers={}))
            raise fault_of(self._llm, answer, self._key)
        return response_of(response.get("body"), model=self._llm.model)

    async def _retrieve(self, batch: str) -> Mapping[str, Any]:
        async with self._faults(self._llm):
            got = await self._server.batches.with_raw_response.retrieve(batch)
            return fields_of(parsed(got.http_response.content))

    @asynccontextmanager
    async def _faults(self, llm: ProviderLLM) -> AsyncIterator[None]:
        import openai

        async with sorted_faults(llm, openai, self._key):
            try:
                yield
            except openai.NotFoundError:
                raise LLMError("the server does not know it, or has no batch API") from None


def _id_in(value: Any) -> str:
    identifier = text_of(fields_of(value).get("id"))
    if not identifier:
        raise TransientError("the reply has no id")
    return identifier
