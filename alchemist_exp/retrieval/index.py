"""Ranks passages by BM25 (Robertson and Zaragoza, 2009; the variant of Lucene, by bm25s).

Words are compared in lower case and without a stemmer. No stop words are dropped: documents come in any language, a
list fits one, and a word that is everywhere weighs next to nothing anyway. So a passage that shares only such a word
with a query is found, last.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import ConfigError, DataError, install_command
from alchemist_exp.retrieval.documents import LeftOut, Listing, find, read, told
from alchemist_exp.retrieval.formats import FORMATS
from alchemist_exp.retrieval.passages import UNSPACED, Passage, split

KIND: Final = "passages"
"""The store's name for an index."""

VERSION: Final = 1
"""Rises whenever reading, splitting or ranking alters."""

_DISTRIBUTIONS = {"bm25s": "bm25s", "pypdf": "pypdf", "bs4": "beautifulsoup4"}
"""Import name to package name."""

_PASSAGES = "passages.json"

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


class Index:
    """Passages that can be searched. left_out: what lay beside them and is not among them."""

    def __init__(self, passages: Sequence[Passage], documents: int, left_out: Sequence[LeftOut], ranker: Any) -> None:
        self.passages = tuple(passages)
        self.documents = documents
        self.left_out = tuple(left_out)
        self._ranker = ranker

    def top(self, queries: Sequence[str], n: int) -> list[Passage]:
        """At most `n` passages of different texts: the best of each query, then the second of each, and so on.

        A passage without a word of any query is never among them, so there may be none. Equal scores keep the order
        of the documents.
        """
        best: dict[str, Passage] = {}
        for row in zip_longest(*map(self._ranked, queries)):
            for place in row:
                if place is not None and len(best) < n:
                    best.setdefault(self.passages[place].text, self.passages[place])
        return list(best.values())

    def _ranked(self, query: str) -> list[int]:
        """Places in `passages` of those with a positive score, the best first."""
        vocabulary: dict[str, int] = self._ranker.vocab_dict
        scores = self._ranker.get_scores_from_ids([vocabulary[w] for w in words(query) if w in vocabulary])
        order = np.argsort(-scores, kind="stable")
        return [int(place) for place in order[: np.count_nonzero(scores > 0)]]

    def summary(self) -> str:
        """What is searched and what is not, in one line."""
        counted = f"{self.documents:,} documents, {len(self.passages):,} passages"
        return f"{counted}; left out: {told(self.left_out)}" if self.left_out else counted


def words(text: str) -> list[str]:
    """The words that are compared: lower case, ligatures and accents in one spelling, no soft hyphens.

    A script without spaces gives a word per character.
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("\u00ad", "").casefold())


def fingerprint(path: Path) -> str:
    """A key of the names and bytes of all documents under `path`; reads them all, parses none. Errors as `check`."""
    return find(path).fingerprint()


def check(path: Path) -> None:
    """Finds what would stop `open_index` without reading a document.

    DataError when there is no path, no file of a kind that can be read, or too much; ConfigError when a package that
    these documents need is not installed.
    """
    _needed(find(path))


def open_index(path: Path, *, passage_words: int, store: ArtifactCache) -> Index:
    """The index of the documents under `path`, a file or a folder, from `store` when it was made before.

    passage_words: about how many words a passage has, see `passages.split`. DataError when no document has a text.
    """
    listing = find(path)
    packages = _needed(listing)
    documents = listing.fingerprint()

    def make(folder: Path) -> None:
        library = read(listing)
        passages = [passage for document in library.documents for passage in split(document, passage_words)]
        _ranker_of(passages).save(folder, show_progress=False)
        content = {
            "documents": len(library.documents),
            "left_out": [[item.name, item.reason] for item in library.left_out],
            "passages": [[passage.source, passage.text] for passage in passages],
        }
        write_json(folder / _PASSAGES, content)
        if listing.fingerprint() != documents:
            raise DataError(f"the documents under {str(path)!r} changed while they were read; run again.")

    parts = {"documents": documents, "passage_words": passage_words, "version": VERSION, "packages": packages}
    entry = store.get_or_create(KIND, parts, make)
    content = read_json(entry / _PASSAGES, what="the passages")
    return Index(
        passages=[Passage(text=text, source=source) for source, text in content["passages"]],
        documents=content["documents"],
        left_out=[*listing.left_out, *(LeftOut(name, reason) for name, reason in content["left_out"])],
        ranker=_bm25().load(entry, mmap=True),
    )


def _needed(listing: Listing) -> dict[str, str]:
    """The packages that read and rank these documents, and their versions. ConfigError when one is missing."""
    formats = {FORMATS[file.path.suffix.lower()].package for file in listing.files}
    needed = sorted({"bm25s", *formats} - {""})
    if missing := [_DISTRIBUTIONS[name] for name in needed if find_spec(name) is None]:
        raise ConfigError(
            f"searching the documents under {str(listing.path)!r} needs {' and '.join(missing)}; install "
            f"{'it' if len(missing) == 1 else 'them'} with: {install_command('rag')}"
        )
    return {_DISTRIBUTIONS[name]: version(_DISTRIBUTIONS[name]) for name in needed}


def _bm25() -> Any:
    import bm25s

    # It sets its own logger to DEBUG on import, which every handler of the root would show.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s.BM25


def _ranker_of(passages: Iterable[Passage]) -> Any:
    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words(passage.text)] for passage in passages]
    ranker = _bm25()()
    ranker.index((ids, vocabulary), create_empty_token=False, show_progress=False)
    return ranker
