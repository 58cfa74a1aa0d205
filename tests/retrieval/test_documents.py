"""Folders as people have them, and as attackers make them: all is read, or named with the reason."""

import os
from pathlib import Path

import pytest

from alchemist_exp.core.errors import DataError
from alchemist_exp.retrieval import documents, reader
from alchemist_exp.retrieval.documents import SkippedFile, describe_skipped, list_documents, read_documents


def names(path: Path) -> list[str]:
    return list(list_documents(path).files)


def test_files_come_in_the_order_of_their_names_without_hidden_ones(folder) -> None:
    root = folder(
        {"b.txt": "b", "a/z.md": "z", "a/A.TXT": "A", ".hidden.txt": "h", ".git/x.txt": "x", "a/.b/y.txt": "y"}
    )
    assert names(root) == ["a/A.TXT", "a/z.md", "b.txt"]
    assert list_documents(root).skipped == ()


def test_a_file_alone_is_its_own_library(folder) -> None:
    root = folder({"a.txt": "one", "b.txt": "two"})
    assert [document.name for document in read_documents(list_documents(root / "b.txt"))[0]] == ["b.txt"]


def test_what_is_left_out_is_named_with_its_reason(folder) -> None:
    root = folder(
        {"a.txt": "one", "blank.txt": " \n", "latin.txt": b"\xe9t\xe9", "x.png": "", "y.png": "", "LICENSE": ""}
    )
    listing = list_documents(root)
    found, skipped = read_documents(listing)
    assert [document.name for document in found] == ["a.txt"]
    assert listing.skipped == (
        SkippedFile("LICENSE", "files without an extension are not read"),
        SkippedFile("x.png", "files of the kind .png are not read"),
        SkippedFile("y.png", "files of the kind .png are not read"),
    )
    assert skipped == [
        SkippedFile("blank.txt", "it has no text"),
        SkippedFile("latin.txt", "it is not UTF-8 text (byte 0); save it as UTF-8"),
    ]


def test_reasons_are_told_once_each() -> None:
    items = [SkippedFile(f"{i}.png", "PNG is not read") for i in range(5)] + [SkippedFile("a.pdf", "it is broken")]
    assert describe_skipped(items) == "0.png, 1.png, 2.png and 2 more: PNG is not read; a.pdf: it is broken"
    assert describe_skipped(items, max_names=9, max_reasons=1).endswith("is not read; and 1 more for other reasons")


def test_nothing_readable_is_an_error_that_names_what_was_found(folder) -> None:
    root = folder({"x.png": "", "y.docx": ""})
    with pytest.raises(
        DataError, match=r"x\.png: files of the kind \.png .* y\.docx: files of the kind \.docx are not read"
    ):
        list_documents(root)
    (root / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"a\.txt: it has no text"):
        read_documents(list_documents(root))


def test_paths_that_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, reason in {
        "nowhere": "No such file",
        "empty": "no file that is not hidden",
        "pipe": "neither a file",
    }.items():
        with pytest.raises(DataError, match=reason):
            list_documents(tmp_path / path)
    with pytest.raises(DataError, match="null"):
        list_documents(Path("a\0b"))
    with pytest.raises(DataError, match="too long"):
        list_documents(Path("a" * 5000))


def test_a_pipe_among_documents_does_not_hang(folder) -> None:
    root = folder({"a.txt": "one"})
    os.mkfifo(root / "pipe.txt")
    assert list_documents(root).skipped == (SkippedFile("pipe.txt", "it is not a regular file"),)


def test_links_are_followed_inside_the_folder_only(folder, tmp_path: Path) -> None:
    root = folder({"a.txt": "one", "sub/b.txt": "two", ".data/c.txt": "three"})
    (tmp_path / "secret.txt").write_text("password")
    links = {"in.txt": ".data/c.txt", "out.txt": "../secret.txt", "dir": "..", "gone.txt": "no", "loop.txt": "loop.txt"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert names(root) == ["a.txt", "in.txt", "sub/b.txt"]
    assert {item.name: item.reason for item in list_documents(root).skipped} == {
        "dir": "links to directories are not followed",
        "gone.txt": "it is a broken link",
        "loop.txt": "it is a broken link",
        "out.txt": "links out of the directory are not followed",
    }


def test_names_cannot_pretend(folder) -> None:
    root = folder({"a.txt": "one"})
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\n\x1b[2J.txt")).write_text("two")
    assert [document.name for document in read_documents(list_documents(root))[0]] == [
        "a.txt",
        "\\udcff\\n\\x1b[2J.txt",
    ]


def test_a_folder_that_cannot_be_listed_is_an_error(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"a.txt": "one", "sub/b.txt": "two"})
    scandir = os.scandir

    def refuse(path):  # the tests may run as root, whom permissions do not stop
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="sub' cannot be read: Permission denied"):
        list_documents(root)


@pytest.mark.parametrize(
    ("limit", "reason"), [("FILES", "more than 1 files"), ("TOTAL_BYTES", "name a smaller directory")]
)
def test_a_folder_may_be_too_large(folder, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str) -> None:
    root = folder({"a.txt": "one", "b.txt": "two"})
    monkeypatch.setattr(documents, limit, 1)
    with pytest.raises(DataError, match=reason):
        list_documents(root)


def test_a_large_file_is_left_out(folder) -> None:
    root = folder({"a.txt": "one", "large.txt": ""})
    os.truncate(root / "large.txt", 2**40)
    assert list_documents(root).skipped == (SkippedFile("large.txt", "it has 1,048,576 MiB, more than 64"),)


def test_too_much_text_is_an_error(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "TEXT_CHARACTERS", 5)
    with pytest.raises(DataError, match="more than 5 characters"):
        read_documents(list_documents(folder({"a.txt": "one", "b.txt": "two"})))


def test_a_page_that_keeps_the_parser_busy_is_stopped(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "SECONDS", 0.2)
    root = folder({"a.txt": "one", "slow.html": "<a " * 60_000})
    with pytest.raises(DataError, match=r"slow\.html' takes more than 0\.2 s of CPU time"):
        read_documents(list_documents(root))


def test_a_document_that_takes_too_much_memory_is_stopped(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MEMORY_BYTES", 64 * 2**20)
    root = folder({"a.txt": "one", "large.csv": "a\n" + "b\n" * 500_000})
    with pytest.raises(DataError, match=r"large\.csv' takes more memory"):
        read_documents(list_documents(root))


def test_what_pypdf_warns_of_is_passed_on(folder, pdf_bytes) -> None:
    damaged = pdf_bytes("still here").replace(b"startxref\n", b"startxref\n9")
    found, skipped = read_documents(list_documents(folder({"off.pdf": damaged})))
    assert [section.text for section in found[0].sections] == ["still here"]
    assert [item.name for item in skipped] == ["off.pdf"]
    assert skipped[0].reason.startswith("pypdf warns that some of it may be lost (")


def test_pages_without_text_are_named(folder, pdf_bytes) -> None:
    root = folder({"scan.pdf": pdf_bytes("one", b"", "three"), "all.pdf": pdf_bytes(b"")})
    found, skipped = read_documents(list_documents(root))
    assert [document.name for document in found] == ["scan.pdf"]
    assert skipped == [SkippedFile("all.pdf", "it has no text"), SkippedFile("scan.pdf, page 2", "it has no text")]
