import os
from pathlib import Path

import pytest

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.image_files import FoundImages, find_images
from alchemist_exp.data.images.image_table import read_image_table


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not decoded here")
    return root


def rows(root: Path, found: FoundImages) -> dict[str, list[tuple[str, str | None]]]:
    return {
        split.value: [(str(path.relative_to(root)), label) for path, label in zip(each.paths, each.labels, strict=True)]
        for split, each in found.splits.items()
    }


def test_a_directory_per_class(tmp_path: Path) -> None:
    touch(tmp_path, "bees/b.jpg", "ants/2.PNG", "ants/10.webp", "ants/B.jpeg", "ants/a.jpg")
    found = find_images(tmp_path)
    files = ["ants/10.webp", "ants/2.PNG", "ants/B.jpeg", "ants/a.jpg"]
    assert rows(tmp_path, found) == {"train": [*((file, "ants") for file in files), ("bees/b.jpg", "bees")]}
    assert found.notes == ()
    assert found.splits[Split.TRAIN].groups == (None,) * 5


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "dev", "Val"])
def test_directories_of_splits(tmp_path: Path, valid: str) -> None:
    touch(tmp_path, "train/ants/1.jpg", "train/bees/2.jpg", f"{valid}/ants/3.jpg", f"{valid}/bees/4.jpg", "test/5.jpg")
    found = find_images(tmp_path)
    assert rows(tmp_path, found) == {
        "train": [("train/ants/1.jpg", "ants"), ("train/bees/2.jpg", "bees")],
        "valid": [(f"{valid}/ants/3.jpg", "ants"), (f"{valid}/bees/4.jpg", "bees")],
        "test": [("test/5.jpg", None)],
    }
    assert found.notes == ()


def test_train_may_be_without_labels(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "train/0.jpg", "valid/ants/3.jpg", "valid/bees/4.jpg")
    found = find_images(tmp_path)
    assert rows(tmp_path, found)["train"] == [("train/0.jpg", None), ("train/1.jpg", None)]
    assert found.notes == ()


def test_images_without_directories_are_train(tmp_path: Path) -> None:
    assert rows(tmp_path, find_images(touch(tmp_path, "1.jpg"))) == {"train": [("1.jpg", None)]}


def test_other_files_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "ants/1.jpg", "ants/.DS_Store", "ants/Thumbs.db", "ants/notes.txt", "README", "bees/2.jpg")
    touch(tmp_path, ".git/x.jpg", "ants/.hidden.jpg", "ants/bad\x1bname.txt")
    found = find_images(tmp_path)
    assert len(found.splits[Split.TRAIN].paths) == 2
    (note,) = found.notes
    assert note.startswith(f"Not read from {tmp_path} (7): .git/, README, ants/.DS_Store, ")
    assert "and 2 more" in note
    assert note.isprintable()


def test_deeper_directories_belong_to_their_class(tmp_path: Path) -> None:
    touch(tmp_path, "ants/b/2.jpg", "ants/a/1.jpg", "ants/c.jpg", "bees/1.jpg")
    assert [path for path, _ in rows(tmp_path, find_images(tmp_path))["train"]] == [
        "ants/a/1.jpg",
        "ants/b/2.jpg",
        "ants/c.jpg",
        "bees/1.jpg",
    ]


def test_empty_directories_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/ants/1.jpg", "train/bees/2.jpg", "train/wasps/readme.txt")
    (tmp_path / "valid").mkdir()
    found = find_images(tmp_path)
    assert [*found.splits] == [Split.TRAIN]
    assert any("without images are left out: train/wasps, valid." in note for note in found.notes)


def test_classes_of_some_splits_only_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/ants/1.jpg", "train/bees/2.jpg", "test/ants/3.jpg", "test/wasps/4.jpg")
    assert [note.split(",")[0] for note in find_images(tmp_path).notes] == [
        "train has no images of 'wasps'",
        "test has no images of 'bees'",
    ]


def test_what_is_next_to_the_splits_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/ants/1.jpg", "preview.jpg", "masks/list.txt")
    (note,) = find_images(tmp_path).notes
    assert "masks/list.txt, masks/, preview.jpg" in note


