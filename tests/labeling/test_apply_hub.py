"""`alchemist apply RUN hub:NAME` streams a dataset from a small server that stands in for the Hugging Face Hub."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.labeling.test_apply_files import TEXTS
from tests.support.hub_server import serve
from tests.support.paths import REPOSITORY

COMMIT = "0123456789" * 4


def table(first: int) -> bytes:
    """Return a Parquet file of twenty rows."""
    raw = io.BytesIO()
    rows = range(first, first + 20)
    pd.DataFrame({"id": rows, "text": [f"{TEXTS[row % 4]} {row}" for row in rows]}).to_parquet(raw)
    return raw.getvalue()


CONFIGS = """---
configs:
- config_name: one
  data_files: [{split: train, path: one.parquet}]
- config_name: two
  data_files: [{split: train, path: two.parquet}]
---
"""
REPOSITORIES = {
    "me/comments": {
        "data/train-00000-of-00002.parquet": table(0),
        "data/train-00001-of-00002.parquet": table(20),
        "data/test-00000-of-00001.parquet": table(40),
    },
    "me/configs": {"README.md": CONFIGS.encode(), "one.parquet": table(0), "two.parquet": table(0)},
    "me/is_gated": {"train.parquet": table(0)},
    "me/broken": {"train.parquet": b"nothing"},
}

# The libraries read HF_ENDPOINT when they are imported, so all commands run in a process that has it.
COMMANDS = """
import contextlib, io, json, sys
from pathlib import Path
import datasets
from huggingface_hub import constants
from alchemist_exp.cli import apply

def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = apply.main([sys.argv[1], *arguments])
        except SystemExit as stopped:
            code = stopped.code
    return code, out.getvalue(), err.getvalue()

train = ["hub:me/comments:train", "-o", "out", "--part-rows", "16"]
found = {"first": run(*train), "again": run(*train)}
Path("out/train/part-00001-00000.parquet").unlink()
found["missing part"] = run(*train)
found["whole"] = run("hub:me/comments@main", "-o", "whole", "--keep", "id")
found["config"] = run("hub:me/configs:two/train", "-o", "config")
for name in ("is_gated", "nothing", "comments:valid", "comments@v9", "configs", "broken", "a/b"):
    found[name] = run(f"hub:me/{name}", "-o", "bad")
datasets.config.HF_HUB_OFFLINE = True
found["offline"] = run(*train)
datasets.config.HF_HUB_OFFLINE = False
constants.ENDPOINT = "http://127.0.0.1:9"
found["no network"] = run(*train)
json.dump(found, sys.__stdout__)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def said(finished: Path, directory: Path) -> dict[str, tuple[int, str, str]]:
    """What each command has answered."""
    environment = {"PYTHONPATH": str(REPOSITORY), "HF_HOME": str(directory / "hf"), "HF_HUB_OFFLINE": "0"}
    with serve({name: (COMMIT, files) for name, files in REPOSITORIES.items()}) as url:
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, str(finished)],
            cwd=directory,
            env={**os.environ, **environment, "HF_ENDPOINT": url},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_split_is_labeled_in_parts_which_are_made_once(said, directory: Path) -> None:
    code, out, err = said["first"]
    assert (code, err) == (0, "")
    assert out.startswith("wrote 4 files in out; 0 finished before, 0 skipped with an error\nrows: 40; coverage")
    names = [f"part-0000{file}-0000{part}.parquet" for file in (0, 1) for part in (0, 1)]
    assert sorted(path.name for path in (directory / "out" / "train").iterdir()) == names
    found = pd.read_parquet(directory / "out" / "train")
    assert found["id"].tolist() == list(range(40))
    assert set(found["label"].dropna()) == {"spam", "ham"}
    assert said["again"][1].startswith("wrote 0 files in out; 4 finished before")
    assert said["missing part"][1].startswith("wrote 1 file in out; 3 finished before")


def test_without_a_split_all_are_labeled(said, directory: Path) -> None:
    assert said["whole"][1].startswith("wrote 3 files in whole;")
    for split, n_rows in (("train", 40), ("test", 20)):
        found = pd.read_parquet(directory / "whole" / split)
        assert (len(found), found.columns[0], "text" in found.columns) == (n_rows, "id", False)
    assert said["config"][1].startswith("wrote 1 file in config;")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("is_gated", "me/is_gated is gated: ask for access on its page of the Hugging Face Hub, then set HF_TOKEN"),
        ("nothing", "me/nothing is not a public dataset of the Hugging Face Hub; correct REPO in hub:REPO"),
        ("comments:valid", "me/comments has no split 'valid'; it has train, test"),
        ("comments@v9", "me/comments has no revision 'v9'; correct REVISION in hub:REPO@REVISION"),
        ("configs", "me/configs needs a configuration; name it as hub:REPO:CONFIG/SPLIT; one of ['one', 'two']"),
        ("broken", "me/broken could not be read from the Hugging Face Hub (ArrowInvalid"),
        ("a/b", "invalid dataset 'hub:me/a/b'; expected hub:REPO[@REVISION][:[CONFIG/]SPLIT]"),
        ("offline", "HF_HUB_OFFLINE forbids it; unset the variable"),
        ("no network", "the Hugging Face Hub could not be reached for me/comments"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(said, case: str, message: str) -> None:
    code, _, err = said[case]
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
