"""Sends requests to a provider concurrently, within the rate limits and the budget, and retries failed attempts."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import ReservedFile
from alchemist_exp.core.errors import AlchemistError, LLMError, StoreError
from alchemist_exp.core.hashing import key_of
from alchemist_exp.llm.budget import BudgetLedger, Reservation
from alchemist_exp.llm.cost import max_cost, price_of
from alchemist_exp.llm.providers.base import CacheMode, ProviderLLM
from alchemist_exp.llm.rate_limits import RateLimiter
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.tokens import count_messages
from alchemist_exp.llm.traffic import Traffic
from alchemist_exp.llm.types import (
    FinishReason,
    LLMCall,
    ProviderClient,
    Request,
    RequestRefusedError,
    Response,
    ResponseTooLargeError,
    TransientError,
)

_log = logging.getLogger(__name__)

_FIRST_BACK_OFF_S: Final = 0.5
_MAX_BACK_OFF_S: Final = 60.0

_MAX_INCOMPLETE: Final = 2
"""Truncated, refused or empty responses to one request. After two, more attempts are unlikely to help, and each one is
paid in full."""

_BUDGET_POLL_S: Final = 0.05


class ConcurrentCalls:
    """Sends requests of one run concurrently. Use it in one event loop and for one call of `run` only."""

    def __init__(
        self,
        llm: ProviderLLM,
        client: ProviderClient,
        cache: ResponseCache,
        ledger: BudgetLedger,
        limits_directory: Path,
        cap_usd: float,
        traffic: Traffic,
    ) -> None:
        """Create the sender.

        Args:
            llm: The model, which has the limits.
            client: The open connection to its provider.
            cache: The cache for complete responses.
            ledger: The budget ledger of all runs.
            limits_directory: Where the rate limits that all runs share are.
            cap_usd: What all runs may spend together, in USD; `math.inf` for no cap.
            traffic: Counts the attempts and their duration.

        """
        self._llm = llm
        self._client = client
        self._cache = cache
        self._ledger = ledger
        self._cap_usd = cap_usd
        self._traffic = traffic
        name = key_of("limits", {"provider": llm.name, "model": llm.model, "base_url": llm.base_url})
        self._rate_limiter = RateLimiter(
            limits_directory / name,
            max_in_flight=llm.max_in_flight,
            requests_per_minute=llm.requests_per_minute,
            tokens_per_minute=llm.tokens_per_minute,
        )
        self._failure: Exception | None = None
        self._n_spaces = 0  # reserved for calls in flight

    async def run(
        self, requests: Sequence[Request], on_call: Callable[[LLMCall], None], *, per_row: bool = False
    ) -> None:
        """Send all requests and report each call when it is finished.

        Args:
            requests: Requests with distinct keys.
            on_call: Called with each finished call, in the order in which they finish.
            per_row: Whether each request is about one row. A request that is refused, because its row is filtered or
                too long, then counts as a refused response, and the others are sent.

        Raises:
            Exception: The first error. Calls that were in flight then are finished and reported before.

        """
        remaining = iter(requests)
        n_workers = min(self._llm.max_in_flight, len(requests))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(n_workers):
                    group.create_task(self._work(remaining, on_call, per_row))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self._failure is not None:
            raise self._failure

    async def _work(self, remaining: Iterator[Request], on_call: Callable[[LLMCall], None], per_row: bool) -> None:
        for request in remaining:
            if self._failure is not None:
                return
            try:
                on_call(await self._call(request, per_row))
            except Exception as failure:  # noqa: BLE001
                # The error is kept instead of raised: a raise would cancel the other workers, whose calls in flight
                # are paid for. They finish these calls and start no new ones.
                self._failure = self._failure or failure

    async def _call(self, request: Request, per_row: bool) -> LLMCall:
        """Return the call of one request, after up to `llm.max_attempts` attempts."""
        async with self._cache.lock(request):
            # Another run may have received the response while this one waited for the lock.
            if self._llm.cache is CacheMode.use and (cached := self._cache.read(request)):
                return LLMCall(request=request, response=cached)
            incomplete: list[Response] = []
            reason = ""
            for attempt in range(self._llm.max_attempts):
                self._traffic.retries += attempt > 0
                try:
                    response = await self._attempt(request)
                except TransientError as error:
                    reason = str(error)
                    if attempt + 1 < self._llm.max_attempts:
                        await self._back_off(attempt, error)
                    continue
                except RequestRefusedError as error:
                    if not per_row:
                        raise
                    response = Response.without_text(
                        str(error), model=self._llm.model, finish_reason=FinishReason.REFUSED
                    )
                    return LLMCall(request=request, response=response, incomplete_responses=tuple(incomplete))
                if response.finish_reason is FinishReason.COMPLETE:
                    return LLMCall(request=request, response=response, incomplete_responses=tuple(incomplete))
                incomplete.append(response)
                if len(incomplete) == _MAX_INCOMPLETE:
                    break
            if incomplete:
                return LLMCall(request=request, response=incomplete[-1], incomplete_responses=tuple(incomplete[:-1]))
        raise LLMError(
            f"{self._llm.model} gave no response in {self._llm.max_attempts} attempts ({reason}); run again later: "
            "the responses that were received are kept."
        )

    async def _attempt(self, request: Request) -> Response:
        """Make one attempt within the rate limits, the disk space and the budget, and cache its response.

        The order matters. The rate limit comes first, since waiting for it must not hold a slot. The reservation of
        money comes last, directly before the call, so that waiting calls do not reserve any.
        """
        estimated_tokens = 0
        if self._llm.tokens_per_minute is not None:
            estimated_tokens = (
                count_messages(request.messages, self._llm.spec.encoding) + request.parameters["max_output_tokens"]
            )
        await self._rate_limiter.wait(estimated_tokens)
        async with self._rate_limiter.slot():
            if self._failure is not None:
                raise self._failure
            space = await self._reserve_space(request)
            try:
                response = await self._complete(request, space)
            finally:
                space.discard()  # frees nothing after a write, which has used the space
                self._n_spaces -= 1
        if response.usage is not None:
            self._rate_limiter.correct(estimated_tokens, response.usage.input_tokens + response.usage.output_tokens)
        return response

    async def _complete(self, request: Request, space: ReservedFile) -> Response:
        """Make one attempt within the budget, settle its cost, and cache its response in the reserved space."""
        reservation: Reservation | None = None
        if self._llm.price is not None:
            usd = max_cost(request, self._llm.price)
            while (reservation := self._ledger.reserve(usd, self._cap_usd, request.key)) is None:
                # Calls in flight hold the rest of the budget. They usually cost less than they reserve.
                await asyncio.sleep(_BUDGET_POLL_S)
                if self._failure is not None:
                    raise self._failure
        began = time.monotonic()
        try:
            response = await self._client.complete(request)
        except (TransientError, AlchemistError) as error:
            # Any other exception, such as a cancellation, leaves the reservation open: the call may be paid for.
            if reservation is not None:
                # The provider may have generated a response that was lost on the way, and charge for it.
                if isinstance(error, ResponseTooLargeError) or (
                    isinstance(error, TransientError) and error.maybe_billed
                ):
                    reservation.settle(reservation.usd)
                else:
                    reservation.release()
            raise
        self._traffic.seconds += time.monotonic() - began
        self._traffic.attempts += 1
        try:
            # Settled before it is cached: a process that is killed in between has counted what it spent.
            if reservation is not None:
                # Without a metered usage, the reservation is the only known upper bound.
                cost_usd = price_of([response], self._llm.price)
                reservation.settle(reservation.usd if cost_usd is None else cost_usd)
        finally:
            # Cached whatever happens: it is paid for.
            if response.finish_reason is FinishReason.COMPLETE:
                await asyncio.to_thread(self._cache.write, request, response, space)
        return response

    async def _reserve_space(self, request: Request) -> ReservedFile:
        """Reserve disk space for the response; wait for space that calls in flight hold.

        Raises:
            StoreError: There is no space, and no call in flight can free any.

        """
        while True:
            try:
                space = self._cache.reserve(request)
            except StoreError:
                if not self._n_spaces:
                    raise
            else:
                self._n_spaces += 1
                return space
            await asyncio.sleep(_BUDGET_POLL_S)
            if self._failure is not None:
                raise self._failure

    async def _back_off(self, attempt: int, error: TransientError) -> None:
        """Wait before the next attempt: exponentially longer, with jitter, and at least as the server demands."""
        if error.retry_after_s is not None:
            # The server throttles the account, so all runs wait, not only this request.
            self._rate_limiter.hold(error.retry_after_s)
        wait_s = min(_MAX_BACK_OFF_S, _FIRST_BACK_OFF_S * 2**attempt) * random.uniform(0.5, 1.5)
        _log.info("%s: %s; next attempt in %.1f s", self._llm.model, error, max(wait_s, error.retry_after_s or 0))
        await asyncio.sleep(wait_s)
