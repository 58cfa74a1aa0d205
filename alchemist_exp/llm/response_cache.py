"""The cache of complete LLM responses: one readable JSON file per response, under the key of its request.

Truncated, refused and empty responses are never kept. Two runs that need the same response at the same time request it
once if they do so inside `ResponseCache.lock`. Only `prune` deletes entries.

Layout: `<root>/<first two digits of the key>/<key>.json` for entries and `<root>/locks/<first three digits>.lock`.
The layout and the keys must not change, or responses that were paid for are lost.
"""

import re
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from alchemist_exp.core.atomic_io import ReservedFile, json_bytes, remove_partial_files, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.hashing import KEY_LENGTH, to_jsonable
from alchemist_exp.core.locks import locked_async
from alchemist_exp.llm.cache_entry import Entry, read_entry, to_content
from alchemist_exp.llm.types import FinishReason, Request, Response

LOCKS = "locks"
"""The name of the directory of the lock files."""

DRAFT_S = 600
"""Seconds after which a file that is being written counts as left by a killed process."""

ENTRY_BYTES = 4096
TOKEN_BYTES = 16
"""Bytes that an entry has besides its request, and bytes of text for each output token, where 4 are usual."""

_DIRECTORY = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}\.json")
_DRAFT = re.compile(rf"\.{_ENTRY.pattern}\.\d+-[0-9a-f]+")
"""The name that `write_json` gives to a file until it is complete."""


