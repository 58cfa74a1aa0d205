"""Obtains responses from the cache if possible, else from the LLM within the rate limits and the budget.

A response that was paid for is written to the cache before it is used. After an error, calls in flight are finished
before the error is raised. A run that is started again therefore pays for no response twice. A call that is in flight
when its process is killed may be paid for and lost; the budget ledger counts it as spent.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from alchemist_exp.core.errors import LLMError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.llm.batch_calls import BatchCalls
from alchemist_exp.llm.budget import BudgetLedger
from alchemist_exp.llm.concurrent_calls import ConcurrentCalls
from alchemist_exp.llm.cost import max_cost
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.providers.base import CacheMode, ProviderLLM
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.traffic import Traffic
from alchemist_exp.llm.types import LLM, LLMCall, Request, Response


class LLMClient:
    """Sends the requests of one run to one LLM.

    Attributes:
        llm: The model that is called.
        traffic: What was sent and received so far.

    """

    def __init__(self, llm: LLM, cache: ResponseCache, directory: Path, cap_usd: float | None = None) -> None:
        """Create a client.

        Args:
            llm: The model to call. Recorded responses bypass the cache and the budget.
            cache: The cache of complete responses.
            directory: Where the budget ledger, the rate limits and the batch jobs of all runs are.
            cap_usd: What all runs that share `directory` may spend together, in USD; None for no cap.

        """
        self.llm = llm
        self._cache = cache
        self._directory = directory
        self._cap_usd = math.inf if cap_usd is None else cap_usd
        self._ledger = BudgetLedger(directory / "budget.jsonl")
        self.traffic = Traffic()

    @property
    def paid_usd(self) -> float:
        """What the responses to this client have cost in USD, as far as their price and usage are known."""
        return self.traffic.usd

    @property
    def spent_usd(self) -> float:
        """USD that count against the cap: spent, or possibly spent, by all runs that share the directory."""
        if not self._ledger.path.exists():
            return 0.0
        totals = self._ledger.totals()
        return totals.spent + totals.unsettled

    def affordable(self, requests: Sequence[Request]) -> int:
        """Return how many requests one batch may have that is to stay within the budget.

        A batch reserves the most that all of its requests may cost at once; single calls reserve one after another.

        Args:
            requests: Requests, most important first. A cached response costs nothing.

        Returns:
            The number of the first requests that fit; all of them without a batch API, a price or a cap.

        """
        price = self.llm.price
        if not self.llm.uses_batch_api or price is None or math.isinf(self._cap_usd):
            return len(requests)
        left_usd = self._cap_usd - self.spent_usd
        for n, request in enumerate(requests):
            left_usd -= 0.0 if self.cached_response(request) else max_cost(request, price, batch=True)
            if left_usd < 0:
                return n
        return len(requests)

    def cached_response(self, request: Request) -> Response | None:
        """Return the cached response that makes a call unnecessary.

        Args:
            request: The request to look up.

        Returns:
            The response, or None if it is not cached or `llm.cache` is `refresh`.

        Raises:
            StoreError: The entry of the cache is broken.

        """
        if not isinstance(self.llm, ProviderLLM) or self.llm.cache is CacheMode.refresh:
            return None
        return self._cache.read(request)

    def complete(self, batch: RequestBatch, on_call: Callable[[LLMCall], None] = lambda _: None) -> list[LLMCall]:
        """Return the call of each request of `batch`, in order. Equal requests are sent once.

        Args:
            batch: The requests.
            on_call: Called once per distinct request, as soon as its response is there.

        Returns:
            One call per request. A response that was refused, empty or truncated twice is returned as it is.

        Raises:
            LLMError: The LLM cannot be called, or a response that `llm.cache=only` needs is missing.
            BudgetError: The budget is used up.

        """
        return asyncio.run(self._complete(batch, on_call))

    async def _complete(self, batch: RequestBatch, on_call: Callable[[LLMCall], None]) -> list[LLMCall]:
        calls: dict[str, LLMCall] = {}

        def receive(call: LLMCall) -> None:
            """Keep and count the call of a distinct request, and report it."""
            calls[call.request.key] = call
            self.traffic.count((call.response, *call.incomplete_responses), self.llm.price)
            on_call(call)

        distinct = {request.key: request for request in batch.requests}
        for request in distinct.values():
            if response := self.cached_response(request):
                receive(LLMCall(request=request, response=response))
        missing = [request for key, request in distinct.items() if key not in calls]
        if missing:
            if isinstance(self.llm, ProviderLLM):
                await self._call_provider(self.llm, missing, receive, batch)
            else:
                async with self.llm.connect() as provider_client:
                    for request in missing:
                        receive(LLMCall(request=request, response=await provider_client.complete(request)))
        return [calls[request.key] for request in batch.requests]

    async def _call_provider(
        self, llm: ProviderLLM, missing: Sequence[Request], on_call: Callable[[LLMCall], None], batch: RequestBatch
    ) -> None:
        if llm.cache is CacheMode.only:
            first = missing[0]
            prompt = " ".join(first.messages[-1].text.split())[-80:]
            raise LLMError(
                f"llm.cache is only, but responses are missing from the cache ({len(missing)}); the first is sample "
                f"{first.sample} of {llm.model} for the prompt that ends in {prompt!r}; use llm.cache=use to request "
                "them."
            )
        async with llm.connect() as provider_client:
            if batch.per_row and llm.batch:
                batch_calls = BatchCalls(
                    llm, provider_client, self._cache, self._ledger, self._directory / "batches", self._cap_usd
                )
                # The name covers all requests, cached ones too: a run that is started again has the same name.
                name = key_of("batches", [request.key for request in batch.requests])
                await batch_calls.run(missing, on_call, name=name)
            else:
                concurrent_calls = ConcurrentCalls(
                    llm,
                    provider_client,
                    self._cache,
                    self._ledger,
                    self._directory / "limits",
                    self._cap_usd,
                    self.traffic,
                )
                await concurrent_calls.run(missing, on_call, per_row=batch.per_row)
