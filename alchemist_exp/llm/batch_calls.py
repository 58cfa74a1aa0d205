"""Sends requests through a provider's batch API within the budget, and caches the responses."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import AlchemistError, LLMError
from alchemist_exp.llm.batch import complete_in_batches
from alchemist_exp.llm.batch_jobs import BatchJobStore
from alchemist_exp.llm.budget import BudgetLedger, Reservation
from alchemist_exp.llm.cost import max_cost
from alchemist_exp.llm.providers.base import CacheMode, ProviderLLM, ProviderSession
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, LLMCall, Request, Response

_log = logging.getLogger(__name__)

_BUDGET_POLL_S: Final = 0.05
_BATCH_POLL_S: Final = 30.0


class BatchCalls:
    """Sends requests of one run through a batch API, with one reservation for all of them.

    A response that is not complete is not requested again by the same run, since a batch may take a day.
    """

    def __init__(
        self,
        llm: ProviderLLM,
        session: ProviderSession,
        cache: ResponseCache,
        ledger: BudgetLedger,
        jobs_directory: Path,
        cap_usd: float,
    ) -> None:
        """Create the sender.

        Args:
            llm: The model, which has the price and the batch API.
            session: The open connection to its provider.
            cache: The cache for complete responses.
            ledger: The budget ledger of all runs.
            jobs_directory: Where the batch jobs of all runs are.
            cap_usd: What all runs may spend together, in USD; `math.inf` for no cap.

        """
        self._llm = llm
        self._session = session
        self._cache = cache
        self._ledger = ledger
        self._jobs_directory = jobs_directory
        self._cap_usd = cap_usd

    async def run(self, requests: Sequence[Request], on_call: Callable[[LLMCall], None], *, name: str) -> None:
        """Send all requests in batches and report each call when its response is collected.

        Args:
            requests: Requests with distinct keys.
            on_call: Called with each finished call.
            name: The name of the reservation. It must be the same for a run that is started again, so that its
                reservation replaces the one of the killed run.

        Raises:
            LLMError: The batch API cannot be used, or no request got a response.
            BudgetError: The budget is used up.

        """
        reservation: Reservation | None = None
        if self._llm.price is not None:
            usd = sum(max_cost(request, self._llm.price, batch=True) for request in requests)
            while (reservation := self._ledger.reserve(usd, self._cap_usd, name, replace=True)) is None:
                await asyncio.sleep(_BUDGET_POLL_S)
        uncollected = {request.key for request in requests}

        def keep(request: Request, response: Response) -> None:
            """Settle the cost of a response, cache it, and report its call."""
            # Settled before it is cached: a run that is killed in between collects it again and counts it twice, while
            # the run that finds it in the cache would not count it at all.
            if reservation is not None and self._llm.price is not None:
                if response.usage is None:
                    reservation.settle_part(max_cost(request, self._llm.price, batch=True))
                else:
                    reservation.settle_part(self._llm.price.usd(response.usage, batch=True))
            if response.finish_reason is FinishReason.COMPLETE:
                self._cache.write(request, response)
            uncollected.discard(request.key)
            on_call(LLMCall(request=request, response=response))

        try:
            outcomes = await complete_in_batches(
                requests,
                self._llm,
                self._llm.batch_api(self._session),
                self._jobs_directory,
                cached=lambda request: None if self._llm.cache is CacheMode.refresh else self._cache.read(request),
                on_response=keep,
                notice=_log.warning,
                poll_s=_BATCH_POLL_S,
            )
        except AlchemistError:
            # A batch that was submitted is paid for when it is finished, whether this run collects it or not. The
            # reservation stays open until a run with the same name replaces it.
            open_jobs = BatchJobStore(self._jobs_directory).open_jobs()
            submitted = any(not uncollected.isdisjoint(job.to_collect) for job in open_jobs)
            if reservation is not None and not submitted:
                reservation.release()
            raise
        if reservation is not None:
            reservation.release()
        reasons = [outcome for outcome in outcomes.values() if isinstance(outcome, str)]
        if len(reasons) == len(requests):
            raise LLMError(f"no request of {len(requests)} got a response from a batch: {reasons[0]}")
        for request in requests:
            if request.key in uncollected:
                # Another run has collected the response, or the request was refused or failed, at no cost.
                outcome = outcomes[request.key]
                if isinstance(outcome, str):
                    failed = FinishReason.FAILED
                    outcome = Response.without_text(outcome, model=self._llm.model, finish_reason=failed, batch=True)
                on_call(LLMCall(request=request, response=outcome))