class CacheDefect(StrEnum):
    """What is wrong with a file in the cache. Only `BROKEN` and `DRAFT` are ever pruned."""

    BROKEN = "broken"  # an entry that cannot be parsed, or is not what was written
    DRAFT = "draft"  # left by a process that was killed while it wrote an entry
    FOREIGN = "foreign"  # not a file of the cache
    UNREADABLE = "unreadable"  # permissions or the disk prevent reading


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file in the cache that is not a valid entry.

    Attributes:
        path: The file.
        size: Its size in bytes.
        defect: What is wrong with it.
        message: A sentence that says what is wrong and how to fix it.

    """

    path: Path
    size: int
    defect: CacheDefect
    message: str


class ResponseCache:
    """The cache of complete responses in one directory.

    Attributes:
        root: The directory.

    """

    def __init__(self, root: Path) -> None:
        """Use the directory `root`, which need not exist yet."""
        self.root = root

    def path(self, request: Request) -> Path:
        """Return the file of the response to a request.

        Args:
            request: The request.

        Returns:
            The path, whether the file exists or not.

        """
        return self.root / request.key[:2] / f"{request.key}.json"

    def read(self, request: Request) -> Response | None:
        """Return the cached response to a request.

        Args:
            request: The request.

        Returns:
            The response, with `from_cache` set; None if there is none.

        Raises:
            StoreError: The entry is broken or cannot be read. The message names its file.

        """
        asked_as = [request]
        if (base_url := request.parameters.get("base_url")) is not None:
            # Earlier versions kept a final slash of the address in the key.
            asked_as.append(replace(request, parameters={**request.parameters, "base_url": f"{base_url}/"}))
        for asked in asked_as:
            if (entry := read_entry(self.path(asked))) is not None:
                return entry.response
        return None

    def reserve(self, request: Request) -> ReservedFile:
        """Reserve the disk space of the largest response to a request, before it is paid for.

        Args:
            request: The request, whose lock the caller holds: space that a killed process has reserved is freed.

        Returns:
            The space, for `write`.

        Raises:
            StoreError: There is no space.

        """
        path = self.path(request)
        if path.parent.is_dir():
            # No task is writing them: the caller holds the lock of every task that may write this entry.
            remove_partial_files(path)
        n_tokens = int(request.parameters.get("max_output_tokens", 0))
        n_bytes = len(json_bytes(to_jsonable(request))) + ENTRY_BYTES + TOKEN_BYTES * n_tokens
        return ReservedFile(path, n_bytes)

    def write(self, request: Request, response: Response, reserved: ReservedFile | None = None) -> None:
        """Write an entry, and replace one that exists. A killed process leaves the old or the new one.

        Args:
            request: The request.
            response: The complete response to it.
            reserved: The space that was reserved for it; None to use other space.

        Raises:
            ValueError: The response is not complete.
            StoreError: The file cannot be written.

        """
        if response.finish_reason is not FinishReason.COMPLETE:
            raise ValueError(f"a response that is {response.finish_reason} is never cached")
        content = to_content(request, response)
        if reserved is None:
            write_json(self.path(request), content)
        else:
            reserved.replace(json_bytes(content))

    def lock(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Return a context that one task of all runs holds at a time, to send a request only once.

        Inside it, read the cache again, since another task may have written the response meanwhile; else send the
        request and write the response. Requests whose keys have the same first three digits share a lock, which bounds
        the number of lock files to 4,096. A task that holds a lock must therefore not wait for a second one.

        Args:
            request: The request to send.

        Returns:
            An asynchronous context manager.

        """
        return locked_async(self.root / LOCKS / f"{request.key[:3]}.lock")

    def find(self, prefix: str) -> list[Path]:
        """Find entries by the first digits of their keys.

        Args:
            prefix: One or more hexadecimal digits.

        Returns:
            The sorted files of all entries whose keys begin with `prefix`.

        """
        if not re.fullmatch("[0-9a-f]+", prefix):
            return []
        paths = self.root.glob(f"{prefix[:2]}{'*' * (len(prefix) < 2)}/{prefix}*.json")
        return sorted(path for path in paths if _is_entry_path(path))

    def scan(self) -> Iterator[Entry | Problem]:
        """Yield every file of the cache, as an entry or as a problem, in the order of names."""
        for directory in _sorted_content(self.root):
            if directory.name == LOCKS:
                continue
            if not (_DIRECTORY.fullmatch(directory.name) and directory.is_dir()):
                yield _foreign(directory)
                continue
            for path in _sorted_content(directory):
                if (item := _inspect(path)) is not None:
                    yield item

    def entries(self) -> Iterator[Entry]:
        """Yield all valid entries, in the order of their keys."""
        return (item for item in self.scan() if isinstance(item, Entry))

    def verify(self) -> list[Problem]:
        """Return all files that are not valid entries."""
        return [item for item in self.scan() if isinstance(item, Problem)]

    def prune(
        self,
        *,
        before: datetime | None = None,
        model: str | None = None,
        broken: bool = False,
        dry_run: bool = False,
    ) -> list[Entry | Problem]:
        """Delete entries by age and model, and broken files.

        Args:
            before: Delete entries that are older than this. With `model`, both conditions must hold.
            model: Delete entries by this model.
            broken: Delete also broken files and those that killed processes have left.
            dry_run: Delete nothing.

        Returns:
            What was deleted, or would be deleted without `dry_run`.

        Raises:
            ValueError: No condition is given.

        """
        if before is None and model is None and not broken:
            raise ValueError("prune needs a condition: before, model or broken")
        selected: list[Entry | Problem] = []
        for item in self.scan():
            if isinstance(item, Problem):
                matches = broken and item.defect in (CacheDefect.BROKEN, CacheDefect.DRAFT)
            else:
                matches = (before, model) != (None, None)
                matches = matches and (before is None or item.time < before) and (model is None or item.is_by(model))
            if matches:
                if not dry_run:
                    item.path.unlink(missing_ok=True)
                selected.append(item)
        return selected


def _sorted_content(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _is_entry_path(path: Path) -> bool:
    """Return whether `path` is a file with the name and directory of an entry."""
    return bool(_ENTRY.fullmatch(path.name)) and path.name[:2] == path.parent.name and path.is_file()


def _inspect(path: Path) -> Entry | Problem | None:
    """Return what `path` is; None for a file that is being written, or was deleted meanwhile."""
    try:
        if _DRAFT.fullmatch(path.name) and path.is_file():
            status = path.lstat()
            if time.time() - status.st_mtime < DRAFT_S:
                return None
            message = f"{path} was left by a killed process and is never read; delete it."
            return Problem(path=path, size=status.st_size, defect=CacheDefect.DRAFT, message=message)
        return read_entry(path) if _is_entry_path(path) else _foreign(path)
    except FileNotFoundError:
        return None
    except StoreError as error:
        defect = CacheDefect.UNREADABLE if isinstance(error.__cause__, OSError) else CacheDefect.BROKEN
        return Problem(path=path, size=path.lstat().st_size, defect=defect, message=str(error))


def _foreign(path: Path) -> Problem:
    message = f"{path} does not belong in the cache of responses; move it away."
    return Problem(path=path, size=path.lstat().st_size, defect=CacheDefect.FOREIGN, message=message)
