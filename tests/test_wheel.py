"""The wheel carries the configuration and the embedded data, and runs in an empty directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

TINY = (
    "dataset=sms",
    "dataset.limit=100",
    "method.n_programs=1",
    "label_model=majority",
    "end_model=none",
    "logger=none",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and installed without dependencies into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    return target


def test_an_installed_wheel_runs_in_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    def run(*command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
        )

    first = run("-m", "alchemist_exp.run", *TINY)
    assert first.returncode == 0, first.stderr
    assert "majority: rows with a label" in first.stdout
    record = next((tmp_path / "outputs" / "runs").glob("*/record.json"))
    assert '"commit": null' in record.read_text()
    assert (installed / "alchemist_exp" / "conf" / "experiment" / "tiny.yaml").is_file()
    assert (installed / "alchemist_exp" / "py.typed").is_file()
    assert (installed / "hydra_plugins" / "alchemist_sweeper.py").is_file()
    script, text = str(installed / "bin" / "alchemist"), "call 09061 now to claim your prize\n"
    applied = run(script, "apply", record.parent.name[:8], "--with", "programs", text=text)
    assert applied.stdout.endswith(f"\t{text}"), applied.stderr
