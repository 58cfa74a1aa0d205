"""Raw files from the Hugging Face hub, which a small server of our own stands in for. The real one is not asked."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from alchemist_exp.core.errors import DataError
from alchemist_exp.data.base import HubFiles
from alchemist_exp.data_prep.hub import download
from tests.support.hub_server import serve
from tests.support.paths import REPOSITORY

WRENCH = "b98f579f90311e94da79970790964011dead7fec"
MEDABS = "d6afbd7" + 33 * "0"
"""The commit that the branch main of our MedAbs is at."""


def wrench_file(n: int) -> bytes:
    rows = {
        str(i): {"label": i % 2, "weak_labels": [-1, i % 2], "data": {"text": f"text {i} of {n}"}} for i in range(n)
    }
    return json.dumps(rows).encode()


def medabs_file(split: str, n: int) -> bytes:
    labels, texts = [i % 5 + 1 for i in range(n)], [f'{split} {i}, "é"\nline' for i in range(n)]
    raw = io.BytesIO()
    parquet.write_table(pa.table({"condition_label": labels, "medical_abstract": texts}), raw)
    return raw.getvalue()


CARD = b"""---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
- config_name: labels
  data_files:
  - {split: train, path: labels/train-*}
---
"""

REPOSITORIES = {
    "jieyuz2/WRENCH": (
        WRENCH,
        {f"classification/yelp/{split}.json": wrench_file(n) for split, n in (("train", 6), ("valid", 2), ("test", 4))},
    ),
    "TimSchopf/medical_abstracts": (
        MEDABS,
        {
            "README.md": CARD,
            "data/train-00000-of-00001.parquet": medabs_file("train", 11550),
            "data/test-00000-of-00001.parquet": medabs_file("test", 10),
            "labels/train-00000-of-00001.parquet": medabs_file("labels", 5),
        },
    ),
}


@pytest.fixture
def endpoint() -> Iterator[str]:
    with serve(REPOSITORIES) as url:
        yield url


def prepare_data(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "prepare_data.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(cwd / "hf"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_wrench_is_fetched_at_its_commit_when_asked(endpoint: str, tmp_path: Path) -> None:
    done = prepare_data(tmp_path, "yelp", "--hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data/yelp/manifest.json").read_text(encoding="utf-8"))
    assert {split: said["rows"] for split, said in manifest["splits"].items()} == {"train": 6, "valid": 2, "test": 4}
    digests = {file["file"]: file["sha256"] for file in manifest["source"]["files"]}
    published = REPOSITORIES["jieyuz2/WRENCH"][1]
    assert digests == {path.rsplit("/", 1)[1]: hashlib.sha256(raw).hexdigest() for path, raw in published.items()}
    assert manifest["source"]["hub"] == f"jieyuz2/WRENCH@{WRENCH}"
    absent = prepare_data(tmp_path, "imdb", "--hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert (absent.returncode, absent.stderr.count("error:")) == (1, 1)
    assert "could not be downloaded from the Hugging Face Hub (" in absent.stderr
    assert not (tmp_path / "data/imdb").exists()


def test_what_datasets_reads_is_noted_with_the_commit_of_its_branch(endpoint: str, tmp_path: Path) -> None:
    done = prepare_data(tmp_path, "medabs", "--hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data/medabs/manifest.json").read_text(encoding="utf-8"))
    rows = {split: said["rows"] for split, said in manifest["splits"].items()}
    assert rows == {"train": 10395, "valid": 1155, "test": 10}
    assert manifest["source"]["hub"] == f"TimSchopf/medical_abstracts@{MEDABS}"
    test = parquet.read_table(tmp_path / "data/medabs/test.parquet").to_pylist()
    assert test[6] == {"text": 'test 6, "é"\nline', "label": 1}


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for a long while
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub = HubFiles(repo="jieyuz2/WRENCH", revision=WRENCH, files=["classification/yelp/train.json"])
    with pytest.raises(
        DataError, match=r"jieyuz2/WRENCH at b98f.* could not be downloaded .*name them by --source"
    ) as caught:
        download(hub, Path())
    assert "\n" not in str(caught.value)
