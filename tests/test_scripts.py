"""Scripts, run as their docstrings say."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def predict(folder: str, texts: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "predict.py"), folder],
        input=texts,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_new_text_is_labeled_by_a_run(cli, tmp_path: Path) -> None:
    done = cli("seed=s0", "logger=none", "feature_extractor.dimensions=64")
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    labeled = predict(str(record.parent), "check out my channel and subscribe\ni love this song so much\n", tmp_path)
    assert labeled.returncode == 0, labeled.stderr
    lines = [line.split("\t") for line in labeled.stdout.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [
        ("spam", "check out my channel and subscribe"),
        ("ham", "i love this song so much"),
    ]
    assert all(0.5 <= float(line[1]) <= 1 for line in lines)
    absent = predict("outputs/runs/absent", "", tmp_path)
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1)
    assert "holds no finished run" in absent.stderr
