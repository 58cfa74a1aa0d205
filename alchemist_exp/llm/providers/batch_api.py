"""The interface of a provider's batch API, and the reader of the results that such an API returns as JSON lines."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.errors import ErrorTranslator
from alchemist_exp.llm.types import Request, Response, TransientError

TRANSFER_TIMEOUT_S = 1800.0
"""Seconds for sending a whole batch or receiving its results."""

UNKNOWN_BATCH = "the server does not know it, or has no batch API"
"""The message for status 404 of a batch API."""


@dataclass(frozen=True, kw_only=True)
class BatchResults:
    """The results of a finished batch.

    Attributes:
        outcomes: For each request's key the response, a TransientError if another attempt may bring one, or an
            LLMError if none can.
        n_unreadable: Lines of the results that could not be read.
        missing_reason: Why requests that are not in `outcomes` have none.

    """

    outcomes: Mapping[str, Response | TransientError | LLMError]
    n_unreadable: int = 0
    missing_reason: str = "the batch ended without it"


class BatchAPI(Protocol):
    """A provider's batch API, used by one event loop.

    Every method raises TransientError if another attempt may succeed, and LLMError if none can.

    Attributes:
        can_find: Whether `find` can tell that a batch was never submitted.

    """

    can_find: bool

    async def submit(self, requests: Sequence[Request], mark: str) -> str:
        """Submit a batch.

        Args:
            requests: The requests; the custom id of each is its key.
            mark: The name of the batch job on disk.

        Returns:
            The provider's id of the batch.

        """

    async def find(self, mark: str) -> str | None:
        """Search for a batch whose id did not arrive.

        Args:
            mark: What it was submitted with.

        Returns:
            The provider's id, or None if there is no such batch or the API cannot search.

        """

    async def poll(self, batch_id: str) -> tuple[bool, int]:
        """Ask for the state of a batch.

        Args:
            batch_id: The provider's id.

        Returns:
            Whether the batch has ended, for any reason, and the number of its requests that are done.

        """

    async def results(self, batch_id: str) -> BatchResults:
        """Fetch the results of a batch that has ended.

        Args:
            batch_id: The provider's id.

        Returns:
            The results.

        """


def read_results(
    raw: bytes, read_line: Callable[[Mapping[str, Any]], Response], *, errors: ErrorTranslator, missing_reason: str
) -> BatchResults:
    """Read results in JSON lines, of which any may be broken, repeated or unrelated to the batch.

    Args:
        raw: The lines; each has the key of its request as `custom_id`.
        read_line: Returns the response in a line, or raises TransientError or LLMError.
        errors: Cleans what the server wrote.
        missing_reason: Why a request may have no line.

    Returns:
        The outcomes; the first line of a request counts.

    """
    outcomes: dict[str, Response | TransientError | LLMError] = {}
    n_unreadable = 0
    for line in raw.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key = row["custom_id"]
        except (ValueError, RecursionError, TypeError, KeyError):
            key = None
        if not isinstance(key, str):
            n_unreadable += 1
        elif key not in outcomes:
            try:
                response = read_line(row)
                outcomes[key] = replace(errors.without_key(response), batch=True)
            except TransientError as error:
                outcomes[key] = TransientError(errors.clean(str(error)), error.retry_after_s)
            except LLMError as error:
                outcomes[key] = error
    return BatchResults(outcomes=outcomes, n_unreadable=n_unreadable, missing_reason=missing_reason)
