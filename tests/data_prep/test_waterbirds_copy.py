"""A copy of Waterbirds from the Hugging Face Hub, for which a small local server stands in."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from alchemist_exp import config
from alchemist_exp.core.errors import DataError, StoreError
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import HubFiles
from alchemist_exp.data_prep import waterbirds
from alchemist_exp.data_prep.hub import Tables
from alchemist_exp.data_prep.prepare import Prepared
from tests.support.hub_server import serve
from tests.support.paths import REPOSITORY

COMMIT = "3" * 40
NUMBERS = {"label": datasets.Value("int64"), "place": datasets.Value("int64")}
SIZES = {"train": 20, "validation": 6, "test": 8}


def picture(number: int) -> bytes:
    """Return a JPEG or, for every fourth number, a PNG."""
    raw = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(raw, "PNG" if number % 4 == 3 else "JPEG")
    return raw.getvalue()


def rows(first: int, n: int, label: str = "label", place: str = "place") -> dict[str, list[Any]]:
    numbers = range(first, first + n)
    return {
        "image": [{"bytes": picture(i), "path": f"{i}.jpg"} for i in numbers],
        label: [i % 2 for i in numbers],
        place: [i % 2 if i % 20 else 1 for i in numbers],
    }


def table(columns: dict[str, list[Any]], **features: Any) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns, datasets.Features({"image": datasets.Image(), **features}))


def copy(**features: Any) -> dict[str, datasets.Dataset]:
    names, tables, first = [*(features or NUMBERS)], {}, 0
    for split, n in SIZES.items():
        tables[split] = table(rows(first, n, *names), **(features or NUMBERS))
        first += n
    return tables


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Prepared]:
    """Prepare the given tables as if they were from the Hub."""

    def _prepare(tables: dict[str, datasets.Dataset], **arguments: Any) -> Prepared:
        monkeypatch.setattr(waterbirds, "load_tables", lambda hub, advice: Tables(tables, f"{hub.repo}@{COMMIT}"))
        hub = HubFiles(repo="grodino/waterbirds", revision="main")
        return waterbirds.prepare_waterbirds(hub, license_="any", out=tmp_path / "data", **arguments)

    return _prepare


def metadata(directory: Path) -> list[dict[str, str]]:
    with (directory / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_copy_on_the_hub_becomes_the_published_layout(composed, tmp_path: Path, monkeypatch) -> None:
    files = {}
    for split, of_split in copy().items():
        of_split.to_parquet(raw := io.BytesIO())
        files[f"data/{split}-00000-of-00001.parquet"] = raw.getvalue()
    with serve({"grodino/waterbirds": (COMMIT, files)}) as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "scripts" / "prepare_data.py"), "waterbirds", "--hub"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "data/waterbirds"
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["source"]["hub"] == f"grodino/waterbirds@{COMMIT}"
    assert [entry["rows"] for entry in manifest["splits"].values()] == [*SIZES.values()]
    assert manifest["splits"]["train"]["groups"] == {
        "landbird on land": 9,
        "landbird on water": 1,
        "waterbird on land": 0,
        "waterbird on water": 10,
    }
    lines = [f"{i % 2},{i % 2 if i % 20 else 1},{hashlib.sha256(picture(i)).hexdigest()}\n" for i in range(20)]
    assert manifest["splits"]["train"]["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert manifest["notes"][0] == "Train has 20 rows, but 4,795 were published."
    found = metadata(directory)
    assert [*found[0]] == ["img_id", "img_filename", "y", "split", "place", "place_filename"]
    assert [row["img_id"] for row in found] == [str(number) for number in range(1, 35)]
    assert [row["split"] for row in found] == ["0"] * 20 + ["1"] * 6 + ["2"] * 8
    for number, row in enumerate(found):
        assert (directory / row["img_filename"]).read_bytes() == picture(number)
        assert row["img_filename"].endswith(".png" if number % 4 == 3 else ".jpg")
    assert done.stdout.splitlines()[-1] == "  alchemist run dataset=waterbirds feature_extractor=clip_vit_b32"
    monkeypatch.chdir(tmp_path)
    data = config.build(composed("dataset=waterbirds", "feature_extractor=clip_vit_b32")).dataset.load()
    assert [data.gold(split).tolist() for split in Split] == [
        [row[1] % 2 for row in enumerate(range(first, first + n))] for first, n in ((0, 20), (20, 6), (26, 8))
    ]
    assert data.attributes["background"].of_rows[Split.VALID].tolist() == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "features",
    [
        {"y": datasets.Value("int8"), "background": datasets.Value("int64")},
        {"label": datasets.ClassLabel(names=["landbird", "waterbird"]), "place": datasets.ClassLabel(names=["0", "1"])},
        {"label": datasets.ClassLabel(num_classes=2), "place": datasets.ClassLabel(names=["land", "water"])},
    ],
)
def test_other_names_and_types_of_columns_are_read(prepare, features: dict[str, Any]) -> None:
    found = metadata(prepare(copy(**features)).directory)
    assert [row["y"] for row in found] == [str(i % 2) for i in range(34)]
    assert [row["place"] for row in found] == [str(i % 2 if i % 20 else 1) for i in range(34)]


def test_class_names_in_another_order_are_read_by_name(prepare) -> None:
    swapped = datasets.ClassLabel(names=["waterbird", "landbird"])
    done = prepare(copy(label=swapped, place=datasets.Value("int64")))
    assert [row["y"] for row in metadata(done.directory)] == [str(1 - i % 2) for i in range(34)]
    # The drawn rows say that 1 is a waterbird, so the tie between class and background is now reversed.
    assert done.manifest["notes"][-1].startswith("Only 5% of the training images have the background of their class")


def changed(split: str, **columns: Sequence[Any]) -> dict[str, datasets.Dataset]:
    tables = copy()
    old = rows(0, SIZES[split])
    types = {n: f for n, f in NUMBERS.items() if columns.get(n) is not None or n not in columns}
    if "more" in columns:
        types["more"] = datasets.Value("int64")
    new = {name: values for name, values in {**old, **columns}.items() if values is not None}
    tables[split] = table(new, **types)
    return tables


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (changed("test", place=None), "test: there is no column place or background; it has image, label"),
        (
            changed("train", label=None, place=None, more=[0] * 20),
            "there is no column label or y and no column place or background; it has image, more",
        ),
        (
            changed("train", label=[0] * 19 + [2]),
            r"train: row 20 has label='2'; expected 0 \(landbird\) or 1 \(waterbird",
        ),
        (changed("train", place=[None] + [0] * 19), r"row 1 has place='None'; expected 0 \(land\) or 1 \(water\)"),
        (changed("test", image=[None] * 8), "test: row 1 has no bytes of an image in image"),
        (
            changed("test", image=[{"bytes": b"text", "path": None}] * 8),
            r"test: row 1 is not an image of a known format \(JPEG, PNG",
        ),
        ({"train": copy()["train"]}, "has no split valid and no split test; it has train"),
        (
            copy(label=datasets.ClassLabel(names=["sparrow", "duck"]), place=datasets.Value("int64")),
            r"row 1 has label='sparrow'; expected 0 \(landbird\)",
        ),
    ],
)
def test_another_content_is_one_message_and_leaves_no_directory(
    prepare, tables: dict[str, datasets.Dataset], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        prepare(tables)
    assert "\n" not in str(caught.value)
    assert "Unpack the published archive waterbird_complete95_forest2water2" in str(caught.value)
    assert [path.name for path in tmp_path.glob("data/*") if not path.name.startswith(".lock")] == []


def test_a_killed_preparation_leaves_no_directory_and_can_be_repeated(prepare, tmp_path: Path, monkeypatch) -> None:
    extension, seen = waterbirds._extension, []

    def exit_at_row_ten(raw: bytes, where: str) -> str:
        seen.append(where)
        if len(seen) == 10:
            os._exit(9)
        return extension(raw, where)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(waterbirds, "_extension", exit_at_row_ten)
        prepare(copy())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    data = tmp_path / "data"
    assert not (data / "waterbirds").exists()
    assert [*data.glob(".waterbirds.*/train/*")]
    prepare(copy())
    assert sorted(path.name for path in data.iterdir()) == [".lock.waterbirds", "waterbirds"]
    assert len(metadata(data / "waterbirds")) == 34


def test_only_a_directory_that_the_script_made_is_replaced(prepare, tmp_path: Path) -> None:
    prepare(copy())
    with pytest.raises(StoreError, match="exists already; use --overwrite"):
        prepare(copy())
    assert prepare(copy(), force=True).directory.is_dir()
    (tmp_path / "data/waterbirds/mine.txt").write_text("")
    with pytest.raises(StoreError, match=r"contains mine.txt, which this script did not make"):
        prepare(copy(), force=True)