def test_spaces_around_a_name_and_its_encoding_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, "ants /1.jpg", "be\u0301es/2.jpg")
    assert {label for _, label in rows(tmp_path, find_images(tmp_path))["train"]} == {"ants", "b\u00e9es"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "has no images; expected one directory per class"),
        (["notes.txt", ".x.jpg"], r"has no images \(it has .x.jpg, notes.txt\)"),
        (["train/notes.txt", "valid/ants/1.jpg"], r"train has no images \(it has train/notes.txt\)"),
        (["valid/ants/1.jpg"], "has 'valid' but no directory 'train'"),
        (["train/1.jpg", "val/1.jpg", "dev/1.jpg"], "has 'dev' and 'val' for the split valid; keep one"),
        (["train/1.jpg", "bus/1.jpg"], r"has directories of splits \('train'\) and 'bus', which has images too"),
        (["1.jpg", "ants/2.jpg"], r"images next to directories of images \('1.jpg' and 'ants' are the first\)"),
        (["ants/1.jpg", "Ants/2.jpg"], "Ants' and .*ants' differ only in case, spaces"),
        (["ants/1.jpg", " ants/2.jpg"], "differ only in case, spaces"),
        (["train/Ants/1.jpg", "valid/ants/2.jpg"], "train/Ants' and .*valid/ants' differ only in case"),
        (["a\nb/1.jpg", "c/1.jpg"], "cannot be the name of a class"),
        ([" /1.jpg", "c/1.jpg"], "cannot be the name of a class"),
        (["birds/train/a/1.jpg", "birds/valid/a/1.jpg"], "has only images of .*birds, which has splits; set dataset."),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        find_images(touch(tmp_path, *names))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none", "file.jpg", "x" * 300, "zero\0byte"])
def test_other_paths_are_no_directories(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "file.jpg")
    with pytest.raises(DataError, match=r"cannot be read as a directory of images \("):
        find_images(tmp_path / name)


def test_a_directory_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ants/1.jpg", "bees/1.jpg")
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if path.name == "bees":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"bees' cannot be read as a directory of images \(Permission denied\)"):
        find_images(tmp_path)


@pytest.mark.parametrize(("link", "target"), [("ants/loop", "."), ("ants/loop", "ants"), ("loop", "."), ("loop", "..")])
def test_links_to_directories_above_are_refused(tmp_path: Path, link: str, target: str) -> None:
    root = touch(tmp_path / "root", "ants/1.jpg", "bees/1.jpg")
    (root / link).symlink_to(root / target)
    with pytest.raises(DataError, match=r"is a link to .*, a directory above it; remove the link"):
        find_images(root)


def test_other_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "1.jpg")
    root = touch(tmp_path / "root", "bees/2.jpg")
    (root / "ants").symlink_to(tmp_path / "elsewhere")
    (root / "self").symlink_to(root / "self")
    found = find_images(root)
    assert rows(root, found)["train"] == [("ants/1.jpg", "ants"), ("bees/2.jpg", "bees")]
    assert "self" in found.notes[0]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "images", "ants/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert find_images(Path("images")).splits[Split.TRAIN].paths == (tmp_path / "images/ants/1.jpg",)


def table(directory: Path, text: str, name: str = "images.csv") -> Path:
    (directory / name).write_text(text)
    return directory / name


def test_a_table_of_paths_and_labels(tmp_path: Path) -> None:
    file = table(tmp_path, "label,file\nbees,z/1.jpg\n,a.jpg\nants , b.jpg \n")
    found = read_image_table(file, path_column="file", label_column="label")
    assert [*found.splits] == [Split.TRAIN]
    assert rows(tmp_path, found)["train"] == [("z/1.jpg", "bees"), ("a.jpg", None), (" b.jpg ", "ants")]
    assert found.splits[Split.TRAIN].groups == (None, None, None)


def test_a_table_with_splits_and_groups(tmp_path: Path) -> None:
    text = "file\tlabel\tsplit\tplace\n1.jpg\tants\tTest\tland\n2.jpg\t\ttrain\t\n3.jpg\tbees\tval\twater\n"
    found = read_image_table(
        table(tmp_path, text, "images.tsv"),
        path_column="file",
        label_column="label",
        group_column="place",
        split_column="split",
    )
    assert rows(tmp_path, found) == {
        "train": [("2.jpg", None)],
        "valid": [("3.jpg", "bees")],
        "test": [("1.jpg", "ants")],
    }
    assert [each.groups for each in found.splits.values()] == [(None,), ("water",), ("land",)]


def test_a_table_without_labels_and_with_paths_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    file = table(tmp_path / "tables", f"file\n../a.jpg\n{tmp_path}/b.jpg\n")
    found = read_image_table(file, path_column="file", label_column=None)
    assert rows(tmp_path, found)["train"] == [("a.jpg", None), ("b.jpg", None)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label,split\na,b,train\n", "has no column 'file'; it has 'path', 'label', 'split'"),
        ("file,labels,split\na,b,train\n", r"has no column 'label' \(did you mean 'labels'\?\)"),
        ("file,label,split\n,b,train\n", "row 1 has file=''; expected the path of an image"),
        ("file,label,split\na,b,train\n./a,c,test\n", r"rows 1 and 2 have file='./a'"),
        ("file,label,split\na,b,train\nc,b,extra\n", "row 2 has split='extra'; expected one of train, valid, "),
        ("file,label,split\na,b,test\n", "has no rows of the split train"),
        ("file,label,split\n", "has no rows;"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_image_table(table(tmp_path, text), path_column="file", label_column="label", split_column="split")


def test_missing_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image_table(tmp_path / "none.csv", path_column="file", label_column=None)
