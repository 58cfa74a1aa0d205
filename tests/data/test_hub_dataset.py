"""dataset=hub against a small server that stands in for the Hugging Face Hub."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import pytest

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError
from tests.support.hub_server import serve
from tests.support.paths import REPOSITORY

COMMIT = "0123456789" * 4


def table(names: Sequence[str] | None, label: str = "label", text: str = "text", **columns: list[object]) -> bytes:
    """Return a Parquet file as the library writes it; names: the classes of the label column."""
    labels = columns.pop("labels")
    kind = datasets.Value("int64") if names is None else datasets.ClassLabel(names=list(names))
    features = {text: datasets.Value("string"), label: kind}
    features |= {name: datasets.Value("string") for name in columns}
    rows = {text: [f"{text} {i}" for i in range(len(labels))], label: labels, **columns}
    raw = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(raw)
    return raw.getvalue()


def lists_of_labels(names: Sequence[str], labels: list[list[int]]) -> bytes:
    """Return a Parquet file whose label column is a list of class indices."""
    features = {"text": datasets.Value("string"), "topics": datasets.List(datasets.ClassLabel(names=list(names)))}
    rows = {"text": [f"text {i}" for i in range(len(labels))], "topics": labels}
    raw = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(raw)
    return raw.getvalue()


NEWS = ["World", "Sports"]
CARD = """---
configs:
- config_name: one
  data_files: [{split: train, path: one/train.parquet}]
- config_name: two
  data_files: [{split: train, path: two/train.parquet}]
---
"""
NEWS_CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train.parquet}
  - {split: validation, path: data/validation.parquet}
  - {split: test, path: data/test.parquet}
  - {split: extra, path: data/extra.parquet}
---
"""
REPOSITORIES = {
    "me/news": {
        "README.md": NEWS_CARD.encode(),
        "data/train.parquet": table(NEWS, labels=[1, 0, 1, 1]),
        "data/validation.parquet": table(NEWS, labels=[0, 1]),
        "data/test.parquet": table(NEWS, labels=[-1, -1, -1]),
        "data/extra.parquet": table(NEWS, labels=[0]),
    },
    "me/named": {"train.parquet": table(["a", "b"], "topic", "sentence", labels=[0, 1], idx=["x", "y"])},
    "me/two_texts": {"train.parquet": table(["a", "b"], text="sentence1", labels=[0, 1], sentence2=["x", "y"])},
    "me/plain": {"train.parquet": table(None, labels=[0, 1] * 10)},
    "me/unlabeled": {"train.parquet": table(None, "number", labels=[0, 1])},
    "me/only_test": {"test.parquet": table(["a", "b"], labels=[0, 1])},
    "me/configs": {
        "README.md": CARD.encode(),
        "one/train.parquet": table(["a", "b"], labels=[0, 1]),
        "two/train.parquet": table(["c", "d"], labels=[0, 1]),
    },
    "me/topics": {"train.parquet": lists_of_labels(NEWS, [[1], [0, 1], []])},
    "me/script": {"script.py": b"import datasets", "README.md": b"# nothing"},
    "me/is_gated": {"train.parquet": table(["a", "b"], labels=[0, 1])},
    "me/broken": {"train.parquet": b"nothing"},
}

CASES = {
    "whole": ["dataset.repo=me/news"],
    "limited": ["dataset.repo=me/news", "dataset.limit=2"],
    "revision": ["dataset.repo=me/news", f"dataset.revision={COMMIT}"],
    "reordered": ["dataset.repo=me/news", "dataset.classes=[Sports,World]"],
    "named": ["dataset.repo=me/named"],
    "share": ["dataset.repo=me/plain", "dataset.test_share=0.2", "dataset.classes=[no,yes]"],
    "several": ["dataset.repo=me/topics", "dataset.multi_label=true"],
    "unlabeled": ["dataset.repo=me/unlabeled", "dataset.classes=[a,b]"],
    "config": ["dataset.repo=me/configs", "dataset.config=two"],
    "no config": ["dataset.repo=me/configs"],
    "wrong config": ["dataset.repo=me/configs", "dataset.config=three"],
    "two texts": ["dataset.repo=me/two_texts"],
    "pairs": ["dataset.repo=me/two_texts", "dataset.columns=[sentence1,sentence2]"],
    "record label": ["dataset.repo=me/named", "dataset.columns=[idx,sentence]"],
    "unknown column": ["dataset.repo=me/two_texts", "dataset.columns=[sentence1,sentence3]"],
    "wrong column": ["dataset.repo=me/news", "dataset.text_column=body"],
    "no labels": ["dataset.repo=me/unlabeled"],
    "no train": ["dataset.repo=me/only_test"],
    "no repository": ["dataset.repo=me/nothing"],
    "no revision": ["dataset.repo=me/news", "dataset.revision=v9"],
    "script": ["dataset.repo=me/script"],
    "gated": ["dataset.repo=me/is_gated"],
    "broken": ["dataset.repo=me/broken"],
}

LOADER = """
import json, sys
from alchemist_exp import config
from alchemist_exp.core.errors import DataError
from tests.support.composing import compose_cached
config.register()
found = {}
for case, overrides in json.load(sys.stdin).items():
    try:
        dataset = config.build(compose_cached("dataset=hub", "dataset.prompt=p", *overrides)).dataset
        data = dataset.load()
        golds = {split: data.gold(split) for split in data.splits}
        found[case] = {
            "texts": {split: data.texts(split) for split in data.splits},
            "gold": {split: gold if gold is None else gold.tolist() for split, gold in golds.items()},
            "classes": data.task.classes, "notes": data.notes, "origin": data.origin,
        }
    except DataError as error:
        found[case] = str(error)
json.dump(found, sys.stdout)
"""


