"""What the vendors' clients raise, sorted once: what another attempt may mend, and what a person has to.

What a server writes is untrusted: it is cleaned and shortened, and a key that it echoes is taken out.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.base import ProviderLLM
from alchemist_exp.llm.providers.parsing import fields_of, text_of
from alchemist_exp.llm.types import Response, TransientError

LONGEST_WAIT_S = 120.0
"""The most that a server's Retry-After is obeyed."""

LONGEST_QUOTE = 200
"""Characters of a server's text that an error quotes."""

TRANSIENT = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which another attempt may succeed."""

_NO_CREDIT = re.compile(r"insufficient_quota|billing_|spend_limit|credit balance", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context length|context window|prompt is too long|too many tokens|request_too_large",
    re.IGNORECASE,
)
_NO_SCHEMA = re.compile(r"response_format|json_schema", re.IGNORECASE)


@asynccontextmanager
async def sorted_faults(llm: ProviderLLM, vendor: ModuleType, key: str) -> AsyncIterator[None]:
    """Around one attempt: raises Unanswered or LLMError, and cuts it off after `llm.timeout_s`.

    vendor: the module openai or anthropic; both name what they raise alike. Anything that is no fault of the network,
    the server or the account is raised as it is.
    """
    late = f"no reply within {llm.timeout_s:g} s (llm.timeout_s)"
    # What a client raises may quote the key, so it is not chained to what we raise.
    try:
        async with asyncio.timeout(llm.timeout_s) as deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        raise TransientError(late, maybe_billed=True) from None
    except TransientError as fault:  # a reply that cannot be read
        raise TransientError(clean(str(fault), key), fault.retry_after_s, maybe_billed=True) from None
    except vendor.APITimeoutError:
        raise TransientError(late, maybe_billed=True) from None
    except vendor.APIConnectionError as error:
        cause = clean(str(error.__cause__ or error), key) or type(error.__cause__).__name__
        raise TransientError(f"the connection failed ({cause})", maybe_billed=_was_sent(error)) from None
    except vendor.APIResponseValidationError:
        raise TransientError("the reply is not what the API promises", maybe_billed=True) from None
    except vendor.APIStatusError as error:
        raise fault_of(llm, error, key) from None


def _was_sent(error: BaseException) -> bool:
    """Whether the request may have reached the server: all that is sure to come before is connecting."""
    return "ConnectError" not in type(error.__cause__).__name__


def fault_of(llm: ProviderLLM, error: Any, key: str) -> TransientError | LLMError:
    """What an answer with a status of 400 or more comes to. error: has status_code, body and response."""
    status: int = error.status_code
    details = fields_of(error.body)
    details = fields_of(details.get("error")) or details
    subcode = fields_of(details.get("details")).get("error_code")
    marks = " ".join(str(mark or "") for mark in (subcode, *map(details.get, ("code", "type", "message"))))
    said = clean(text_of(details.get("message") or details.get("detail") or error.body), key).rstrip(". ")
    quote = f": {said}" if said else ""
    if status == 402 or (status < 500 and _NO_CREDIT.search(marks)):
        return LLMError(
            f"there is no credit left for {llm.model}{quote}; add some to the account of {llm.api_key_env}."
        )
    if status not in TRANSIENT and _NO_SCHEMA.search(marks):  # llama_cpp.server answers 500, and would ever again
        return LLMError(
            f"{llm.model} does not take a JSON schema{quote}; give it a card with structured_output: false, as "
            "conf/llm/openai_compatible.yaml shows."
        )
    if status in TRANSIENT or status >= 500:
        return TransientError(f"the server answered {status}{quote}", wait_of(error.response.headers))
    return LLMError(_mistake(llm, status, marks, quote))


def _mistake(llm: ProviderLLM, status: int, marks: str, quote: str) -> str:
    """The sentence about an answer that the same request would get again."""
    if status == 401:
        return f"the key in {llm.api_key_env} was refused for {llm.model}{quote}; export one that is valid."
    if status == 403:
        return (
            f"the key in {llm.api_key_env} may not ask {llm.model}{quote}; use another key or name another llm.model."
        )
    if status == 404:
        return f"llm.model={llm.model} is not known to the server{quote}; name one that is, or check llm.base_url."
    if 300 <= status < 400:
        return f"the server of {llm.model} points to another address ({status}); give that one as llm.base_url."
    if status == 413 or _TOO_LONG.search(marks):
        return (
            f"the prompt is too long for {llm.model}{quote}; shorten the texts or the supplement, lower "
            "llm.max_output_tokens, or name an llm.model with a longer context."
        )
    return f"{llm.model} refused the request with {status}{quote}; change what it names, or add a card for the model."


def named(response: Response, key: str) -> Response:
    """`response`, its model's name as a server gives it made fit for one line."""
    return replace(response, model=clean(response.model, key))


def wait_of(headers: Mapping[str, str]) -> float | None:
    """The wait in seconds that a server asks for, at most `LONGEST_WAIT_S`; None where it asks for none we can read."""
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        wait = _seconds(text, per_second)
        if wait is not None:
            return min(max(wait, 0.0), LONGEST_WAIT_S)
    return None


def _seconds(text: str, per_second: float) -> float | None:
    try:
        wait = float(text) / per_second
    except ValueError:
        return _until(text)
    return None if math.isnan(wait) else wait


def _until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()


def clean(text: str, key: str) -> str:
    """A server's text, fit for one line of an error: no control characters, no key, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace(key, "[key]") if key else line
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 1]}…"
