"""Search: the right passage on a corpus where it is known, and an index that is made once per content."""

import logging
import tomllib
from pathlib import Path

import pytest

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.errors import ConfigError, DataError, StoreError
from alchemist_exp.retrieval import index
from alchemist_exp.retrieval.formats import FORMATS
from alchemist_exp.retrieval.index import Index, check, fingerprint, open_index, words_of

REPOSITORY = Path(__file__).parents[2]

CORPUS = {
    "refunds.md": "# Refunds\n\nA refund is paid to the card within ten days.",
    "shipping.txt": "A parcel takes a week. Express parcels arrive the next day.",
    "faq.csv": "question,answer\nIs it spam?,Unsolicited mail with a prize is spam.\nCards?,We take every card.\n",
    "fr/retours.html": "<h2>Retours</h2><p>Le remboursement arrive sous dix jours. L’été, comptez une semaine.</p>",
    "zh.txt": "退款将在十天内支付。",
}


@pytest.fixture
def searched(folder, tmp_path: Path) -> Index:
    return open_index(folder(CORPUS), passage_words=40, store=ArtifactCache(tmp_path / "store"))


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("when is a REFUND paid", "refunds.md, line 1"),
        ("express parcels", "shipping.txt, line 1"),
        ("spam with a prize", "faq.csv, row 1"),
        ("délai de remboursement", "fr/retours.html, section 'Retours'"),
        ("l'e\u0301te\u0301", "fr/retours.html, section 'Retours'"),
        ("退款", "zh.txt, line 1"),
    ],
)
def test_the_right_passage_comes_first(searched: Index, query: str, source: str) -> None:
    assert searched.top([query], 3)[0].source == source


def test_queries_take_turns(searched: Index) -> None:
    sources = [p.source for p in searched.top(["card refund", "express parcel", "zebra"], 3)]
    assert sources == ["refunds.md, line 1", "shipping.txt, line 1", "faq.csv, row 2"]


def test_only_passages_that_share_a_word_are_found(searched: Index) -> None:
    assert searched.top(["zebra"], 5) == []
    assert searched.top([], 5) == []
    assert searched.top(["", "?!"], 5) == []
    assert searched.top(["refund"], 0) == []
    assert [p.source for p in searched.top(["refund"], 5)] == ["refunds.md, line 1"]


def test_equal_passages_count_once_and_ties_keep_the_order(folder, tmp_path: Path) -> None:
    root = folder({"c.txt": "red fish", "a.txt": "red fish", "b.txt": "red bird", "d.txt": "red cat"})
    found = open_index(root, passage_words=40, store=ArtifactCache(tmp_path / "store")).top(["red", "red"], 9)
    assert [p.source for p in found] == ["a.txt, line 1", "b.txt, line 1", "d.txt, line 1"]


def test_passages_without_words_do_no_harm(folder, tmp_path: Path) -> None:
    root = folder({"a.txt": "*** --- !!! ???\n\nred fish", "b.txt": "_"})
    found = open_index(root, passage_words=2, store=ArtifactCache(tmp_path / "store"))
    assert [p.text for p in found.top(["fish"], 9)] == ["red fish"]


def test_words_of_all_spellings() -> None:
    assert words_of("L’Été, ﬁn of re\u00adfunds: STRASSE Straße №5 iPhone手机") == [
        *["l", "été", "fin", "of", "refunds", "strasse", "strasse", "no5", "iphone", "手", "机"]
    ]


def test_the_second_opening_reads_no_document(folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, store = folder(CORPUS | {"x.png": "", "blank.txt": ""}), ArtifactCache(tmp_path / "store")
    first = open_index(root, passage_words=40, store=store)
    monkeypatch.setattr(index, "read_documents", lambda listing: pytest.fail("read again"))
    second = open_index(root, passage_words=40, store=store)
    assert second.passages == first.passages
    assert second.skipped == first.skipped
    assert second.top(["refund", "spam"], 5) == first.top(["refund", "spam"], 5)
    assert second.summary() == (
        "5 documents, 6 passages; skipped: x.png: files of the kind .png are not read; blank.txt: it has no text"
    )
    assert len(list((store.root / index.KIND).iterdir())) == 1
    assert not [path for path in store.root.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_whatever_alters_the_passages_makes_a_new_index(folder, tmp_path: Path) -> None:
    root, store = folder({"a.txt": "red fish", "b.txt": "blue bird"}), ArtifactCache(tmp_path / "store")

    def entries(passage_words: int = 40) -> int:
        open_index(root, passage_words=passage_words, store=store)
        return len(list((store.root / index.KIND).iterdir()))

    assert [entries(), entries(), entries(passage_words=20)] == [1, 1, 2]
    (root / "a.txt").write_text("red fisH")
    assert entries() == 3
    (root / "b.txt").rename(root / "c.txt")
    assert entries() == 4
    assert open_index(root, passage_words=40, store=store).top(["bird"], 1)[0].source == "c.txt, line 1"


def test_the_fingerprint_is_of_documents_alone(folder) -> None:
    root = folder({"a.txt": "one"})
    before = fingerprint(root)
    folder({"x.png": "picture", ".hidden.txt": "h"})
    assert fingerprint(root) == before
    folder({"b.txt": "two"})
    assert fingerprint(root) != before


def test_documents_that_change_while_they_are_read_are_not_stored(folder, tmp_path: Path, monkeypatch) -> None:
    root, store = folder({"a.txt": "one"}), ArtifactCache(tmp_path / "store")
    read = index.read_documents

    def read_and_change(listing):
        found = read(listing)
        (root / "a.txt").write_text("two")
        return found

    monkeypatch.setattr(index, "read_documents", read_and_change)
    with pytest.raises(DataError, match="changed while they were read"):
        open_index(root, passage_words=40, store=store)
    assert list((store.root / index.KIND).iterdir()) == []


def test_a_damaged_index_is_an_error(folder, tmp_path: Path) -> None:
    root, store = folder({"a.txt": "one"}), ArtifactCache(tmp_path / "store")
    open_index(root, passage_words=40, store=store)
    (passages,) = (store.root / index.KIND).glob("*/passages.json")
    passages.write_text("{}")
    with pytest.raises(StoreError, match="do not match their checksums"):
        open_index(root, passage_words=40, store=store)


def test_check_names_the_packages_that_these_documents_need(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"a.txt": "one", "b.html": "two"})
    check(root)
    monkeypatch.setattr(index, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"need bm25s and beautifulsoup4; install with: .*\[rag\]"):
        check(root)
    with pytest.raises(DataError, match="No such file"):
        check(root / "nowhere")


def test_the_extra_brings_every_package() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {requirement.partition(">")[0] for requirement in extras["rag"]} == set(index._DISTRIBUTIONS.values())
    assert set(index._DISTRIBUTIONS) == {"bm25s"} | {form.package for form in FORMATS.values() if form.package}


def test_bm25s_says_nothing(folder, tmp_path: Path, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG, logger="root"):
        open_index(folder(CORPUS), passage_words=40, store=ArtifactCache(tmp_path / "store")).top(["refund"], 1)
    assert [record for record in caplog.records if record.name.startswith("bm25s")] == []
    assert capfd.readouterr() == ("", "")
