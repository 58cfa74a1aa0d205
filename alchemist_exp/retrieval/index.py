"""Rank passages by BM25 (Robertson and Zaragoza, 2009; the variant of Lucene, by bm25s).

Words are compared in lower case and without a stemmer. No stop words are removed: documents may be in any language, a
list fits one, and a word that is in every passage has almost no weight. A passage that shares only such a word with a
query comes last.
"""

import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import DataError, MissingPackageError, install_command
from alchemist_exp.retrieval.documents import (
    Listing,
    SkippedFile,
    describe_skipped,
    list_documents,
    read_documents,
)
from alchemist_exp.retrieval.formats import FORMATS
from alchemist_exp.retrieval.passages import UNSPACED, Passage, split_document

KIND: Final = "passages"
"""The name of an index in the artifact cache."""

VERSION: Final = 2
"""Raise it when reading, splitting or ranking changes."""

_DISTRIBUTIONS = {"bm25s": "bm25s", "pypdf": "pypdf", "bs4": "beautifulsoup4"}
"""Import name to package name."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


@dataclass(frozen=True)
class Index:
    """The passages of all documents, with their BM25 weights.

    Attributes:
        passages: The passages, in the order of the documents.
        n_documents: The documents that they are from.
        skipped: The files that are not searched.
        ranker: A bm25s.BM25 of the passages.

    """

    passages: list[Passage]
    n_documents: int
    skipped: list[SkippedFile]
    ranker: Any

    def top(self, queries: Sequence[str], n: int) -> list[Passage]:
        """Return the best passages: the best one of each query, then the second best of each, and so on.

        Args:
            queries: Texts; a passage that shares no word with any of them is not returned.
            n: The most passages that are returned.

        Returns:
            Passages of different texts. Equal scores keep the order of the documents.

        """
        best: dict[str, Passage] = {}
        for places in zip_longest(*map(self._rank, queries)):
            for place in places:
                if place is not None and len(best) < n:
                    best.setdefault(self.passages[place].text, self.passages[place])
        return list(best.values())

    def _rank(self, query: str) -> list[int]:
        """Return the positions of the passages with a positive score, the best first."""
        vocabulary: dict[str, int] = self.ranker.vocab_dict
        scores = self.ranker.get_scores_from_ids([vocabulary[w] for w in words_of(query) if w in vocabulary])
        order = np.argsort(-scores, kind="stable")
        return [int(place) for place in order[: np.count_nonzero(scores > 0)]]

    def summary(self) -> str:
        """Return in one line how many documents and passages are searched and which files are not."""
        counts = f"{self.n_documents:,} documents, {len(self.passages):,} passages"
        return f"{counts}; skipped: {describe_skipped(self.skipped)}" if self.skipped else counts


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared.

    Args:
        text: Any text.

    Returns:
        Words in lower case, with one spelling of ligatures and accents and without soft hyphens. Each character of a
        script without spaces is a word.

    Example:
        >>> words_of("Straße №5")
        ['strasse', 'no5']

    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("\u00ad", "").casefold())


def fingerprint(path: Path) -> str:
    """Return a key of the names and bytes of all documents under `path`.

    Raises:
        DataError: There is no document, there is too much, or a document cannot be read.

    """
    return list_documents(path).fingerprint()


def check(path: Path) -> None:
    """Check that an index of the documents under `path` can be made, without reading them.

    Raises:
        DataError: There is no document, or there is too much.
        ConfigError: A package that these documents need is not installed.

    """
    _required_packages(list_documents(path))


def open_index(path: Path, *, passage_words: int, store: ArtifactCache) -> Index:
    """Return the index of the documents under `path`, and make it if it is not cached.

    Args:
        path: A file or a directory.
        passage_words: About how many words a passage has, see `passages.split_document`.
        store: Where the index is cached, under the content of the documents.

    Returns:
        The index.

    Raises:
        DataError: No document has text, or the documents have changed meanwhile.
        ConfigError: A package that these documents need is not installed.
        StoreError: The cached index is broken.

    """
    listing = list_documents(path)
    packages = _required_packages(listing)
    documents_key = listing.fingerprint()
    import bm25s

    # bm25s sets its logger to DEBUG on import, which every handler of the root logger would print.
    logging.getLogger("bm25s").setLevel(logging.WARNING)

    def make(directory: Path) -> None:
        """Write the index's files into a directory."""
        documents, skipped = read_documents(listing)
        passages = [passage for document in documents for passage in split_document(document, passage_words)]
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words_of(p.text)] for p in passages]
        ranker = bm25s.BM25()
        ranker.index((ids, vocabulary), create_empty_token=False, show_progress=False)
        ranker.save(directory, show_progress=False)
        content = {
            "passages": [asdict(passage) for passage in passages],
            "n_documents": len(documents),
            "skipped": [asdict(file) for file in skipped],
        }
        write_json(directory / "passages.json", content)
        if listing.fingerprint() != documents_key:
            raise DataError(f"the documents under {str(path)!r} changed while they were read; run again.")

    key = {"documents": documents_key, "passage_words": passage_words, "version": VERSION, "packages": packages}
    entry = store.get_or_create(KIND, key, make)
    content = read_json(entry / "passages.json", what="the passages")
    return Index(
        passages=[Passage(**passage) for passage in content["passages"]],
        n_documents=content["n_documents"],
        skipped=[*listing.skipped, *(SkippedFile(**file) for file in content["skipped"])],
        ranker=bm25s.BM25.load(entry, mmap=True),
    )


def _required_packages(listing: Listing) -> dict[str, str]:
    """Return the packages that read and rank these documents, with their versions."""
    formats = {FORMATS[file.suffix.lower()].package for file in listing.files.values()}
    required = sorted({"bm25s", *formats} - {""})
    if missing := [_DISTRIBUTIONS[name] for name in required if find_spec(name) is None]:
        raise MissingPackageError(
            f"the documents under {str(listing.path)!r} need {' and '.join(missing)}; install with: "
            f"{install_command('rag')}"
        )
    return {_DISTRIBUTIONS[name]: version(_DISTRIBUTIONS[name]) for name in required}
