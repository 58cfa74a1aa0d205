from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.images.waterbirds import ARCHIVE, read_metadata

HEADER = "img_id,img_filename,y,split,place,place_filename"
ROWS = [
    "1,001.Albatross/a.jpg,1,0,1,/o/ocean/1.jpg",
    "2,001.Albatross/b.jpg,1,1,0,/b/bamboo/2.jpg",
    "3,002.Wren/c.jpg,0,0,0,/b/bamboo/3.jpg",
    "4,002.Wren/d.jpg,0,2,1,/o/ocean/4.jpg",
]


def write(directory: Path, *rows: str, header: str = HEADER) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return directory


def test_the_published_columns_are_read(tmp_path: Path) -> None:
    splits = read_metadata(write(tmp_path, *ROWS)).splits
    assert [*splits] == [Split.TRAIN, Split.VALID, Split.TEST]
    train = splits[Split.TRAIN]
    assert train.paths == (tmp_path / "001.Albatross/a.jpg", tmp_path / "002.Wren/c.jpg")
    assert (train.labels.tolist(), train.places.tolist()) == ([1, 0], [1, 0])
    assert (train.labels.dtype, train.places.dtype) == (np.int64, np.int64)
    assert not train.labels.flags.writeable
    assert splits[Split.TEST].labels.tolist() == [0]
    assert splits[Split.TEST].places.tolist() == [1]


def test_the_order_of_columns_does_not_matter_and_others_are_allowed(tmp_path: Path) -> None:
    metadata = read_metadata(write(tmp_path, "0,x,a b.jpg,1,0", header="place,more,img_filename,y,split"))
    assert metadata.splits[Split.TRAIN].paths == (tmp_path / "a b.jpg",)
    assert metadata.splits[Split.TRAIN].labels.tolist() == [1]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "birds", *ROWS)
    monkeypatch.chdir(tmp_path)
    paths = read_metadata(Path("birds")).splits[Split.TRAIN].paths
    assert paths[0] == tmp_path / "birds/001.Albatross/a.jpg"


def test_a_file_of_full_size_is_read(tmp_path: Path) -> None:
    write(tmp_path, *(f"{i},{i % 200}.Bird/{i}.jpg,{i % 2},{i % 3},{i // 2 % 2},/o/{i}.jpg" for i in range(11_788)))
    splits = read_metadata(tmp_path).splits
    assert sum(len(split.paths) for split in splits.values()) == 11_788


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("5,e.jpg,2,0,0,p", r"metadata.csv: row 2 has y='2'; expected 0 \(landbird\), 1 \(waterbird\)"),
        ("5,e.jpg,0,3,0,p", r"row 2 has split='3'; expected 0 \(train\), 1 \(valid\), 2 \(test\)"),
        ("5,e.jpg,0,0,sea,p", r"row 2 has place='sea'; expected 0 \(land\), 1 \(water\)"),
        ("5,e.jpg,,0,0,p", r"row 2 has y=''"),
        ("5,,0,0,0,p", "row 2 has no img_filename"),
        ("5, ,0,0,0,p", "row 2 has no img_filename"),
        ("5,.,0,0,0,p", "row 2 has no img_filename"),
        ("5,001.Albatross/a.jpg,0,0,0,p", "rows 1 and 2 have img_filename='001.Albatross/a.jpg'"),
        ("5,001.Albatross/./a.jpg,0,0,0,p", "rows 1 and 2 have img_filename"),
        ("5,/etc/passwd,0,0,0,p", "row 2 has img_filename='/etc/passwd', which is not inside"),
        ("5,a/../../b.jpg,0,0,0,p", "row 2 has img_filename='a/../../b.jpg', which is not inside"),
        ("5,e.jpg,0,0", "line 3 has 4 fields and the header 6"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_metadata(write(tmp_path, ROWS[0], row))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'img_filename' \(did you mean 'img_filenames'\?\)"):
        read_metadata(write(tmp_path, ROWS[0], header=HEADER.replace("img_filename", "img_filenames")))


def test_train_must_have_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row with split=0, which is train"):
        read_metadata(write(tmp_path, ROWS[1], ROWS[3]))


def test_missing_files_and_directories_are_named_with_the_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"directory {tmp_path}/none does not exist; unpack the archive {ARCHIVE} "):
        read_metadata(tmp_path / "none")
    with pytest.raises(DataError, match=rf"{tmp_path} has no metadata.csv; unpack the archive {ARCHIVE} "):
        read_metadata(tmp_path)
    write(tmp_path / ARCHIVE, *ROWS)
    with pytest.raises(DataError, match=rf"set dataset.path={tmp_path}/{ARCHIVE}"):
        read_metadata(tmp_path)
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_metadata(tmp_path / ("x" * 300))
