"""Replies on disk, one readable JSON file each, under the key of their request.

Truncated, refused and empty replies are never kept. Two jobs that ask the same at once ask once, if they ask inside
`lock`. Nothing here is deleted but by `prune`.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from alchemist_exp.core.atomic_io import locked_by_task, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import KEY_LENGTH, join_surrogates, key_of, to_jsonable
from alchemist_exp.llm.types import FinishReason, Message, Request, Response, Role, Usage

LOCKS = "locks"

DRAFT_S = 600
"""Seconds after which a file that is still being written counts as left by a killed writer."""

_FOLDER = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}\.json")
_DRAFT = re.compile(rf"\.{_ENTRY.pattern}\.\d+-[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One kept reply. size: bytes on disk."""

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
        """Who was asked."""
        return self.request.provider

    @property
    def model(self) -> str:
        """Who replied, as the server names it."""
        return self.response.model

    @property
    def sample(self) -> int:
        """Which of several draws for the same question it is."""
        return self.request.sample

    @property
    def usage(self) -> Usage | None:
        """Tokens, None where they were not metered."""
        return self.response.usage

    @property
    def reply(self) -> str:
        """The text of the reply."""
        return self.response.text

    @property
    def first_line(self) -> str:
        """The first line of the prompt that is not blank."""
        prompt = next((m.text for m in self.request.messages if m.role is Role.USER), "")
        return prompt.lstrip().partition("\n")[0]

    def is_by(self, model: str) -> bool:
        """Whether `model` was asked or replied."""
        return model in (self.request.model, self.model)


class CacheDefect(StrEnum):
    """What is wrong with a file. Only `BROKEN` and `DRAFT` are ever pruned."""

    BROKEN = "broken"
    DRAFT = "draft"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that is no sound reply. sentence: what is wrong, and the cure."""

    path: Path
    size: int
    fault: CacheDefect
    sentence: str


class ResponseCache:
    """Replies under `root`/<first two digits>/<key>.json."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, request: Request) -> Path:
        """Where the reply to `request` lies or will lie."""
        return self.root / request.key[:2] / f"{request.key}.json"

    def read(self, request: Request) -> Response | None:
        """The reply on disk, None when there is none. StoreError, naming the file, when it is broken."""
        entry = load(self.path(request))
        return None if entry is None else entry.response

    def write(self, request: Request, response: Response) -> None:
        """Keeps `response`, in place of what may be there. ValueError unless it is complete."""
        if response.finish_reason is not FinishReason.COMPLETE:
            raise ValueError(f"a reply that is {response.finish_reason} is never kept")
        write_json(self.path(request), _written(request, response))

    def lock(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Held by the one task, of all jobs, that asks `request`: look again inside, ask, write.

        Some requests share a lock, so a task that already holds one must not wait for another.
        """
        return locked_by_task(self.root / LOCKS / f"{request.key[:3]}.lock")

    def find(self, prefix: str) -> list[Path]:
        """The files of the replies whose keys begin with `prefix`."""
        if not re.fullmatch("[0-9a-f]+", prefix):
            return []
        found = self.root.glob(f"{prefix[:2]}{'*' * (len(prefix) < 2)}/{prefix}*.json")
        return sorted(path for path in found if _in_place(path))

    def scan(self) -> Iterator[Entry | Problem]:
        """All files, in the order of their names."""
        for folder in _listed(self.root):
            if folder.name == LOCKS:
                continue
            if not (_FOLDER.fullmatch(folder.name) and folder.is_dir()):
                yield _foreign(folder)
                continue
            for path in _listed(folder):
                if (found := _examined(path)) is not None:
                    yield found

    def entries(self) -> Iterator[Entry]:
        """All sound replies, in the order of their keys."""
        return (found for found in self.scan() if isinstance(found, Entry))

    def verify(self) -> list[Problem]:
        """All files that are no sound replies."""
        return [found for found in self.scan() if isinstance(found, Problem)]

    def prune(
        self,
        *,
        before: datetime | None = None,
        model: str | None = None,
        broken: bool = False,
        dry_run: bool = False,
    ) -> list[Entry | Problem]:
        """Deletes replies older than `before` and by `model` (both, where both are given), and, if `broken`, files.

        Returns what was deleted, or with `dry_run` would be. ValueError when nothing is asked for.
        """
        if before is None and model is None and not broken:
            raise ValueError("prune needs a criterion")
        chosen: list[Entry | Problem] = []
        for found in self.scan():
            if isinstance(found, Problem):
                wanted = broken and found.fault in (CacheDefect.BROKEN, CacheDefect.DRAFT)
            else:
                wanted = (before, model) != (None, None)
                wanted = wanted and (before is None or found.time < before) and (model is None or found.is_by(model))
            if wanted:
                if not dry_run:
                    found.path.unlink(missing_ok=True)
                chosen.append(found)
        return chosen


def load(path: Path) -> Entry | None:
    """The reply in the file `path`, None when there is none. StoreError, naming the file, when it is broken."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"the cached reply {path} cannot be read ({error.strerror}); mend its permissions or the disk."
        ) from error
    try:
        return _entry(path, len(raw), json.loads(raw.decode("utf-8")))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"the cached reply {path} is broken ({error!r}); delete it and run again.") from error


