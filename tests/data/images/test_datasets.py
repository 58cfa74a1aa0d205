"""Datasets of image files: every image keeps its own label, and wrong input is one message."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.core.types import Split
from alchemist_exp.data.images import rows as image_rows
from alchemist_exp.data.images.decode import decode
from alchemist_exp.data.images.rows import file_row
from alchemist_exp.data.text_data import TextData
from tests.support.waterbirds_directory import draw_directory

N_ROWS = 400
HEADER = ("img_id", "img_filename", "y", "split", "place", "place_filename")


def metadata_rows() -> list[tuple[object, ...]]:
    """Return 400 rows: splits, classes and places occur in every combination, sorted by species as published."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(N_ROWS):
        y = int(i >= N_ROWS // 2)
        place = y if rng.random() < 0.8 else 1 - y
        rows.append((i + 1, f"{i // 20:03d}.Species/{i:03d}.jpg", y, i % 3, place, f"/o/{i}.jpg"))
    return rows


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in Waterbirds' layout with images of 400 rows."""
    root = tmp_path_factory.mktemp("waterbirds")
    with (root / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *metadata_rows()])
    draw_directory(root / "rows.csv", root / "birds")
    return root / "birds"


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    image.save(raw := io.BytesIO(), format_, **options)
    return raw.getvalue()


def odd_files(drawn: Path) -> dict[int, tuple[bytes | None, str]]:
    """Return by row another content of its file, and the reason why it cannot be used, "" if it can."""
    image = Image.open(drawn / "000.Species/000.jpg")
    jpeg = saved(image, "JPEG")
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return {
        4: (b"", "the file is empty"),
        7: (b"just text", "it is not an image of a known format"),
        121: (jpeg[: len(jpeg) // 2], "the image is broken"),
        122: (None, "the file does not exist"),
        30: (saved(image.convert("CMYK"), "JPEG"), ""),
        31: (saved(deep, "PNG"), ""),
        32: (saved(image.convert("P"), "PNG"), ""),
        33: (saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]), ""),
        250: (saved(image.resize((64, 32)), "JPEG", exif=turned), ""),
        399: (b"\xff\xd8\xff", "it is not an image of a known format"),
    }


def test_unusable_images_are_skipped_and_the_others_keep_their_labels(cli, drawn: Path, tmp_path: Path) -> None:
    names, gold = [str(row[1]) for row in metadata_rows()], [int(str(row[2])) for row in metadata_rows()]
    birds = tmp_path / "birds"
    for file in drawn.rglob("*.*"):
        target = birds / file.relative_to(drawn)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes()) if file.is_file() else None
    odd = odd_files(drawn)
    for row, (raw, _) in odd.items():
        (birds / names[row]).unlink()
        if raw is not None:
            (birds / names[row]).write_bytes(raw)
    unusable = {row for row, (_, reason) in odd.items() if reason}
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pixels.py").write_text("def label_function(image):\n    return int(image[:, :, 0].sum() % 2)\n")
    done = cli(
        "dataset=waterbirds",
        f"dataset.path={birds}",
        "feature_extractor=clip_toy",
        "method=program_files",
        f"method.path={programs}",
        "concepts.use=false",
        "label_model=majority",
        "end_model.max_epochs=2",
        "seed=s0",
        "logger=none",
    )
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "outputs/runs").glob("*/record.json")
    record = json.loads(file.read_text())
    labels = pd.read_parquet(file.parent / "labels.parquet")

    # Row numbers are those of metadata.csv, and every row has the name, class and vote of its own image.
    assert sorted(labels["row"]) == [*range(N_ROWS)]
    for row, name, class_name, vote in labels[["row", "image", "gold", "weak_label"]].itertuples(index=False):
        assert (name, class_name) == (names[row], ("landbird", "waterbird")[gold[row]])
        image = decode(birds / name).pixels
        assert (image is None) == (row in unusable)
        expected = None if image is None else ("landbird", "waterbird")[int(image[:, :, 0].sum() % 2)]
        assert (None if pd.isna(vote) else vote) == expected
    assert set(labels["row"][labels["predicted"].isna()]) == unusable

    # Counts, notes and groups.
    splits = Counter(Split(split) for split in labels["split"])
    assert record["data"]["rows"] == {split: splits[split] for split in Split}
    skipped = Counter(["train", "valid", "test"][row % 3] for row in unusable)
    assert record["data"]["rows_without_text"] == dict(skipped)
    notes = "\n".join(record["notes"])
    assert f"Files that are not usable images ({len(unusable)}): " in notes
    for row in unusable:
        assert odd[row][1] in notes
        assert names[row] in notes
    first = min(row for row in unusable if row % 3 == 0)
    assert f"(first: row {first + 1} of metadata.csv)" in notes
    kept = Counter((row[2], row[4]) for row in metadata_rows() if row[3] == 2 and int(str(row[0])) - 1 not in unusable)
    order = [(y, place) for y in (0, 1) for place in (0, 1)]
    assert record["groups"]["label_model"]["test"]["n"] == [kept[group] for group in order]


