"""List and read the documents under a path. Each file is read, or named with the reason why not.

Hidden files and directories (".name") are ignored. Symbolic links are followed only to files inside the directory. The
text of a document is not checked: it may be wrong, or written to mislead the LLM that reads it.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.hashing import bytes_fingerprint, key_of
from alchemist_exp.core.terminal import single_line
from alchemist_exp.retrieval.formats import FORMATS, Section
from alchemist_exp.retrieval.reader import FILE_BYTES, read_bytes, read_files

TOTAL_BYTES: Final = 2**30
"""Most bytes of all documents: every run reads them for its key."""

FILES: Final = 20_000
"""Most files of any kind in the directory: with more, the path is probably a mistake."""

TEXT_CHARACTERS: Final = 100_000_000
"""Most characters of all documents: the index is built in memory."""


@dataclass(frozen=True)
class SkippedFile:
    """A file, or a part of one, that is not searched.

    Attributes:
        name: Its name in the directory, for example "scan.pdf, page 2".
        reason: The end of a sentence about it.

    """

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The documents under a path.

    Attributes:
        path: A file or a directory.
        files: The documents by their names, sorted. A name is the path inside the directory, with "/".
        skipped: The other files.

    """

    path: Path
    files: dict[str, Path]
    skipped: tuple[SkippedFile, ...]

    def fingerprint(self) -> str:
        """Return a key of all documents' names and bytes.

        Raises:
            DataError: A document cannot be read.

        """
        return key_of("documents", [(name, bytes_fingerprint(read_bytes(path))) for name, path in self.files.items()])


@dataclass(frozen=True)
class Document:
    """The text of a document.

    Attributes:
        name: Its name in the directory, safe to print.
        sections: Its sections that have text, in order.

    """

    name: str
    sections: tuple[Section, ...]


def list_documents(path: Path) -> Listing:
    """List the documents under a path without reading them.

    Args:
        path: A file or a directory.

    Returns:
        At least one document.

    Raises:
        DataError: There is no document, or there are too many files or bytes.

    """
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"the documents {str(path)[:200]!r} cannot be opened: {reason}.") from error
    if stat.S_ISDIR(mode):
        candidates = _walk(path)
    elif stat.S_ISREG(mode):
        candidates = {path.name: path}
    else:
        raise DataError(f"the documents {str(path)!r} are neither a file nor a directory; name one of them.")
    reasons = {name: _reason_to_skip(file, path) for name, file in candidates.items()}
    files = {name: file for name, file in candidates.items() if not reasons[name]}
    skipped = tuple(SkippedFile(single_line(name), reason) for name, reason in reasons.items() if reason)
    if not files:
        _raise_nothing_readable(path, skipped)
    size = sum(file.stat().st_size for file in files.values())
    if size > TOTAL_BYTES:
        raise DataError(
            f"the documents under {str(path)!r} have {size / 2**20:,.0f} MiB in total, more than "
            f"{TOTAL_BYTES / 2**20:,.0f}; name a smaller directory."
        )
    return Listing(path, files, skipped)


def _walk(root: Path) -> dict[str, Path]:
    """Return all files and linked directories under `root` that are not hidden, sorted by name."""

    def refuse(error: OSError) -> NoReturn:
        """Raise DataError for an unreadable directory."""
        raise DataError(
            f"the directory {error.filename!r} cannot be read: {error.strerror}; change its permissions or move it."
        ) from error

    files: dict[str, Path] = {}
    for directory, subdirectories, names in os.walk(root, onerror=refuse):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        paths = [Path(directory, name) for name in [*names, *links] if not name.startswith(".")]
        files |= {path.relative_to(root).as_posix(): path for path in paths}
        if len(files) > FILES:
            raise DataError(f"there are more than {FILES:,} files under {str(root)!r}; name a smaller directory.")
    return dict(sorted(files.items()))


def _reason_to_skip(file: Path, root: Path) -> str:
    """Return why a file is not opened, "" if it is."""
    if file != root and file.is_symlink():
        try:
            target = file.resolve(strict=True)
        except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise RuntimeError for a loop
            return "it is a broken link"
        if target.is_dir():
            return "links to directories are not followed"
        if not target.is_relative_to(root.resolve()):
            return "links out of the directory are not followed"
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        return f"files of the kind {suffix} are not read" if suffix else "files without an extension are not read"
    try:
        status = file.stat()
    except OSError as error:
        return f"its size cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_size > FILE_BYTES:
        return f"it has {status.st_size / 2**20:,.0f} MiB, more than {FILE_BYTES / 2**20:,.0f}"
    return ""


def read_documents(listing: Listing) -> tuple[list[Document], list[SkippedFile]]:
    """Read all documents.

    Args:
        listing: As `list_documents` returned it.

    Returns:
        The documents that have text, and the documents and pages that have none or could not be read.

    Raises:
        DataError: No document has text, they have too much of it, or one takes too much time or memory.

    """
    documents: list[Document] = []
    skipped: list[SkippedFile] = []
    characters = 0
    for file_name, result in zip(listing.files, read_files(list(listing.files.values())), strict=True):
        name = single_line(file_name)
        sections = tuple(section for section in result.sections if _has_words(section))
        if sections:
            documents.append(Document(name, sections))
            empty = [section for section in result.sections if section.place and not _has_words(section)]
            skipped += [SkippedFile(f"{name}, {section.place}", "it has no text") for section in empty]
        else:
            skipped.append(SkippedFile(name, result.unreadable or "it has no text"))
        if result.warning:
            skipped.append(SkippedFile(name, f"pypdf warns that some of it may be lost ({result.warning})"))
        characters += sum(len(section.text) for section in sections)
        if characters > TEXT_CHARACTERS:
            raise DataError(
                f"the documents under {str(listing.path)!r} have more than {TEXT_CHARACTERS:,} characters of text; "
                "name a smaller directory."
            )
    if not documents:
        _raise_nothing_readable(listing.path, [*listing.skipped, *skipped])
    return documents, skipped


def _has_words(section: Section) -> bool:
    return any(map(str.isalnum, section.text))


def describe_skipped(skipped: Sequence[SkippedFile], *, max_names: int = 3, max_reasons: int = 6) -> str:
    """Describe skipped files as a part of a sentence.

    Args:
        skipped: The files.
        max_names: The most names that are listed per reason.
        max_reasons: The most reasons that are listed.

    Returns:
        Each reason once, after the first names and the number of the other files.

    Example:
        >>> describe_skipped([SkippedFile("a.png", "it has no text"), SkippedFile("b.pdf", "it has no text")])
        'a.png, b.pdf: it has no text'

    """
    by_reason: dict[str, list[str]] = {}
    for file in skipped:
        by_reason.setdefault(file.reason, []).append(file.name)
    clauses = []
    for reason, names in list(by_reason.items())[:max_reasons]:
        others = f" and {len(names) - max_names} more" if len(names) > max_names else ""
        clauses.append(f"{', '.join(names[:max_names])}{others}: {reason}")
    if rest := sum(map(len, list(by_reason.values())[max_reasons:])):
        clauses.append(f"and {rest} more for other reasons")
    return "; ".join(clauses)


def _raise_nothing_readable(path: Path, skipped: Sequence[SkippedFile]) -> NoReturn:
    found = f" ({describe_skipped(skipped)})" if skipped else ": there is no file that is not hidden"
    raise DataError(f"no document can be read under {str(path)!r}{found}; expected {', '.join(FORMATS)}.")
