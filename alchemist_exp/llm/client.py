"""Gets replies: from the cache where they are, else from the LLM, side by side and within every limit.

A reply that was paid for is written before it is used, and what could be asked is finished before an error ends the
job, so that a run that starts again pays for nothing twice. What is on its way when a process is killed may be paid
for and lost: the ledger counts it as spent.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import AlchemistError, LLMError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.llm.batch import ask_in_batches
from alchemist_exp.llm.batch_jobs import BatchJobStore
from alchemist_exp.llm.budget import BudgetLedger, Reservation
from alchemist_exp.llm.cost import price_of
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.providers.base import CacheMode, ProviderLLM
from alchemist_exp.llm.rate_limits import RateLimiter
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.tokens import count_messages, upper_bound
from alchemist_exp.llm.types import (
    LLM,
    FinishReason,
    LLMCall,
    Price,
    ProviderClient,
    Request,
    Response,
    TransientError,
    Usage,
)

_log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_TRUNCATED_MOST: Final = 2
"""Truncated replies to one request: what was too long twice will be so again, and each is paid in full."""

_BUDGET_POLL_S: Final = 0.05
_BATCH_POLL_S: Final = 30.0


class LLMClient:
    """Asks one LLM on behalf of a job.

    folder: where the limits that jobs share are kept. cap_usd: the most that all who use the folder may spend.
    """

    def __init__(self, llm: LLM, cache: ResponseCache, folder: Path, cap_usd: float | None = None) -> None:
        self.llm = llm
        self._cache = cache
        self._folder = folder
        self._cap_usd = math.inf if cap_usd is None else cap_usd
        self._ledger = BudgetLedger(folder / "budget.jsonl")
        self.paid_usd = 0.0
        """What the replies so far have cost, as far as that is known."""

    @property
    def spent_usd(self) -> float:
        """What counts against the cap: spent, or perhaps spent, by all jobs that share the folder."""
        if not self._ledger.path.exists():
            return 0.0
        return self._ledger.spent_usd + self._ledger.unsettled_usd

    def cached(self, request: Request) -> Response | None:
        """The reply to `request` if it need not be asked for."""
        if not isinstance(self.llm, ProviderLLM) or self.llm.cache is CacheMode.refresh:
            return None
        return self._cache.read(request)

    def ask(self, ask: RequestBatch, on_reply: Callable[[LLMCall], None] = lambda _: None) -> list[LLMCall]:
        """A call for each request, in their order. `on_reply` is told of each as it comes.

        A reply that is still refused or empty after `llm.max_attempts`, or truncated twice, is returned as it is.
        LLMError when the LLM cannot be asked (what was on its way is received and kept first), and when the budget is
        used up.
        """
        return asyncio.run(self._ask(ask, on_reply))

    async def _ask(self, ask: RequestBatch, on_reply: Callable[[LLMCall], None]) -> list[LLMCall]:
        done: dict[str, LLMCall] = {}

        def take(call: LLMCall) -> None:
            done[call.request.key] = call
            paid = [c for c in (call.response, *call.incomplete_responses) if not c.from_cache]
            self.paid_usd += price_of(paid, self.llm.price) or 0.0
            on_reply(call)

        distinct = {request.key: request for request in ask.requests}
        for request in distinct.values():
            if found := self.cached(request):
                take(LLMCall(request=request, response=found))
        missing = [request for key, request in distinct.items() if key not in done]
        if missing:
            if isinstance(self.llm, ProviderLLM):
                await self._ask_provider(self.llm, missing, take, ask)
            else:
                async with self.llm.connect() as client:
                    for request in missing:
                        take(LLMCall(request=request, response=await client.complete(request)))
        return [done[request.key] for request in ask.requests]

    async def _ask_provider(
        self, llm: ProviderLLM, missing: Sequence[Request], take: Callable[[LLMCall], None], ask: RequestBatch
    ) -> None:
        if llm.cache is CacheMode.only:
            raise LLMError(_miss(missing, llm))
        async with llm.connect() as client:
            if ask.rows and llm.batch:
                batching = _Batching(llm, client, self._cache, self._ledger, self._folder, self._cap_usd)
                await batching.ask(missing, take, name=key_of("batches", [request.key for request in ask.requests]))
            else:
                asking = _Asking(llm, client, self._cache, self._ledger, self._folder, self._cap_usd)
                await asking.ask(missing, take)


def _miss(missing: Sequence[Request], llm: ProviderLLM) -> str:
    first = missing[0]
    prompt = " ".join(first.messages[-1].text.split())[-80:]
    return (
        f"llm.cache is only, and {len(missing)} of the replies are not in the cache: the first is sample "
        f"{first.sample} of {llm.model} to the prompt that ends in {prompt!r}; use llm.cache=use to ask for them."
    )


class _Asking:
    """Asks side by side. One event loop."""

    def __init__(
        self,
        llm: ProviderLLM,
        client: ProviderClient,
        cache: ResponseCache,
        ledger: BudgetLedger,
        folder: Path,
        cap_usd: float,
    ) -> None:
        self._llm = llm
        self._client = client
        self._cache = cache
        self._ledger = ledger
        self._cap_usd = cap_usd
        name = key_of("limits", {"provider": llm.name, "model": llm.model, "base_url": llm.base_url})
        self._rates = RateLimiter(
            folder / "limits" / name,
            max_in_flight=llm.max_in_flight,
            requests_per_minute=llm.requests_per_minute,
            tokens_per_minute=llm.tokens_per_minute,
        )
        self._failure: AlchemistError | None = None

    async def ask(self, requests: Sequence[Request], take: Callable[[LLMCall], None]) -> None:
        waiting = iter(requests)
        workers = min(self._llm.max_in_flight, len(requests))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(waiting, take))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self._failure is not None:
            raise self._failure

    async def _work(self, waiting: Iterator[Request], take: Callable[[LLMCall], None]) -> None:
        for request in waiting:
            if self._failure is not None:
                return
            try:
                take(await self._exchange(request))
            except AlchemistError as failure:
                # The other tasks finish what is on its way, which is paid for, and take up nothing new.
                self._failure = self._failure or failure

    async def _exchange(self, request: Request) -> LLMCall:
        async with self._cache.asking(request):
            if self._llm.cache is CacheMode.use and (found := self._cache.read(request)):
                return LLMCall(request=request, response=found)  # another job was quicker
            incomplete: list[Response] = []
            reason = ""
            for attempt in range(self._llm.max_attempts):
                try:
                    response = await self._attempt(request)
                except TransientError as unanswered:
                    reason = str(unanswered)
                    if attempt + 1 < self._llm.max_attempts:
                        await self._back_off(attempt, unanswered)
                    continue
                if response.finish_reason is FinishReason.COMPLETE:
                    return LLMCall(request=request, response=response, incomplete_responses=tuple(incomplete))
                incomplete.append(response)
                if [reply.finish_reason for reply in incomplete].count(FinishReason.TRUNCATED) == _TRUNCATED_MOST:
                    break
            if incomplete:
                return LLMCall(request=request, response=incomplete[-1], incomplete_responses=tuple(incomplete[:-1]))
        raise LLMError(
            f"{self._llm.model} gave no reply in {self._llm.max_attempts} attempts ({reason}); run again later: the "
            "replies that came are kept."
        )

    async def _attempt(self, request: Request) -> Response:
        """One attempt, within rates and budget; what it gives is kept and booked."""
        estimate = 0
        if self._llm.tokens_per_minute is not None:
            estimate = (
                count_messages(request.messages, self._llm.spec.encoding) + request.parameters["max_output_tokens"]
            )
        await self._rates.wait(estimate)
        async with self._rates.slot():
            if self._failure is not None:
                raise self._failure
            reservation = await self._reserve(request)
            try:
                response = await self._client.complete(request)
            except TransientError as unanswered:
                _settle_unanswered(reservation, unanswered)
                raise
            except AlchemistError:
                if reservation is not None:
                    reservation.release()
                raise
        try:
            if response.finish_reason is FinishReason.COMPLETE:
                await asyncio.to_thread(self._cache.write, request, response)
        finally:
            _settle(reservation, response, self._llm)
        if response.usage is not None:
            self._rates.correct(estimate, response.usage.input_tokens + response.usage.output_tokens)
        return response

    async def _reserve(self, request: Request) -> Reservation | None:
        """Room in the budget for the most the request can cost; None where its price is not known."""
        if self._llm.price is None:
            return None
        usd = _most_usd(request, self._llm.price)
        while (reservation := self._ledger.reserve(usd, self._cap_usd, request.key)) is None:
            await asyncio.sleep(_BUDGET_POLL_S)
            if self._failure is not None:
                raise self._failure
        return reservation

    async def _back_off(self, attempt: int, unanswered: TransientError) -> None:
        if unanswered.after_s is not None:
            self._rates.hold(unanswered.after_s)
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1.5)
        _log.info("%s: %s; again in %.1f s", self._llm.model, unanswered, max(wait_s, unanswered.after_s or 0))
        await asyncio.sleep(wait_s)


class _Batching:
    """Asks through a batch API. A reply that is not complete is not asked for again by this run: that takes a day."""

    def __init__(
        self,
        llm: ProviderLLM,
        client: ProviderClient,
        cache: ResponseCache,
        ledger: BudgetLedger,
        folder: Path,
        cap_usd: float,
    ) -> None:
        self._llm = llm
        self._client = client
        self._cache = cache
        self._ledger = ledger
        self._books = folder / "batches"
        self._cap_usd = cap_usd

    async def ask(self, requests: Sequence[Request], take: Callable[[LLMCall], None], *, name: str) -> None:
        """name: the same for a run that is started again, so that what it had reserved is not reserved twice."""
        reservation = await self._reserve(requests, name)
        in_batch = {request.key for request in requests}

        def keep(request: Request, response: Response) -> None:
            if response.finish_reason is FinishReason.COMPLETE:
                self._cache.write(request, response)
            if reservation is not None and self._llm.price is not None:
                if response.usage is None:
                    reservation.settle_part(_most_usd(request, self._llm.price, batch=True))
                else:
                    reservation.settle_part(self._llm.price.usd(response.usage, batch=True))
            in_batch.discard(request.key)
            take(LLMCall(request=request, response=response))

        try:
            outcomes = await ask_in_batches(
                requests,
                self._llm,
                self._llm.batches(self._client),
                self._books,
                known=lambda request: None if self._llm.cache is CacheMode.refresh else self._cache.read(request),
                on_reply=keep,
                notice=_log.warning,
                poll_s=_BATCH_POLL_S,
            )
        except AlchemistError:
            if reservation is not None and not self._handed_in(in_batch):
                reservation.release()
            raise
        if reservation is not None:
            reservation.release()
        reasons = [outcome for outcome in outcomes.values() if isinstance(outcome, str)]
        if len(reasons) == len(requests):
            raise LLMError(f"no request of {len(requests)} was answered by a batch: {reasons[0]}")
        for request in requests:
            if request.key in in_batch:
                take(LLMCall(request=request, response=_response_of(outcomes[request.key], self._llm)))

    def _handed_in(self, keys: Set[str]) -> bool:
        """Whether a batch that may yet be paid holds any of the requests."""
        return any(not keys.isdisjoint(book.to_collect) for book in BatchJobStore(self._books).open_books())

    async def _reserve(self, requests: Sequence[Request], name: str) -> Reservation | None:
        if self._llm.price is None:
            return None
        usd = sum(_most_usd(request, self._llm.price, batch=True) for request in requests)
        while (reservation := self._ledger.reserve(usd, self._cap_usd, name, anew=True)) is None:
            await asyncio.sleep(_BUDGET_POLL_S)
        return reservation


def _response_of(outcome: Response | str, llm: ProviderLLM) -> Response:
    """A reply that another job has collected, or the failure that stands in for one."""
    if isinstance(outcome, Response):
        return outcome
    nothing = Usage(input_tokens=0, output_tokens=0)
    return Response(text=outcome, model=llm.model, finish_reason=FinishReason.FAILED, usage=nothing, batch=True)


def _most_usd(request: Request, price: Price, *, batch: bool = False) -> float:
    """The most that `request` can cost."""
    most = Usage(input_tokens=upper_bound(request.messages), output_tokens=int(request.parameters["max_output_tokens"]))
    return price.usd(most, batch=batch)


def _settle(reservation: Reservation | None, response: Response, llm: ProviderLLM) -> None:
    """Books what a reply cost; where the server does not say, the reservation stays what it was."""
    if reservation is None:
        return
    if response.usage is None or llm.price is None:
        reservation.settle(reservation.usd)
    else:
        reservation.settle(llm.price.usd(response.usage, batch=response.batch))


def _settle_unanswered(reservation: Reservation | None, unanswered: TransientError) -> None:
    if reservation is None:
        return
    if unanswered.perhaps_paid:
        reservation.settle(reservation.usd)
    else:
        reservation.release()