def test_a_limit_takes_evenly_spaced_rows_with_their_numbers(composed, drawn: Path) -> None:
    data = config.build(
        composed("dataset=waterbirds", "feature_extractor=clip_toy", f"dataset.path={drawn}", "dataset.limit=3")
    ).dataset.load()
    assert data.rows_of_input(Split.TRAIN).tolist() == [0, 198, 399]
    assert data.gold(Split.TRAIN).tolist() == [0, 0, 1]
    names = [data.kind.show(row) for row in data.texts(Split.TRAIN)]
    assert names == ["000.Species/000.jpg", "009.Species/198.jpg", "019.Species/399.jpg"]


def test_a_file_is_decoded_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(image_rows, "decode", lambda path: decoded.append(path) or decode(path))
    file = picture(tmp_path / "a.png", 1)
    first = file_row("a", file)
    assert file_row("a", file) == first
    assert len(decoded) == 1
    picture(file, 2)
    assert json.loads(file_row("a", file))["key"] != json.loads(first)["key"]
    file.write_bytes(b"")
    assert json.loads(file_row("a", file))["reason"] == "the file is empty"
    file.unlink()
    assert json.loads(file_row("a", file))["reason"] == "the file does not exist"


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    path.write_bytes(saved(Image.fromarray(pixels), "PNG"))
    return path


@pytest.fixture
def load(composed, tmp_path: Path) -> Callable[..., TextData]:
    """Load image_files from 12 images (0.png to 11.png) and a table of the given content."""

    def _load(table: str | bytes, *overrides: str, file: str = "t.csv") -> TextData:
        for number in range(12):
            picture(tmp_path / f"{number}.png", number)
        (tmp_path / file).write_bytes(table if isinstance(table, bytes) else table.encode())
        return load_path(composed, tmp_path / file, *overrides)

    return _load


def load_path(composed: Callable[..., Any], path: Path, *overrides: str) -> TextData:
    chosen = composed("dataset=image_files", "dataset.path=any", "feature_extractor=clip_toy", *overrides)
    chosen.dataset.path = str(path)
    return config.build(chosen).dataset.load()


def table(header: str = "path,label", row: Callable[[int], str] | None = None) -> str:
    return "\n".join([header, *(row(i) if row else f"{i}.png,{'bee' if i % 2 else 'ant'}" for i in range(12))]) + "\n"


BASE = table()
SPLITS = table("path,label,split", lambda i: f"{i}.png,{'bee' if i % 2 else 'ant'},{['train', 'val', 'Test'][i // 4]}")
GROUPS = table("path,label,place", lambda i: f"{i}.png,{'bee' if i % 2 else 'ant'},{'sea' if i < 6 else 'land'}")
UNLABELED = table(
    "path,label,split", lambda i: f"{i}.png,,train" if i < 4 else f"{i}.png,{'ant' if i % 2 else 'bee'},val"
)
PARTLY = table("path,label", lambda i: f"{i}.png,{'' if i < 6 else 'bee' if i % 2 else 'ant'}")


