"""Replies on disk, one readable JSON file each, under the key of their request.

A reply that was paid for is written before it is used. Truncated, refused and empty replies are never kept. Two jobs
that ask the same at once ask once.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.files import locked, read_json, write_json
from alchemist_exp.core.hashing import plain
from alchemist_exp.llm.base import Completion, Finish, Request, Usage


class ReplyCache:
    """Replies under `root`/<first two digits>/<key>.json."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, request: Request) -> Path:
        """Where the reply to `request` lies or will lie."""
        return self.root / request.key[:2] / f"{request.key}.json"

    def read(self, request: Request) -> Completion | None:
        """The reply on disk, None when there is none. StoreError, naming the file, when it is broken."""
        path = self.path(request)
        if not path.exists():
            return None
        entry = read_json(path, what="the cached reply")
        try:
            if entry["request"] != plain(request):
                raise StoreError(f"the cached reply {path} answers another request; delete it and run again.")
            if entry["sha256"] != _digest(_as_text(entry["reply"])):
                raise StoreError(f"the reply in {path} is not what was written there; delete it and run again.")
            usage = entry["usage"]
            return Completion(
                text=_as_text(entry["reply"]),
                model=_as_text(entry["model"]),
                finish=Finish.COMPLETE,
                usage=None if usage is None else Usage(**usage),
                from_cache=True,
            )
        except (KeyError, TypeError) as error:
            raise StoreError(f"the cached reply {path} is broken ({error!r}); delete it and run again.") from error

    def complete(self, request: Request, ask: Callable[[Request], Completion]) -> Completion:
        """The cached reply, or the one that `ask` gets, kept when it is complete."""
        path = self.path(request)
        if found := self.read(request):
            return found
        with locked(self.root / "locks" / f"{request.key}.lock"):
            if found := self.read(request):
                return found
            completion = ask(request)
            if completion.finish is Finish.COMPLETE:
                write_json(path, _entry(request, completion))
            return replace(completion, from_cache=False)


def _entry(request: Request, completion: Completion) -> dict[str, object]:
    return {
        "request": plain(request),
        "reply": completion.text,
        "sha256": _digest(completion.text),
        "model": completion.model,
        "usage": plain(completion.usage),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text is needed")
    return value
