"""The wheel carries the configuration and the embedded data, and runs in an empty directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

ONE_PROGRAM = ("method.n_programs=1", "sandbox.determinism_rows=0")


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
    script, module = [str(installed / "bin" / "alchemist"), "run"], ["-m", "alchemist_exp.run"]
    first, again = (
        subprocess.run(
            [sys.executable, *command, "+experiment=tiny", "dataset=sms", "label_model=majority", *ONE_PROGRAM],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        for command in (script, module)
    )
    assert first.returncode == 0, first.stderr
    assert "distilled mlp, test" in first.stdout
    assert (again.returncode, "loaded from the existing record" in again.stdout) == (0, True), again.stderr
    record = next((tmp_path / "outputs" / "runs").glob("*/record.json"))
    assert '"commit": null' in record.read_text()
    assert (installed / "alchemist_exp" / "py.typed").is_file()
    assert (installed / "hydra_plugins" / "alchemist_sweeper.py").is_file()
    applied = subprocess.run(
        [sys.executable, script[0], "apply", record.parent.name[:8], "--with", "programs"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        input="call 09061 now to claim your prize\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert applied.stdout.endswith("\tcall 09061 now to claim your prize\n"), applied.stderr
