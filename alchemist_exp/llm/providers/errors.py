"""Turns the errors of providers into `TransientError` (another attempt may succeed) and `LLMError` (none can).

A provider describes the exceptions of its SDK as a `ProviderFailure`; the rules here know no SDK. The text that a
server sends is untrusted: control characters and an echoed API key are removed, and it is shortened.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from socket import gaierror
from types import ModuleType
from typing import Any
from urllib.error import HTTPError, URLError

from alchemist_exp.core.errors import LLMError
from alchemist_exp.llm.providers.parsing import as_mapping, as_text, clean, mask_key, parse_json, retry_after_s
from alchemist_exp.llm.types import AccountError, RequestRefusedError, Response, ResponseTooLargeError, TransientError

_MAX_BODY_BYTES = 1 << 20
"""Bytes of an error's body that are read."""

TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which another attempt may succeed."""

_NO_CREDIT = re.compile(r"insufficient_quota|billing_|spend_limit|credit balance", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context length|context window|prompt is too long|too many tokens|request_too_large",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content_filter|content.?policy|content management policy|content filter|ResponsibleAI|moderation|flagged|"
    r"safety (?:system|filter|polic)|usage polic|prohibited_content|prohibited content",
    re.IGNORECASE,
)
_NO_SCHEMA = re.compile(r"response_format|json_schema", re.IGNORECASE)
_TOKEN_PARAMETER = re.compile(r"max_(?:completion_|output_)?tokens", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ProviderFailure:
    """A failed attempt, described without any type of an SDK.

    Attributes:
        status: The HTTP status of the response, or None if no response arrived.
        body: The body of that response: parsed JSON, or its text.
        headers: The headers of that response, which may hold Retry-After.
        message: What happened, if no response arrived.
        timed_out: Whether the time limit was reached.
        sent: Whether the request may have reached the provider, which may then bill it.

    """

    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    timed_out: bool = False
    sent: bool = True


@dataclass(frozen=True, kw_only=True)
class ErrorTranslator:
    """Translates the errors of one connection to a provider.

    Attributes:
        model: The model's name, for messages.
        api_key_env: The environment variable of the API key, for messages.
        api_key: The API key itself, which is removed from every message.
        timeout_s: The time limit of one attempt in seconds.
        address: The address of the server, for messages; empty if it is unknown.
        describe: Returns what an exception means, or None for one that is not of the provider or the network.

    """

    model: str
    api_key_env: str
    api_key: str
    timeout_s: float
    address: str
    describe: Callable[[Exception], ProviderFailure | None]

    @asynccontextmanager
    async def attempt(self, *, timeout_s: float | None = None, not_found: str | None = None) -> AsyncIterator[None]:
        """Translate the errors inside the context and end it at the time limit.

        Args:
            timeout_s: The time limit in seconds, if it is not that of the connection.
            not_found: The message for status 404, if it does not mean that the model is unknown.

        Raises:
            TransientError: Another attempt may succeed.
            LLMError: No attempt can succeed.

        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        # `from None` everywhere: the exceptions of an SDK may quote the API key, and a traceback shows what is chained.
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                yield
        except TransientError as error:  # the response arrived and cannot be read: it may be billed
            raise TransientError(self.clean(str(error)), error.retry_after_s, maybe_billed=True) from None
        except Exception as error:
            cause: BaseException | None = error  # SDKs wrap what their HTTP client raises
            while cause is not None and not isinstance(cause, LLMError):
                cause = cause.__cause__ or cause.__context__
            match cause:
                case ResponseTooLargeError() as too_large:
                    raise ResponseTooLargeError(
                        f"{self._server} sent a response of {too_large}, far more than llm.max_output_tokens allows; "
                        f"nothing of it is kept; check llm.base_url and llm.model={self.model}."
                    ) from None
                case LLMError() as final:
                    raise final from None
            at_deadline = isinstance(error, TimeoutError) and deadline.expired()
            failure = ProviderFailure(timed_out=True) if at_deadline else self.describe(error)
            if failure is None:
                raise
            if failure.timed_out:
                message = f"no response from {self._server} within {timeout_s:g} s (llm.timeout_s)"
                raise TransientError(message, maybe_billed=True) from None
            if failure.status == 404 and not_found is not None:
                raise LLMError(not_found) from None
            raise self.classify(failure) from None

    def classify(self, failure: ProviderFailure) -> TransientError | LLMError:
        """Decide whether another attempt can succeed.

        Args:
            failure: The failed attempt.

        Returns:
            The error to raise, with a message of one line.

        """
        if failure.status is None:
            message = f"{self._server}: {self.clean(failure.message)}"
            return TransientError(message, maybe_billed=failure.sent)
        # OpenAI and Anthropic put the details under "error"; other servers send them at the top, or only a text.
        details = as_mapping(failure.body)
        details = as_mapping(details.get("error")) or details
        subcode = as_mapping(details.get("details")).get("error_code")
        codes_and_message = " ".join(
            str(mark or "") for mark in (subcode, *(details.get(name) for name in ("code", "type", "param", "message")))
        )
        text = as_text(details.get("message") or details.get("detail") or failure.body)
        quote = f": {text}" if (text := self.clean(text).rstrip(". ")) else ""
        status = failure.status
        # Exhausted credit arrives as 429 too, but waiting does not help. A 5xx never means that.
        if status == 402 or (status < 500 and _NO_CREDIT.search(codes_and_message)):
            return AccountError(
                f"there is no credit left for {self.model}{quote}; add some to the account of {self.api_key_env}."
            )
        if status in (400, 403, 422) and _FILTERED.search(codes_and_message):
            return RequestRefusedError(
                f"a filter of {self._server} refused the text{quote}; change the text, or use another llm.model."
            )
        # llama_cpp.server answers 500 to a schema, and would do so at every attempt.
        if status not in TRANSIENT_STATUSES and _NO_SCHEMA.search(codes_and_message):
            return LLMError(
                f"{self.model} does not take a JSON schema{quote}; give it a specification with "
                "structured_output: false, as conf/llm/openai_compatible.yaml shows."
            )
        if status in TRANSIENT_STATUSES or status >= 500:
            return TransientError(f"{self._server} answered {status}{quote}", retry_after_s(failure.headers))
        if status == 413 or (status not in (401, 403, 404) and _TOO_LONG.search(codes_and_message)):
            return RequestRefusedError(
                f"the prompt is too long for {self.model}{quote}; shorten the texts or the supplement, lower "
                "llm.max_output_tokens, or name an llm.model with a longer context."
            )
        if status == 401:
            return AccountError(
                f"the key in {self.api_key_env} was refused for {self.model}{quote} ({self._server}); export one that "
                "is valid."
            )
        if status == 403:
            return AccountError(
                f"the key in {self.api_key_env} has no access to {self.model}{quote} ({self._server}); use another key "
                "or name another llm.model."
            )
        return LLMError(self._explain(status, codes_and_message, quote))

    def _explain(self, status: int, codes_and_message: str, quote: str) -> str:
        """Return the sentence for a status that every attempt would get again."""
        if status == 404:
            return (
                f"llm.model={self.model} is not known to {self._server}{quote}; name one that is, or check "
                "llm.base_url."
            )
        if 300 <= status < 400:
            return f"{self._server} redirects to another address ({status}); set llm.base_url to it."
        refusal = f"{self.model} refused the request with {status}{quote} ({self._server})"
        if "temperature" in codes_and_message.lower():
            return f"{refusal}; set llm.temperature=null, or a value that the model accepts."
        if _TOKEN_PARAMETER.search(codes_and_message):
            return (
                f"{refusal}; lower llm.max_output_tokens, or give the model a specification with another "
                "token_parameter, as the files in conf/llm/models show."
            )
        return f"{refusal}; change what the message names, or add a specification for the model."

    @property
    def _server(self) -> str:
        """The server, for messages."""
        return f"the server at {self.address}" if self.address else "the server"

    def without_key(self, response: Response) -> Response:
        """Return a response without the API key, which a server may repeat in the text or in the model's name.

        Args:
            response: The response as it was received.

        Returns:
            The same response if it does not contain the key.

        """
        text = mask_key(response.text, self.api_key)
        return replace(response, text=text, model=self.clean(response.model))

    def clean(self, text: str) -> str:
        """Return a server's text in a form that is safe in an error message; see the function `clean`."""
        return clean(text, self.api_key)


