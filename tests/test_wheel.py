"""The wheel carries the configuration and the embedded data, and runs in an empty directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY


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


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "alchemist_exp.run"], [sys.executable, "{site}/bin/alchemist", "run"]],
    ids=["module", "script"],
)
def test_an_installed_wheel_runs_in_an_empty_directory(installed: Path, tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [*(part.replace("{site}", str(installed)) for part in command), "+experiment=tiny", "dataset=sms"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "distilled mlp, test" in done.stdout
    record = next((tmp_path / "outputs" / "runs").glob("*/record.json"))
    assert '"commit": null' in record.read_text()
    assert (installed / "alchemist_exp" / "py.typed").is_file()