def gold(data: TextData) -> dict[str, list[int] | None]:
    found = {split.value: data.gold(split) for split in data.splits}
    return {split: None if labels is None else labels.tolist() for split, labels in found.items()}


def names(data: TextData, split: Split) -> list[str]:
    return [data.kind.show(row) for row in data.texts(split)]


@pytest.mark.parametrize(
    ("content", "overrides", "expected"),
    [
        (BASE, [], {"train": [0, 1] * 6}),
        (BASE, ["dataset.classes=[bee,ant]"], {"train": [1, 0] * 6}),
        (BASE, ["dataset.label_column=null", "dataset.classes=[bee,ant]"], {"train": None}),
        (table(row=lambda i: f"{i}.png,{i % 2}"), ["dataset.classes=[bee,ant]"], {"train": [0, 1] * 6}),
        (SPLITS, ["dataset.split_column=split"], {"train": [0, 1] * 2, "valid": [0, 1] * 2, "test": [0, 1] * 2}),
        (
            SPLITS,
            ["dataset.split_column=split", "dataset.limit=2"],
            {"train": [0, 1], "valid": [0, 1], "test": [0, 1]},
        ),
        (
            UNLABELED,
            ["dataset.split_column=split"],
            {"train": None, "valid": [1, 0] * 4},
        ),
        (PARTLY, [], {"train": None, "valid": [0, 1] * 3}),
        (table("image,label"), ["dataset.path_column=image"], {"train": [0, 1] * 6}),
        (table("path,image"), ["dataset.label_column=image"], {"train": [0, 1] * 6}),
    ],
)
def test_tables_that_are_read(load, content: str, overrides: list[str], expected: dict[str, Any]) -> None:
    assert gold(load(content, *overrides)) == expected


def test_rows_are_numbered_as_in_the_table(load) -> None:
    data = load(SPLITS, "dataset.split_column=split", "dataset.limit=3")
    assert [data.rows_of_input(split).tolist() for split in Split] == [[0, 1, 3], [4, 5, 7], [8, 9, 11]]
    assert names(data, Split.TEST) == ["8.png", "9.png", "11.png"]
    divided = load(GROUPS, "dataset.test_share=0.3", "dataset.group_column=place")
    for split in Split:
        rows = divided.rows_of_input(split).tolist()
        assert names(divided, split) == [f"{row}.png" for row in rows]
        assert gold(divided)[split] == [row % 2 for row in rows]
        places = divided.attributes["place"]
        assert [places.values[i] for i in places.of_rows[split]] == ["sea" if row < 6 else "land" for row in rows]