def _written(request: Request, response: Response) -> dict[str, object]:
    return {
        "request": to_jsonable(request),
        "reply": response.text,
        "sha256": _digest(response.text),
        "model": response.model,
        "usage": to_jsonable(response.usage),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "batch": response.batch,
    }


def _entry(path: Path, size: int, written: Mapping[str, Any]) -> Entry:
    """The entry that was `written`. KeyError, TypeError or ValueError when it is not of its kind."""
    asked, reply = written["request"], _a(str, written["reply"])
    if key_of("reply", asked) != path.stem:
        raise StoreError(f"the cached reply {path} answers another request; delete it and run again.")
    if written["sha256"] != _digest(reply):
        raise StoreError(f"the reply in {path} is not what was written there; delete it and run again.")
    request = Request(
        provider=_a(str, asked["provider"]),
        model=_a(str, asked["model"]),
        messages=tuple(Message(role=Role(m["role"]), text=_a(str, m["text"])) for m in asked["messages"]),
        parameters=_a(dict, asked["parameters"]),
        sample=_a(int, asked["sample"]),
    )
    response = Response(
        text=reply,
        model=_a(str, written["model"]),
        finish_reason=FinishReason.COMPLETE,
        usage=None if written["usage"] is None else Usage(**{k: _a(int, v) for k, v in written["usage"].items()}),
        # Entries older than batches do not say.
        batch=_a(bool, written.get("batch", False)),
        from_cache=True,
    )
    moment = datetime.fromisoformat(written["time"]).astimezone(UTC)
    return Entry(path=path, size=size, time=moment, request=request, response=response)


def _a(kind: type, value: Any) -> Any:
    # A bool is an int to isinstance, and none is meant here.
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is needed")
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(join_surrogates(text).encode("utf-8", "surrogatepass")).hexdigest()


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _in_place(path: Path) -> bool:
    """Whether `path` is a file where a reply of its name is looked for."""
    return bool(_ENTRY.fullmatch(path.name)) and path.name[:2] == path.parent.name and path.is_file()


def _examined(path: Path) -> Entry | Problem | None:
    """What `path` is; None for a file that is being written, or that has gone meanwhile."""
    try:
        if _DRAFT.fullmatch(path.name) and path.is_file():
            return _draft(path)
        return load(path) if _in_place(path) else _foreign(path)
    except FileNotFoundError:
        return None
    except StoreError as error:
        fault = CacheDefect.UNREADABLE if isinstance(error.__cause__, OSError) else CacheDefect.BROKEN
        return Problem(path=path, size=path.lstat().st_size, fault=fault, sentence=str(error))


def _draft(path: Path) -> Problem | None:
    status = path.lstat()
    if time.time() - status.st_mtime < DRAFT_S:
        return None
    sentence = f"{path} was left by a killed writer and is never read; delete it."
    return Problem(path=path, size=status.st_size, fault=CacheDefect.DRAFT, sentence=sentence)


def _foreign(path: Path) -> Problem:
    sentence = f"{path} is nothing that belongs among the replies; move it away."
    return Problem(path=path, size=path.lstat().st_size, fault=CacheDefect.FOREIGN, sentence=sentence)
