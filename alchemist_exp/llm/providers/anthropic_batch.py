"""Anthropic's batch API. It keeps no names for batches: one whose id was lost is not found again."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.batch_results import TRANSFER_S, read_results
from alchemist_exp.llm.providers.anthropic import payload, response_of
from alchemist_exp.llm.providers.base import BatchResults, ProviderLLM
from alchemist_exp.llm.providers.errors import clean, fault_of, sorted_faults
from alchemist_exp.llm.providers.parsing import count_of, fields_of, parsed, text_of
from alchemist_exp.llm.types import Request, Response, TransientError

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""With what status the vendor answers what kind of error outside of batches."""


class AnthropicBatches:
    """See `Batches`."""

    can_find = False

    def __init__(self, llm: ProviderLLM, server: "AsyncAnthropic", key: str) -> None:
        self._llm = llm
        self._transferring = replace(llm, timeout_s=max(llm.timeout_s, TRANSFER_S))
        # A client that repeats a lost request by itself would hand a batch in twice.
        self._server = server.with_options(timeout=self._transferring.timeout_s, max_retries=0)
        self._key = key

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """See `Batches.submit`. The mark stays here."""
        entries: list[Any] = [{"custom_id": r.key, "params": payload(self._llm, r)} for r in requests]
        async with self._faults(self._transferring):
            made = await self._server.messages.batches.with_raw_response.create(requests=entries)
            if identifier := text_of(fields_of(parsed(await made.read())).get("id")):
                return identifier
        raise TransientError("the reply has no id")

    async def find(self, mark: str) -> str | None:
        """See `Batches.find`. The API cannot tell."""
        return None

    async def finished(self, batch: str) -> tuple[bool, int]:
        """See `Batches.finished`. The vendor counts only when all have ended."""
        state = await self._retrieve(batch)
        counts = fields_of(state.get("request_counts"))
        done = sum(count_of(counts.get(name)) or 0 for name in ("succeeded", "errored", "canceled", "expired"))
        return state.get("processing_status") == "ended", done

    async def results(self, batch: str) -> BatchResults:
        """See `Batches.results`."""
        if not (await self._retrieve(batch)).get("results_url"):
            raise LLMError("the server keeps its results no longer")
        async with self._faults(self._transferring):
            lines = await self._server.messages.batches.results(batch)
            raw = await lines.http_response.aread()
        return read_results(raw, self._answer, key=self._key, shortfall="the batch ended without it")

    def _answer(self, row: Mapping[str, Any]) -> Response:
        """The reply in a line of results."""
        result = fields_of(row.get("result"))
        if result.get("type") == "succeeded":
            return response_of(result.get("message"), model=self._llm.model)
        response = fields_of(result.get("error"))
        error = fields_of(response.get("error"))
        if not error:
            raise TransientError(
                f"the request {clean(text_of(result.get('type')), self._key) or 'failed'} in the batch"
            )
        status = STATUSES.get(text_of(error.get("type")), 500)
        answer = SimpleNamespace(status_code=status, body=response, response=SimpleNamespace(headers={}))
        raise fault_of(self._llm, answer, self._key)

    async def _retrieve(self, batch: str) -> Mapping[str, Any]:
        async with self._faults(self._llm):
            got = await self._server.messages.batches.with_raw_response.retrieve(batch)
            return fields_of(parsed(await got.read()))

    @asynccontextmanager
    async def _faults(self, llm: ProviderLLM) -> AsyncIterator[None]:
        import anthropic

        async with sorted_faults(llm, anthropic, self._key):
            try:
                yield
            except anthropic.NotFoundError:
                raise LLMError("the server does not know it, or has no batch API") from None