@pytest.mark.parametrize(
    ("content", "overrides", "message"),
    [
        (BASE.replace("3.png,bee", "3.png,wasp"), ["dataset.classes=[ant,bee]"], "row 4: the label 'wasp' is unknown"),
        (BASE.replace("3.png", "./4.png"), [], "rows 4 and 5 have path='4.png'; remove one of them"),
        (BASE.replace("3.png", ""), [], "row 4 has path=''; expected the path of an image"),
        (
            GROUPS.replace("bee,land", "bee,", 1),
            ["dataset.group_column=place"],
            "row 8 has no group in the column 'place'",
        ),
        (GROUPS, ["dataset.group_column=plce"], "did you mean 'place'?); it has .*. Set dataset.group_column=place."),
        (
            BASE.replace("path", "file"),
            [],
            "has no column 'path'; it has 'file', 'label'. Set dataset.path_column=NAME.",
        ),
        (
            SPLITS.replace("val", "rest"),
            ["dataset.split_column=split"],
            "row 5 has split='rest'; expected one of train",
        ),
        (SPLITS, ["dataset.split_column=split", "dataset.test_share=0.2"], "test_share=0.2 is for data without splits"),
        ("path\n0.png\n1.png\n", ["dataset.classes=[a,b]", "dataset.test_share=0.2"], "test_share=0.2 needs labels"),
        (BASE, ["dataset.columns=[path,label]"], "dataset.columns is for rows of texts, and these rows are images"),
        (BASE, ["dataset.text_column=path"], "name the column of the paths of images by dataset.path_column"),
        (BASE, ["dataset.human_votes_column=x"], "dataset.human_votes_column is for rows of texts"),
        (BASE, ["dataset.label_column=path"], "name different columns"),
        (BASE.replace("11.png,bee", "11.png,é").encode("latin-1"), [], "is not UTF-8 .* set dataset.encoding"),
        (BASE, ["dataset.encoding=nonsense"], "dataset.encoding='nonsense' is unknown"),
        (table(row=lambda i: f"{i}x.png,{'bee' if i % 2 else 'ant'}"), [], "12 of 12 files are not usable images"),
    ],
)
def test_wrong_tables_are_one_message(load, content: str | bytes, overrides: list[str], message: str) -> None:
    with pytest.raises(AlchemistError, match=message.replace("?)", r"\?\)")) as caught:
        _ = load(content, *overrides).rows_with_text
    assert "\n" not in str(caught.value)
    assert "text" not in str(caught.value).replace("rows of texts", "").replace("text_column=path", "")


def test_notes_speak_of_images(load) -> None:
    notes = load(BASE.replace("3.png,bee", "3.png,").replace("5.png", "gone.png")).notes
    assert any("Only 1 row of " in note and " with an image has no label" in note for note in notes)
    assert notes[-1] == "Files that are not usable images (1): the file does not exist (gone.png)."
    assert any("if the column 'split' has the splits, set dataset.split_column=split." in n for n in load(SPLITS).notes)


def test_a_table_in_another_encoding_is_read(load) -> None:
    content = BASE.replace("ant", "guêpe").encode("latin-1")
    assert gold(load(content, "dataset.encoding=latin-1", 'dataset.classes=["guêpe",bee]')) == {"train": [0, 1] * 6}


def test_odd_names_of_files_are_read(composed, tmp_path: Path) -> None:
    root = tmp_path / "with 'quotes', \"spaces\" and ="
    for number, name in enumerate(["ant/a b.png", "ant/'x'.png", 'bee/"y".png', "bee/été.png"]):
        picture(root / name, number)
    (root / "ant" / os.fsdecode(b"\xff.png")).write_bytes((root / "ant/a b.png").read_bytes())
    data = load_path(composed, root)
    assert gold(data) == {"train": [0, 0, 0, 1, 1]}
    assert names(data, Split.TRAIN) == ["ant/'x'.png", "ant/a b.png", r"ant/\xff.png", 'bee/"y".png', "bee/été.png"]
    assert data.has_text(Split.TRAIN).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "all labels of .* are 'ant'; set dataset.classes to all class names"),
        (["dataset.classes=[bee,wasp]"], "the label 'ant' is unknown"),
        (["dataset.group_column=place"], "dataset.group_column=place names a column of a table, and .* is a directory"),
        (["dataset.split_column=split"], "dataset.split_column=split names a column of a table"),
    ],
)
def test_directories_that_do_not_fit_are_one_message(
    composed, tmp_path: Path, overrides: list[str], message: str
) -> None:
    picture(tmp_path / "ant/1.png", 0)
    with pytest.raises(AlchemistError, match=message):
        load_path(composed, tmp_path, *overrides)


def test_one_class_is_enough_if_the_classes_are_named(composed, tmp_path: Path) -> None:
    picture(tmp_path / "ant/1.png", 0)
    assert gold(load_path(composed, tmp_path, "dataset.classes=[bee,ant]")) == {"train": [1]}


def test_one_image_is_not_a_dataset(composed, tmp_path: Path) -> None:
    with pytest.raises(AlchemistError, match="is one image; set it to the directory of the images"):
        load_path(composed, picture(tmp_path / "1.png", 0))