def describe_sdk_error(sdk: ModuleType, error: Exception) -> ProviderFailure | None:
    """Describe an exception of an SDK generated by Stainless, such as those of OpenAI and Anthropic.

    Args:
        sdk: The SDK's module, which has the exception classes.
        error: Any exception.

    Returns:
        The failed attempt, or None if the exception is not one of the SDK.

    """
    if isinstance(error, sdk.APITimeoutError):  # a subclass of APIConnectionError
        return ProviderFailure(timed_out=True)
    if isinstance(error, sdk.APIConnectionError):
        cause = error.__cause__
        name = type(cause).__name__
        # Only a failure to connect (httpx.ConnectError) is certain to come before the request is sent.
        return _connection_failure(str(cause or error) or name, sent="ConnectError" not in name)
    if isinstance(error, sdk.APIResponseValidationError):  # a subclass of neither
        return ProviderFailure(message="the response does not have the API's format")
    if isinstance(error, sdk.APIStatusError):
        return ProviderFailure(status=error.status_code, body=error.body, headers=error.response.headers)
    return None


def describe_standard_error(error: Exception) -> ProviderFailure | None:
    """Describe an exception of the standard library's HTTP clients, urllib.request and http.client.

    Args:
        error: Any exception.

    Returns:
        The failed attempt, or None if the exception is not about HTTP or a connection.

    """
    if isinstance(error, HTTPError):
        raw = error.read(_MAX_BODY_BYTES)
        try:
            body = parse_json(raw)
        except TransientError:
            body = raw.decode("utf-8", "replace")
        return ProviderFailure(status=error.code, body=body, headers=dict(error.headers))
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return ProviderFailure(timed_out=True)
    if isinstance(error, URLError | ConnectionError | HTTPException):
        return _connection_failure(str(cause), sent=not isinstance(cause, ConnectionRefusedError | gaierror))
    return None


def _connection_failure(cause: str, *, sent: bool) -> ProviderFailure:
    return ProviderFailure(message=f"the connection failed ({cause})", sent=sent)
