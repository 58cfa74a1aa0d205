"""The content of one entry of the response cache: a JSON object that holds the request and the response to it.

The names in it and the tag of the key must not change, or responses that were paid for are lost.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.atomic_io import read_prefix
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import join_surrogates, key_of, to_jsonable
from alchemist_exp.llm.types import FinishReason, Message, Request, Response, Role, Usage

_MAX_BYTES: Final = 1 << 30
"""A longer entry is cut, and therefore broken."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cached response.

    Attributes:
        path: Its file.
        size: The size of the file in bytes.
        time: When it was written.
        request: The request that was answered.
        response: The response.

    """

    path: Path
    size: int
    time: datetime
    request: Request
    response: Response

    @property
    def key(self) -> str:
        """The key of the request."""
        return self.path.stem

    @property
    def provider(self) -> str:
        """The name of the provider that received the request."""
        return self.request.provider

    @property
    def model(self) -> str:
        """The model that responded, as the provider names it."""
        return self.response.model

    @property
    def sample(self) -> int:
        """The number of the sample, of several for the same prompt."""
        return self.request.sample

    @property
    def usage(self) -> Usage | None:
        """The tokens of the call; None if they were not metered."""
        return self.response.usage

    @property
    def text(self) -> str:
        """The text of the response."""
        return self.response.text

    @property
    def first_line(self) -> str:
        """The first line of the prompt that is not blank."""
        prompt = next((m.text for m in self.request.messages if m.role is Role.USER), "")
        return prompt.lstrip().partition("\n")[0]

    def is_by(self, model: str) -> bool:
        """Check the model of the entry.

        Args:
            model: The name of a model, as it is requested or as it responds.

        Returns:
            Whether it is the model that was requested or the one that responded.

        """
        return model in (self.request.model, self.model)


def to_content(request: Request, response: Response) -> dict[str, object]:
    """Return the content of an entry that is written now.

    Args:
        request: The request.
        response: The complete response to it.

    Returns:
        The content, without a type that JSON does not have.

    """
    return {
        "request": to_jsonable(request),
        "reply": response.text,
        "sha256": _digest(response.text),
        "model": response.model,
        "usage": to_jsonable(response.usage),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "batch": response.batch,
    }


def read_entry(path: Path) -> Entry | None:
    """Read one entry.

    Args:
        path: Its file.

    Returns:
        The entry; None if there is no such file.

    Raises:
        StoreError: The entry is broken or cannot be read. The message names its file.

    """
    try:
        raw = read_prefix(path, _MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"the cached response {path} cannot be read ({error.strerror}); fix its permissions or the disk."
        ) from error
    try:
        return _parse_entry(path, len(raw), json.loads(raw.decode("utf-8")))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"the cached response {path} is broken ({error!r}); delete it and run again.") from error


def _parse_entry(path: Path, size: int, content: Mapping[str, Any]) -> Entry:
    """Parse the content of an entry. KeyError, TypeError or ValueError if it does not have the form of one."""
    request, text = content["request"], _typed(str, content["reply"])
    # The key is computed from the request, so an entry that was renamed or edited is detected.
    if key_of("reply", request) != path.stem:
        raise StoreError(f"the cached response {path} answers another request; delete it and run again.")
    if content["sha256"] != _digest(text):
        raise StoreError(f"the response in {path} is not the one that was written; delete it and run again.")
    usage = content["usage"]
    return Entry(
        path=path,
        size=size,
        time=datetime.fromisoformat(content["time"]).astimezone(UTC),
        request=Request(
            provider=_typed(str, request["provider"]),
            model=_typed(str, request["model"]),
            messages=tuple(Message(role=Role(m["role"]), text=_typed(str, m["text"])) for m in request["messages"]),
            parameters=_typed(dict, request["parameters"]),
            sample=_typed(int, request["sample"]),
        ),
        response=Response(
            text=text,
            model=_typed(str, content["model"]),
            finish_reason=FinishReason.COMPLETE,
            usage=None if usage is None else Usage(**{name: _typed(int, count) for name, count in usage.items()}),
            # Entries from before batch APIs were supported do not have this key.
            batch=_typed(bool, content.get("batch", False)),
            from_cache=True,
        ),
    )


def _typed(kind: type, value: Any) -> Any:
    # isinstance is not strict enough: a bool is an instance of int.
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(join_surrogates(text).encode("utf-8", "surrogatepass")).hexdigest()
