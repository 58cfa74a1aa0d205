"""Runs requests through a provider's batch API, which is cheaper and takes up to a day.

Every batch has a batch job, a file on disk that is written before the batch is submitted. A run that is killed at any
moment and started again collects what it submitted, and submits only the requests that no batch holds. The life of a
batch job::

    INTENT --submit--> SUBMITTED --every result taken--> COLLECTED
      |
      +--killed before the id arrived, and the provider has no such batch--> LOST (its requests are submitted again)

A provider without a search for batches cannot tell whether it accepted a batch whose id did not arrive. Such a batch
may be billed without being used; a notice says so. Batches are never cancelled here.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.batch_jobs import BatchJob, BatchJobState, BatchJobStore
from alchemist_exp.llm.batch_size import split_into_batches
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.providers.batch_api import BatchAPI
from alchemist_exp.llm.providers.response_limit import max_response_bytes, response_limit
from alchemist_exp.llm.types import (
    AccountError,
    FinishReason,
    Request,
    RequestRefusedError,
    Response,
    TransientError,
)

FIRST_RETRY_S = 1.0
"""Seconds before a failed call of the batch API is repeated; doubled each time."""

POLL_S = 30.0
MAX_POLL_S = 300.0
POLL_GROWTH = 1.5

MAX_SILENCE_S = 86_400.0
"""Seconds without any answer about the batches after which the run ends; the batch jobs stay on disk."""

_CONTINUES = "Submitted batches continue, and the same run, started again, collects them."

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


async def complete_in_batches(
    requests: Sequence[Request],
    llm: ProviderLLM,
    batch_api: BatchAPI,
    jobs_directory: Path,
    *,
    cached: Callable[[Request], Response | None],
    on_response: Callable[[Request, Response], None],
    notice: Callable[[str], None] = _log.info,
    poll_s: float = POLL_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Mapping[str, Response | str]:
    """Get a response to each request through a batch API. Only one call at a time is allowed in an event loop.

    Args:
        requests: The requests. Each is submitted at most `llm.max_attempts` times.
        llm: The model.
        batch_api: Its batch API.
        jobs_directory: Where the batch jobs of all runs are.
        cached: Returns a response that is already there, or None.
        on_response: Called with each response of a batch, before the batch job says that it was collected.
        notice: Called with each message for the user.
        poll_s: Seconds between the first questions about a batch; later pauses are longer.
        sleep: Waits some seconds.

    Returns:
        For each request's key its response, or the reason why there is none.

    Raises:
        LLMError: No attempt can succeed, or the provider does not answer. Batch jobs on disk keep what was submitted.
        AccountError: Requests of a batch failed because of the key or the credit. The other responses were reported.
        StoreError: A batch job on disk is broken.

    """
    missing = {request.key: request for request in requests}
    jobs = BatchJobStore(jobs_directory)
    run = _BatchRun(missing, llm, batch_api, jobs, cached, on_response, notice, poll_s, sleep)
    while run.missing:
        await run.collect(await run.submit())
        run.give_up()
    return {request.key: run.outcomes[request.key] for request in requests}


@dataclass
class _BatchRun:
    """The state of one call of `complete_in_batches`.

    Attributes:
        missing: The requests that have no outcome yet, by key.
        outcomes: The others' responses, or the reasons why there is none.
        account_error: The error of requests that failed because the key or the credit of its account is not sufficient.
        n_attempts: How many batches did not answer a request.
        reasons: Why the last of them did not.

    """

    missing: dict[str, Request]
    llm: ProviderLLM
    batch_api: BatchAPI
    jobs: BatchJobStore
    cached: Callable[[Request], Response | None]
    on_response: Callable[[Request, Response], None]
    notice: Callable[[str], None]
    poll_s: float
    sleep: Callable[[float], Awaitable[None]]
    outcomes: dict[str, Response | str] = field(default_factory=dict)
    account_error: AccountError | None = None
    n_attempts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)

    async def submit(self) -> list[BatchJob]:
        """Submit the missing requests that no open batch holds.

        Returns:
            All batches with missing requests: those of earlier runs, then the new ones.

        Raises:
            LLMError: The batch API cannot be used.

        """
        # The lock covers the search and the submission, so two runs never submit the same request.
        with self.jobs.locked():
            # Another run may have cached a response and marked its batch as collected. It caches first, so a request
            # that is not in the cache here is still in an open batch job, or in none.
            for key, request in list(self.missing.items()):
                if (response := self.cached(request)) is not None:
                    self._settle(key, response)
            earlier = await self._find_earlier()
            held = {key for job in earlier for key in job.to_collect}
            new: list[BatchJob] = []
            for chunk in split_into_batches([request for key, request in self.missing.items() if key not in held]):
                try:
                    new.append(await self._submit_one(chunk))
                except LLMError as error:
                    if earlier or new:
                        raise LLMError(f"{error} {_CONTINUES}") from error
                    raise
        if new:
            self.notice(f"{_count(new)} submitted; a run that ends earlier collects them when it is started again.")
        return earlier + new

    async def _find_earlier(self) -> list[BatchJob]:
        """Return the open batch jobs with missing requests, and resolve those whose batch has no id yet."""
        earlier = []
        for job in self.jobs.open_jobs():
            if self.missing.keys().isdisjoint(job.to_collect):
                continue
            # This run holds the lock, so a run that left an intent was killed before the id arrived.
            if job.state is BatchJobState.INTENT:
                batch_id = await self._retry(partial(self.batch_api.find, job.mark))
                if batch_id is None:
                    self.jobs.write(replace(job, state=BatchJobState.LOST))
                    self._notice_loss(job)
                    continue
                job = self.jobs.write(replace(job, state=BatchJobState.SUBMITTED, batch=batch_id))
            earlier.append(job)
        if earlier:
            self.notice(f"{_count(earlier)} submitted by an earlier run; collecting the results.")
        return earlier

    async def _submit_one(self, requests: list[Request]) -> BatchJob:
        """Write the batch job, then submit the batch. After an error, search for the batch before trying again."""
        keys = tuple(request.key for request in requests)
        job = self.jobs.create(keys, provider=self.llm.name, model=self.llm.model)
        n_tries = 0

        async def submit_or_find() -> str:
            """Submit the batch; at later tries only if the provider does not have it."""
            nonlocal n_tries
            n_tries += 1
            if n_tries > 1:
                if (batch_id := await self.batch_api.find(job.mark)) is not None:
                    return batch_id
                self._notice_loss(job)
            try:
                return await self.batch_api.submit(requests, job.mark)
            except LLMError:
                # Refused at the first try: the provider has no such batch. After a failed try it may have one.
                if n_tries == 1:
                    self.jobs.remove(job)
                raise

        batch_id = await self._retry(submit_or_find)
        return self.jobs.write(replace(job, state=BatchJobState.SUBMITTED, batch=batch_id))

    async def _retry(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of `call`, which is tried up to `llm.max_attempts` times."""
        pause_s = min(FIRST_RETRY_S, self.poll_s)
        for attempt in itertools.count(1):
            try:
                return await call()
            except TransientError as error:
                if attempt >= self.llm.max_attempts:
                    raise LLMError(
                        f"the batch API of {self.llm.name} failed {attempt} times ({error}); run again later."
                    ) from error
                wait_s = max(pause_s, error.retry_after_s or 0.0)
                self.notice(f"the batch API of {self.llm.name} failed ({error}); next attempt in {wait_s:.0f} s.")
                await self.sleep(wait_s)
                pause_s *= 2
        raise AssertionError

    async def collect(self, jobs: list[BatchJob]) -> None:
        """Wait until all batches have ended, and take the results of each as soon as it has.

        Args:
            jobs: The submitted batches.

        Raises:
            LLMError: The state of a batch cannot be known.

        """
        waiting = {job.mark: job for job in jobs}
        n_done = dict.fromkeys(waiting, 0)
        pause_s, silent_s = self.poll_s, 0.0
        while True:
            n_done_before, errors = dict(n_done), []
            for job in list(waiting.values()):
                if job.batch is None:
                    raise AssertionError(f"the batch {job.mark} was never submitted")
                try:
                    ended, n_done[job.mark] = await self.batch_api.poll(job.batch)
                    if ended:
                        await self._take(job, job.batch)
                        n_done[job.mark] = len(job.keys)
                        del waiting[job.mark]
                except TransientError as error:
                    errors.append(error)
                except LLMError as error:
                    raise LLMError(self._explain_end(job, error)) from error
                if self.account_error is not None:
                    raise AccountError(self._explain_account_error(job, self.account_error, n_waiting=len(waiting)))
            if n_done != n_done_before:
                n_total = sum(len(job.keys) for job in jobs)
                self.notice(f"{sum(n_done.values()):,} of {n_total:,} requests in {_count(jobs)} are done.")
            if not waiting:
                return
            if errors and not silent_s:  # once per silence, not at every poll
                self.notice(f"the state of a batch is unknown ({errors[0]}); the batch continues.")
            wait_s = max([pause_s, *(error.retry_after_s or 0.0 for error in errors)])
            # Silence counts only if every batch failed: one answer shows that the provider can be reached.
            silent_s = silent_s + wait_s if len(errors) == len(waiting) else 0.0
            if silent_s > MAX_SILENCE_S:
                raise LLMError(self._explain_end(next(iter(waiting.values())), errors[0]))
            await self.sleep(wait_s)
            pause_s = max(self.poll_s, min(pause_s * POLL_GROWTH, MAX_POLL_S))

    async def _take(self, job: BatchJob, batch_id: str) -> None:
        """Download the results of a batch, settle the requests that they answer, and mark these on disk."""
        limits = [int(self.missing[key].parameters["max_output_tokens"]) for key in job.keys if key in self.missing]
        n_tokens = max(limits, default=self.llm.max_output_tokens)
        with response_limit(max_response_bytes(n_tokens, n_responses=len(job.keys))):
            results = await self.batch_api.results(batch_id)
        keys = [key for key in job.to_collect if key in self.missing]
        for key in keys:
            match results.outcomes.get(key):
                case Response() as response:
                    # Cached before the batch job is updated: a run killed in between collects it again, for free.
                    self.on_response(self.missing[key], response)
                    self._settle(key, response)
                case RequestRefusedError() as error:
                    refused = FinishReason.REFUSED
                    response = Response.without_text(
                        str(error), model=self.llm.model, finish_reason=refused, batch=True
                    )
                    self._settle(key, response)
                case AccountError() as error:
                    # These requests stay missing: the same run, started again, submits them.
                    self.account_error = error
                case LLMError() as error:
                    self._settle(key, str(error))
                case error:
                    self.n_attempts[key] += 1
                    self.reasons[key] = str(error or results.missing_reason)
        with self.jobs.locked():
            self.jobs.mark_collected(job, frozenset(keys))
        n_unanswered = sum(key in self.missing for key in keys)
        n_foreign = len(results.outcomes.keys() - set(job.keys))
        for count, what in (
            (n_unanswered, "requests without a response"),
            (n_foreign, "responses to requests that are not in it, ignored"),
            (results.n_unreadable, "unreadable lines, ignored"),
        ):
            if count:
                self.notice(f"batch {job.batch}: {count:,} {what}.")

    def give_up(self) -> None:
        """Settle the requests that were submitted `llm.max_attempts` times."""
        for key in list(self.missing):
            if self.n_attempts[key] >= self.llm.max_attempts:
                self._settle(key, f"no response in {self.n_attempts[key]} batches ({self.reasons[key]})")

    def _settle(self, key: str, outcome: Response | str) -> None:
        self.outcomes[key] = outcome
        del self.missing[key]

    def _explain_end(self, job: BatchJob, error: Exception) -> str:
        reason = str(error).rstrip(".")
        return (
            f"the state of batch {job.batch} is unknown ({reason}). {_CONTINUES} "
            f"If the batch no longer exists, delete {self.jobs.path(job)}."
        )

    def _explain_account_error(self, job: BatchJob, error: AccountError, n_waiting: int) -> str:
        n_kept = sum(isinstance(self.outcomes.get(key), Response) for key in job.keys)
        rest = f" {_CONTINUES}" if n_waiting else ""
        return (
            f"{error} {n_kept:,} responses of batch {job.batch} are kept; the same run, started again, requests the "
            f"others.{rest}"
        )

    def _notice_loss(self, job: BatchJob) -> None:
        doubt = (
            "" if self.batch_api.can_find else "; if the provider accepted it, which it cannot tell, it is billed too"
        )
        self.notice(f"a batch of {len(job.keys):,} requests got no id and is submitted again{doubt}.")


def _count(jobs: Sequence[BatchJob]) -> str:
    n_requests = sum(len(job.keys) for job in jobs)
    return f"{len(jobs)} batch{'' if len(jobs) == 1 else 'es'} of {n_requests:,} requests"
