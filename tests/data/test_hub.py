"""Raw files from the Hugging Face hub: a hub of our own that speaks its protocol for single files, and a local copy.

The real hub is not asked. `datasets` reads a local folder laid out as a repository of the hub in its stead.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.values import Split
from alchemist_exp.data.sources.hub import Hub, fetch
from alchemist_exp.data.sources.recipes import RECIPES
from tests.conftest import REPOSITORY

COMMIT = "b98f579f90311e94da79970790964011dead7fec"


def wrench_file(n: int) -> bytes:
    rows = {
        str(i): {"label": i % 2, "weak_labels": [-1, i % 2], "data": {"text": f"text {i} of {n}"}} for i in range(n)
    }
    return json.dumps(rows).encode()


FILES = {
    f"/datasets/jieyuz2/WRENCH/resolve/{COMMIT}/classification/yelp/{split}.json": wrench_file(n)
    for split, n in (("train", 6), ("valid", 2), ("test", 4))
}


class FakeHub(BaseHTTPRequestHandler):
    """Answers HEAD and GET for the files above, as the hub does for files that are not in LFS."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        raw = FILES.get(self.path)
        self.send_response(200 if raw is not None else 404)
        if raw is None:
            self.send_header("X-Error-Code", "EntryNotFound")
            raw = b""
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(raw).hexdigest()}"')
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if body:
            self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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
    assert digests == {path.rsplit("/", 1)[1]: hashlib.sha256(raw).hexdigest() for path, raw in FILES.items()}
    absent = prepare_data(tmp_path, "imdb", "--hub", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert (absent.returncode, absent.stderr.count("error:")) == (1, 1)
    assert "could not be had from the Hugging Face hub (" in absent.stderr
    assert not (tmp_path / "data/imdb").exists()


def test_a_hub_out_of_reach_is_one_sentence() -> None:
    hub = Hub(repo="jieyuz2/WRENCH", revision=COMMIT, files=["classification/yelp/train.json"])
    with pytest.raises(DataError, match=r"jieyuz2/WRENCH at b98f.* could not be had .*name them by --source") as caught:
        fetch(hub, Path())
    assert "\n" not in str(caught.value)


def test_a_repository_that_datasets_reads_becomes_one_file_a_split(tmp_path: Path, monkeypatch) -> None:
    import pandas

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    copy = tmp_path / "copy"
    (copy / "data").mkdir(parents=True)
    (copy / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: test\n    path: data/test-*\n---\n",
        encoding="utf-8",
    )
    for split, n in (("train", 10), ("test", 5)):
        frame = pandas.DataFrame(
            {
                "condition_label": [i % 5 + 1 for i in range(n)],
                "medical_abstract": [f'{split} {i}, "é"\nline' for i in range(n)],
            }
        )
        frame.to_parquet(copy / "data" / f"{split}-00000-of-00001.parquet")
    paths = fetch(Hub(repo=str(copy), revision="main"), tmp_path)
    assert [path.name for path in paths] == ["train.csv", "test.csv"]
    read = RECIPES["medabs"].sources[0].read(paths)
    assert [row.label for row in read[Split.TEST]] == [0, 1, 2, 3, 4]
    assert read[Split.TRAIN][9].text == 'train 9, "é"\nline'
