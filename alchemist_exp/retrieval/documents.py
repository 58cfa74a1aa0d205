"""Finds and reads the documents under a path. Promises that a file is read, or named with the reason why not.

Hidden files and folders (".name") are nobody's documents and are passed over without a word. Symbolic links are
followed only to files that lie in the folder itself. Nothing here judges what a document says: its text may be wrong,
or written to mislead the LLM that reads it.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.hashing import bytes_fingerprint, key_of
from alchemist_exp.core.terminal import single_line
from alchemist_exp.retrieval.formats import FORMATS, Part
from alchemist_exp.retrieval.reader import FILE_BYTES, bytes_of, read_files

TOTAL_BYTES: Final = 2**30
"""Of all documents together; more is an error: every run reads them for its key."""

FILES: Final = 20_000
"""Of any kind under the folder; more is an error, for the path is hardly meant."""

TEXT_CHARACTERS: Final = 100_000_000
"""Of all documents together; more is an error: the index is built in memory."""


@dataclass(frozen=True)
class File:
    """A file of a readable kind. name: its path in the folder, "/" between its parts."""

    name: str
    path: Path


@dataclass(frozen=True)
class LeftOut:
    """A file, or a part of one, that is not searched, and the reason, as the end of a sentence about it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What lies under a path, in the order of the names."""

    path: Path
    files: tuple[File, ...]
    left_out: tuple[LeftOut, ...]

    def fingerprint(self) -> str:
        """A key of all files' names and bytes. DataError when one cannot be read."""
        digests = [(file.name, bytes_fingerprint(bytes_of(file.path))) for file in self.files]
        return key_of("documents", digests)


@dataclass(frozen=True)
class Document:
    """A document's text. name: as in `File`, fit to be shown."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Library:
    """All documents that could be read, and what could not."""

    documents: tuple[Document, ...]
    left_out: tuple[LeftOut, ...]


def find(path: Path) -> Listing:
    """The documents under `path`, a file or a folder. DataError when there is none."""
    path = path.expanduser()
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"the documents {str(path)[:200]!r} cannot be opened: {reason}.") from error
    if stat.S_ISDIR(kind):
        files = list(_walk(path))
    elif stat.S_ISREG(kind):
        files = [File(path.name, path)]
    else:
        raise DataError(f"the documents {str(path)!r} are neither a file nor a folder; name one of them.")
    reasons = [_reason_against(file, path) for file in files]
    listing = Listing(
        path=path,
        files=tuple(file for file, reason in zip(files, reasons, strict=True) if not reason),
        left_out=tuple(
            LeftOut(single_line(file.name), reason) for file, reason in zip(files, reasons, strict=True) if reason
        ),
    )
    if not listing.files:
        raise _nothing(path, listing.left_out)
    total = sum(file.path.stat().st_size for file in listing.files)
    if total > TOTAL_BYTES:
        raise DataError(
            f"the documents under {str(path)!r} have {total / 2**20:,.0f} MiB together; up to "
            f"{TOTAL_BYTES / 2**20:,.0f} can be searched: name a smaller folder."
        )
    return listing


def _walk(root: Path) -> Iterator[File]:
    """All files and linked folders under `root` that are not hidden, in the order of their names."""

    def stop(error: OSError) -> None:
        raise DataError(
            f"the folder {error.filename!r} cannot be read: {error.strerror}; mend its permissions or move it away."
        ) from error

    found: list[File] = []
    for folder, folders, names in os.walk(root, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        paths = [Path(folder) / name for name in [*names, *links] if not name.startswith(".")]
        found += [File(path.relative_to(root).as_posix(), path) for path in paths]
        if len(found) > FILES:
            raise DataError(f"there are more than {FILES:,} files under {str(root)!r}; name a smaller folder.")
    yield from sorted(found, key=lambda file: file.name)


def _reason_against(file: File, root: Path) -> str:
    """Why a file is not even opened; "" when it will be."""
    if file.path != root and file.path.is_symlink():
        try:
            target = file.path.resolve(strict=True)
        except (OSError, RuntimeError):  # Python 3.11 and 3.12 tell of a loop by RuntimeError
            return "it is a link to nothing"
        if target.is_dir():
            return "a link to a folder is not followed"
        if not target.is_relative_to(root.resolve()):
            return "a link out of the folder is not followed"
    suffix = file.path.suffix.lower()
    if suffix not in FORMATS:
        return f"the kind {suffix} is not read" if suffix else "a name without an ending is not read"
    try:
        status = file.path.stat()
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_size > FILE_BYTES:
        return f"it has {status.st_size / 2**20:,.0f} MiB and up to {FILE_BYTES / 2**20:,.0f} are read"
    return ""


def read(listing: Listing) -> Library:
    """Reads all documents of `listing`. DataError when none has a text, or they have too much of it."""
    documents: list[Document] = []
    left_out: list[LeftOut] = []
    characters = 0
    for file, reading in zip(listing.files, read_files([file.path for file in listing.files]), strict=True):
        name = single_line(file.name)
        parts = tuple(part for part in reading.parts if _has_words(part))
        if parts:
            documents.append(Document(name, parts))
            empty = [part for part in reading.parts if part.place and not _has_words(part)]
            left_out += [LeftOut(f"{name}, {part.place}", "it has no text") for part in empty]
        else:
            left_out.append(LeftOut(name, reading.unreadable or "it has no text"))
        if reading.warning:
            left_out.append(LeftOut(name, f"pypdf warns that some of it may be lost ({reading.warning})"))
        characters += sum(len(part.text) for part in parts)
        if characters > TEXT_CHARACTERS:
            raise DataError(
                f"the documents under {str(listing.path)!r} have more than {TEXT_CHARACTERS:,} characters of text; "
                "name a smaller folder."
            )
    if not documents:
        raise _nothing(listing.path, [*listing.left_out, *left_out])
    return Library(tuple(documents), tuple(left_out))


def _has_words(part: Part) -> bool:
    return any(map(str.isalnum, part.text))


def told(left_out: Sequence[LeftOut], names: int = 3, reasons: int = 6) -> str:
    """What was left out as part of a sentence: the first `reasons`, and of each the first `names` and their number."""
    by_reason: dict[str, list[str]] = {}
    for item in left_out:
        by_reason.setdefault(item.reason, []).append(item.name)
    clauses = [
        f"{', '.join(found[:names])}{f' and {len(found) - names} more' if len(found) > names else ''}: {reason}"
        for reason, found in list(by_reason.items())[:reasons]
    ]
    if others := sum(map(len, list(by_reason.values())[reasons:])):
        clauses.append(f"and {others} more for other reasons")
    return "; ".join(clauses)


def _nothing(path: Path, left_out: Sequence[LeftOut]) -> DataError:
    found = f" ({told(left_out)})" if left_out else ": there is no file that is not hidden"
    return DataError(f"no document can be read under {str(path)!r}{found}; {', '.join(FORMATS)} are read.")
