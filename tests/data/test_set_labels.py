"""Gold labels that are lists of classes, in files of every kind."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.core.label_sets import members
from alchemist_exp.core.types import Split
from alchemist_exp.data.hold_out import hold_out
from alchemist_exp.data.set_labels import strata_of
from alchemist_exp.data.text_data import TextData

LABELS = [["red"], ["red", "blue"], [], ["green"], ["blue"], ["blue", "green"]]
MASKS = [1, 5, 0, 2, 4, 6]
TEXTS = [f"text {word}" for word in ("one", "two", "three", "four", "five", "six")]


@pytest.fixture
def load(composed, tmp_path: Path):
    def load_file(path: Path, *overrides: str) -> TextData:
        choice = ("dataset=files", "dataset.prompt=x", "dataset.multi_label=true", f"dataset.path={path}")
        return config.build(composed(*choice, "dataset.classes=[red,green,blue]", *overrides)).dataset.load()

    return load_file


def write_jsonl(path: Path, labels: list[object]) -> Path:
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=False)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, labels: list[str]) -> Path:
    path.write_text("text,label\n" + "".join(f"{t},{label}\n" for t, label in zip(TEXTS, labels, strict=False)))
    return path


def test_whole_floats_are_indices(load, tmp_path: Path) -> None:
    labels = [[0.0, 1.0], 2.0, [], None, 1.0]
    data = load(write_jsonl(tmp_path / "train.jsonl", labels), "dataset.test_share=0")
    assert [data.gold(split).tolist() for split in data.splits if data.gold(split) is not None] == [[3, 4, 0, 2]]
    with pytest.raises(DataError, match=r"row 1 has the label 1\.5; .*expected a list"):
        load(write_jsonl(tmp_path / "train.jsonl", [1.5, *labels]))


def test_every_format_gives_the_same_masks(load, tmp_path: Path) -> None:
    names = ("red", "green", "blue")
    features = {
        "text": datasets.Value("string"),
        "label": datasets.List(datasets.ClassLabel(names=["blue", *names[:2]])),
    }
    stored = datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}, features=datasets.Features(features))
    stored.to_parquet(str(tmp_path / "hub.parquet"))
    files = [
        write_jsonl(tmp_path / "a.jsonl", [*LABELS]),
        write_csv(tmp_path / "a.csv", [" | ".join(row) or "|" for row in LABELS]),
        write_jsonl(tmp_path / "indices.jsonl", [[names.index(name) for name in row] for row in LABELS]),
        tmp_path / "hub.parquet",  # its own class names in another order
    ]
    loaded = [load(file) for file in files]
    assert [data.gold(Split.TRAIN).tolist() for data in loaded] == [MASKS] * len(files)
    assert len({data.fingerprint for data in loaded}) == 1
    assert loaded[0].task.multi_label


def test_classes_are_taken_from_the_lists(load, tmp_path: Path) -> None:
    data = load(write_jsonl(tmp_path / "a.jsonl", [*LABELS]), "dataset.classes=[]")
    assert data.task.classes == ("blue", "green", "red")


def test_rows_without_labels_are_train(load, tmp_path: Path) -> None:
    data = load(write_csv(tmp_path / "a.csv", ["", "red|blue", "", "|", "", "green"]))
    assert data.gold(Split.TRAIN) is None
    assert sorted(data.gold(Split.VALID).tolist()) == [0, 2, 5]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([["red"], ["red", "pink"]], r"a\.jsonl: row 2: .*'pink'.*Known: blue, green, red"),
        ([["red"], [], [7]], r"a\.jsonl: row 3: .*'7'"),
        ([["red"], {"red": 1}], r"row 2 has the label .*expected a list of classes, or a text with \|"),
        ([["red"], [["red"]]], r"row 2 has the label .*expected a flat list of classes"),
        ([["red"], [{"a": 1}]], r"row 2 has the label .*expected a flat list of classes"),
        (["red", "red;blue"], r"row 2: .*For several classes write red\|blue\."),
        (["red", "red, blue"], r"For several classes write red\|blue\."),
        (["red", '["red", "blue"]'], r"For several classes write red\|blue\."),
        ([["red"], True], r"row 2 has the label True"),
    ],
)
def test_wrong_gold_is_one_sentence(load, tmp_path: Path, labels: list[object], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        load(write_jsonl(tmp_path / "a.jsonl", labels))


def test_a_missing_label_among_others_says_how_to_write_no_class(load, tmp_path: Path) -> None:
    directory = tmp_path / "splits"
    directory.mkdir()
    write_csv(directory / "train.csv", ["red"] * 6)
    write_csv(directory / "test.csv", ["red", "", "|"])
    with pytest.raises(DataError, match=r"row 2 has no label.*write \| in a CSV file"):
        load(directory)


def test_lists_in_a_dataset_of_single_classes_name_the_key(load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2 has the label .*dataset\.multi_label=true"):
        load(write_jsonl(tmp_path / "a.jsonl", ["red", ["red", "blue"]]), "dataset.multi_label=false")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (",".join(f"c{i}" for i in range(63)), "63 names; expected 2 to 62"),
        ("a,'b|c'", r"'b\|c'.*another name"),
        ("a,'\x1b[2J'", r"'\\x1b\[2J' has a control character"),
        ("a,'b\u202ec'", r"'b\\u202ec' has a control character"),
        ("a,'b\u2069'", r"'b\\u2069' has a control character"),
    ],
)
def test_impossible_classes_are_refused(load, tmp_path: Path, classes: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path / "a.csv", f"dataset.classes=[{classes}]")


def test_a_lone_surrogate_in_a_label_is_refused(load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'a\\ud800' has a control character or a lone surrogate"):
        load(write_jsonl(tmp_path / "a.jsonl", [["a\ud800"], ["b"]] * 6), "dataset.classes=[]")


def test_the_metric_of_a_positive_class_is_refused(load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.metric=f1 is for one class per row; leave it out"):
        load(tmp_path / "a.csv", "dataset.metric=f1")


def test_single_labels_keep_their_keys(composed) -> None:
    files = ("dataset=files", "dataset.prompt=x", "dataset.path=x.csv", "dataset.classes=[a,b]")
    keys = [config.build(composed(*files, *more)).dataset.cache_key() for more in ((), ("dataset.multi_label=true",))]
    assert [key.get("multi_label") for key in keys] == [None, True]


def test_rare_sets_do_not_distort_the_shares_of_classes() -> None:
    rng = np.random.default_rng(0)
    masks = [int(sum(1 << k for k in rng.choice(20, 3, replace=False))) for _ in range(1000)]
    divided = hold_out([str(row) for row in range(1000)], strata_of(masks, 0.1), 0.1, "a.csv")
    shares = {
        split: members(np.array([masks[row] for row in rows]), 20).mean(axis=0) for split, rows in divided.items()
    }
    assert np.abs(shares[Split.VALID] - shares[Split.TRAIN]).max() < 0.12