def load_all(cases: dict[str, list[str]], directory: Path, **environment: str) -> dict[str, object]:
    """Load datasets in a process of its own, because the libraries read HF_ENDPOINT when they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", LOADER],
        input=json.dumps(cases),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(directory / "hf"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def loaded(directory: Path) -> dict[str, object]:
    with serve({name: (COMMIT, files) for name, files in REPOSITORIES.items()}) as url:
        return load_all(CASES, directory, HF_ENDPOINT=url, HF_HUB_OFFLINE="0")


def test_splits_classes_and_commit(loaded) -> None:
    found = loaded["whole"]
    assert found["gold"] == {"train": [1, 0, 1, 1], "valid": [0, 1], "test": None}
    assert found["texts"]["valid"] == ["text 0", "text 1"]
    assert found["classes"] == NEWS
    assert found["origin"] == f"me/news@{COMMIT}"
    assert found["notes"][0] == "Splits of me/news that are not read: extra."
    assert not any("no labels" in note for note in found["notes"])
    assert loaded["revision"] == found


def test_a_limit_reads_the_first_rows(loaded) -> None:
    assert loaded["limited"]["gold"] == {"train": [1, 0], "valid": [0, 1], "test": None}
    assert loaded["limited"]["origin"] == f"me/news@{COMMIT}"


def test_classes_are_matched_by_name(loaded) -> None:
    assert loaded["reordered"]["gold"]["train"] == [0, 1, 0, 0]


def test_columns_of_other_names_are_found_and_said(loaded) -> None:
    found = loaded["named"]
    assert (found["texts"]["train"], found["gold"]["train"]) == (["sentence 0", "sentence 1"], [0, 1])
    assert "The texts are from the column 'sentence', the labels from 'topic'." in found["notes"]
    assert loaded["unlabeled"]["gold"] == {"train": None}
    assert loaded["config"]["classes"] == ["c", "d"]


def test_lists_of_class_indices_are_sets_of_classes(loaded) -> None:
    assert (loaded["several"]["gold"], loaded["several"]["classes"]) == ({"train": [2, 3, 0]}, NEWS)


def test_pairs_of_texts_are_rows_of_two_columns(loaded) -> None:
    rows = [json.loads(row) for row in loaded["pairs"]["texts"]["train"]]
    assert rows == [{"sentence1": f"sentence1 {i}", "sentence2": text} for i, text in enumerate("xy")]
    assert loaded["pairs"]["gold"] == {"train": [0, 1]}
    assert loaded["record label"]["gold"] == {"train": [0, 1]}
    assert "The labels are from the column 'topic'." in loaded["record label"]["notes"]
    assert "has no column 'sentence3' (did you mean 'sentence2'?)" in loaded["unknown column"]
    assert "for rows of several columns, set 'dataset.columns=[sentence1,sentence2]'." in loaded["two texts"]


def test_a_repository_without_test_split_can_be_divided(loaded) -> None:
    assert {split: len(rows) for split, rows in loaded["share"]["gold"].items()} == {"train": 12, "valid": 4, "test": 4}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no config", "me/configs needs a configuration; set dataset.config to one of ['one', 'two']."),
        ("wrong config", "me/configs has no configuration 'three'; set dataset.config to one of ['one', 'two']."),
        ("two texts", "me/two_texts has no column 'text'; set dataset.text_column to the column of the texts: "),
        ("wrong column", "me/news has no column 'body'; set dataset.text_column to the column of the texts: text "),
        ("no labels", "me/unlabeled has no column with labels, so dataset.classes must be given"),
        ("no train", "me/only_test has no split train; it has test."),
        ("no repository", "me/nothing is not a public dataset of the Hugging Face Hub; correct dataset.repo"),
        ("no revision", "me/news has no revision 'v9'; correct dataset.revision"),
        ("script", "me/script is made by a Python script, which the library datasets does not run any more"),
        ("gated", "me/is_gated is gated: ask for access on its page"),
        ("broken", "me/broken could not be read from the Hugging Face Hub ("),
    ],
)
def test_what_cannot_be_read_is_one_sentence(loaded, case: str, message: str) -> None:
    assert isinstance(loaded[case], str), loaded[case]
    assert loaded[case].startswith(message)
    assert "\n" not in loaded[case]


def test_a_cached_dataset_is_read_offline_and_another_is_one_sentence(loaded, directory: Path) -> None:
    cases = {"cached": CASES["whole"], "limited": CASES["limited"], "absent": ["dataset.repo=me/nothing"]}
    found = load_all(cases, directory, HF_HUB_OFFLINE="1")
    assert found["cached"]["gold"] == loaded["whole"]["gold"]
    assert found["limited"]["gold"] == loaded["limited"]["gold"]
    assert found["absent"].startswith("the Hugging Face Hub could not be reached for me/nothing (")


@pytest.mark.parametrize("repo", ["https://evil.example/x", "../x", "a/b/c", "'a b'", "hf://datasets/a/b", "''"])
def test_only_a_name_of_a_repository_is_possible(composed, repo: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a repository of the Hugging Face Hub; expected owner/name"):
        config.build(composed("dataset=hub", "dataset.prompt=p", f"dataset.repo={repo}"))


def test_a_local_directory_is_not_read_in_place_of_a_repository(
    composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "data").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is a local file or directory"):
        config.build(composed("dataset=hub", "dataset.prompt=p", "dataset.repo=me/data"))
